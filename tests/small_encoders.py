"""Small checkpoints of the real classes with random weights, laid out as they are published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sentencepiece
import torch
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
    XLMRobertaXLConfig,
    XLMRobertaXLModel,
)

from adapter_transfer.backbones.tokenizers import train_tokenizer

LINES = [f"Line {number} tells of rain, of roofs and of the wind." for number in range(60)]
CLASSES: dict[str, tuple[type[PretrainedConfig], type[PreTrainedModel]]] = {
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaModel),
    "roberta": (RobertaConfig, RobertaModel),
    "bert": (BertConfig, BertModel),
    "xlm-roberta-xl": (XLMRobertaXLConfig, XLMRobertaXLModel),
}
"""The real classes of every supported architecture."""
SHAPE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}

WIDE_SHAPE = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    # As pretrained weights are: at 0.02 the layers of so small a model hardly do anything.
    "initializer_range": 0.2,
}
"""Of encoders whose layers do something, and whose dropout does not."""
# Rows of different lengths, so that what depends on padding shows.
MASK = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [1] * 8 + [0], [1] * 4 + [0] * 5])
IDS = torch.randint(4, 60, MASK.shape, generator=torch.Generator().manual_seed(1)).where(MASK == 1, 1)

Save = Callable[[Path], Path]


def save(model_class: type[PreTrainedModel], config: object, folder: Path, **options: object) -> Path:
    """A model of random weights, the same every time, in `folder`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = model_class(config)
    model.save_pretrained(folder, **options)
    return folder


def xlm_roberta(folder: Path, **options: object) -> Path:
    tokenizer = train_tokenizer(LINES, 60)
    tokenizer.save_pretrained(folder)
    config = XLMRobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=40, type_vocab_size=1, **SHAPE)
    return save(XLMRobertaModel, config, folder, **options)


def xlm_roberta_xl(folder: Path, **options: object) -> Path:
    """As facebook/xlm-roberta-xl: pre-LN, one token type, and more rows in the table than the tokenizer has tokens."""
    tokenizer = train_tokenizer(LINES, 60)
    tokenizer.save_pretrained(folder)
    config = XLMRobertaXLConfig(vocab_size=len(tokenizer) + 9, max_position_embeddings=40, **SHAPE)
    return save(XLMRobertaXLModel, config, folder, **options)


def roberta(folder: Path) -> Path:
    vocabulary = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary.train_from_iterator(LINES, vocab_size=300, special_tokens=special, show_progress=False)
    folder.mkdir()
    vocabulary.save_model(str(folder))
    RobertaTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    config = RobertaConfig(vocab_size=vocabulary.get_vocab_size(), max_position_embeddings=40, **SHAPE)
    return save(RobertaModel, config, folder)


def bert(folder: Path) -> Path:
    vocabulary = BertWordPieceTokenizer()
    vocabulary.train_from_iterator(LINES, vocab_size=80, show_progress=False)
    folder.mkdir()
    vocabulary.save_model(str(folder))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(vocab_size=vocabulary.get_vocab_size(), max_position_embeddings=40, **SHAPE)
    return save(BertModel, config, folder)


def mminilm(folder: Path) -> Path:
    """As microsoft/Multilingual-MiniLM-L12-H384: a BERT's config.json (pad id 0), XLM-R's sentencepiece, more rows."""
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=60,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    (folder / "sentencepiece.bpe.vocab").unlink()
    (folder / "tokenizer_config.json").write_text("{}")
    return save(BertModel, BertConfig(vocab_size=99, max_position_embeddings=40, **SHAPE), folder)


ENCODERS: dict[str, Save] = {
    "xlm-roberta": xlm_roberta,
    "roberta": roberta,
    "bert": bert,
    "mminilm": mminilm,
    "xlm-roberta-xl": xlm_roberta_xl,
}
