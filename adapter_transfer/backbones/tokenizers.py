"""Tokenizers trained here, laid out like XLM-R's published one, for backbones that have no published vocabulary.

Owns sentencepiece. The trained pieces are put into `tokenizers`' Unigram model, so that what is saved is one
`tokenizer.json` and AutoTokenizer loads it. (`tokenizers`' own Unigram trainer fragments small corpora badly: 25 tokens
a line of the sandbox against sentencepiece's 17.)
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import XLMRobertaTokenizerFast

from adapter_transfer.errors import DataError

#: Ids 0 to 3 of XLM-R; `<mask>` is the last id of the vocabulary.
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")
MASK_TOKEN = "<mask>"

#: Serves a few thousand lines of each of XCOPA's languages; text that supports fewer pieces gets fewer.
DEFAULT_VOCAB_SIZE = 16_000

_WORD_START = "▁"

#: sentencepiece drops lines longer than its limit (4,192 bytes by default) without an error; we cut them at blanks.
_MAX_LINE_CHARACTERS = 1_000


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int = DEFAULT_VOCAB_SIZE,
    *,
    whole_words: Sequence[str] = (),
    character_coverage: float = 1.0,
    model_max_length: int = 512,
) -> XLMRobertaTokenizerFast:
    """A tokenizer trained on `texts` by sentencepiece's unigram model (Kudo 2018), deterministic and single-threaded.

    Text is normalised as XLM-R's is, up to its table of rare characters (NMT rules, NFKC, blanks collapsed).

    Args:
        texts: the training text, of any line length.
        vocab_size: entries wanted, the special tokens and `whole_words` included. Where the text does not support as
            many, the tokenizer has as many as it supports.
        whole_words: strings that are always one piece: at the start of a word, or, if they begin with "+", inside one.
        character_coverage: share of the text's characters that get a piece; the others become `<unk>`.
        model_max_length: the length, in tokens, to which the tokenizer truncates when asked to.

    Raises:
        DataError: if there is no text, or `vocab_size` has no room for the text's characters.
    """
    normalizer = _normalizer()
    lines = [line for text in texts for line in _cut(normalizer.normalize_str(text).strip())]
    if not lines:
        raise DataError("there is no text to train a tokenizer on")
    kept_whole = [word.removeprefix("+") if word.startswith("+") else _WORD_START + word for word in whole_words]
    num_trained = vocab_size - len(SPECIAL_TOKENS) - 1 - len(kept_whole)
    trained = _train_pieces(lines, num_trained, character_coverage)
    # A whole word outweighs every way of cutting it, as sentencepiece's user-defined symbols do.
    whole = [(piece, 0.0) for piece in dict.fromkeys(kept_whole)]
    taken = {piece for piece, _ in whole}
    pieces = [
        *((token, 0.0) for token in SPECIAL_TOKENS),
        *whole,
        *(entry for entry in trained if entry[0] not in taken),
        (MASK_TOKEN, 0.0),
    ]
    return _assemble(pieces, normalizer, model_max_length)


def unknown_share(tokenizer: XLMRobertaTokenizerFast, texts: Iterable[str]) -> float:
    """Share of `<unk>` among the tokens of `texts`, special tokens left out; 0.0 where there are no tokens."""
    encodings = tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)
    num_tokens = sum(len(encoding.ids) for encoding in encodings)
    num_unknown = sum(encoding.ids.count(tokenizer.unk_token_id) for encoding in encodings)
    return num_unknown / num_tokens if num_tokens else 0.0


def _train_pieces(lines: list[str], num_pieces: int, character_coverage: float) -> list[tuple[str, float]]:
    """Pieces and log-probabilities of sentencepiece's unigram model, its control symbols left out.

    sentencepiece refuses a size that the text does not support and names the largest one it does; that one is taken.
    """
    num_control = 3  # sentencepiece's own <unk>, <s>, </s>
    size = num_pieces + num_control
    try:
        model = _train_model(lines, size, character_coverage)
    except RuntimeError as error:
        supported = re.search(r"set it to a value <= (\d+)", str(error))
        if supported is None:
            raise DataError(
                f"no vocabulary of {num_pieces} pieces can be trained on {len(lines)} lines: {error}"
            ) from error
        model = _train_model(lines, int(supported.group(1)), character_coverage)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [(processor.id_to_piece(i), processor.get_score(i)) for i in range(num_control, processor.get_piece_size())]


def _train_model(lines: list[str], size: int, character_coverage: float) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="unigram",
        vocab_size=size,
        character_coverage=character_coverage,
        normalization_rule_name="identity",  # already normalised, by what will normalise when encoding
        num_threads=1,
        input_sentence_size=0,
        shuffle_input_sentence=False,
        max_sentence_length=8 * _MAX_LINE_CHARACTERS,
        minloglevel=2,
    )
    return model.getvalue()


def _assemble(
    pieces: list[tuple[str, float]], normalizer: normalizers.Normalizer, model_max_length: int
) -> XLMRobertaTokenizerFast:
    """The pieces, in the order of their ids, as XLM-R's tokenizer: `<s> A </s>` and `<s> A </s></s> B </s>`."""
    backend = Tokenizer(models.Unigram(pieces, unk_id=SPECIAL_TOKENS.index("<unk>"), byte_fallback=False))
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement=_WORD_START, prepend_scheme="always")
    backend.decoder = decoders.Metaspace(replacement=_WORD_START, prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return XLMRobertaTokenizerFast(tokenizer_object=backend, model_max_length=model_max_length)


def _normalizer() -> normalizers.Normalizer:
    return normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )


def _cut(line: str) -> Iterator[str]:
    """The line in parts of at most `_MAX_LINE_CHARACTERS`, cut at a blank where there is one."""
    while len(line) > _MAX_LINE_CHARACTERS:
        cut = line.rfind(" ", 1, _MAX_LINE_CHARACTERS)
        cut = cut if cut > 0 else _MAX_LINE_CHARACTERS
        yield line[:cut].strip()
        line = line[cut:].strip()
    if line:
        yield line
