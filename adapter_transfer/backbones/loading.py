"""Loading a backbone: its body (an encoder without heads) and its tokenizer. Adapters and heads come in methods."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from adapter_transfer.backbones.tokenizers import train_tokenizer
from adapter_transfer.backbones.zoo import Backbone, Precision
from adapter_transfer.durable import publish_first, storage_errors, temporary_path
from adapter_transfer.errors import DataError

logger = logging.getLogger(__name__)

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class TokenizerText:
    """The text that a tokenizer of our own is trained on.

    Attributes:
        digest: of the text; names the cached tokenizer.
        read: gives the text; called only where the cache has none.
    """

    digest: str
    read: Callable[[], Iterable[str]]


def load_tokenizer(
    backbone: Backbone, *, text: TokenizerText | None = None, cache_dir: Path | None = None
) -> PreTrainedTokenizerFast:
    """The backbone's tokenizer; where it has none of its own, one is trained on `text` and kept in `cache_dir`.

    Raises:
        DataError: if the tokenizer's files are missing or damaged, or it must be trained and no text was given.
    """
    if not backbone.trains_tokenizer:
        return _read_tokenizer(backbone, backbone.tokenizer_path)
    if text is None or cache_dir is None:
        raise DataError(f"backbone {backbone.name!r} trains its tokenizer on the experiment's text, and none was given")
    assert backbone.vocab_size is not None
    path = cache_dir / f"{text.digest[:16]}-{backbone.vocab_size}"
    if not path.is_dir():
        logger.info("training a tokenizer of at most %d pieces", backbone.vocab_size)
        tokenizer = train_tokenizer(text.read(), backbone.vocab_size)
        # Two workers may train the same one at once.
        temporary = temporary_path(path)
        with storage_errors("write the tokenizer", path):
            temporary.mkdir(parents=True)
            tokenizer.save_pretrained(temporary)
        publish_first(temporary, path)
    return _read_tokenizer(backbone, path)


def _read_tokenizer(backbone: Backbone, path: Path) -> PreTrainedTokenizerFast:
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"backbone {backbone.name!r}: the tokenizer in {path} cannot be loaded ({error})") from None
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    return tokenizer


def load_body(
    backbone: Backbone,
    *,
    dtype: torch.dtype,
    device: torch.device,
    vocab_size: int,
    dropout: float | None = None,
    trained_dir: Path | None = None,
) -> PreTrainedModel:
    """The encoder without pooler and heads, in evaluation mode, on `device`.

    Args:
        trained_dir: folder of this backbone after full fine-tuning, to be loaded in place of the checkpoint.
        dtype: of all its weights.
        vocab_size: tokens of the tokenizer, which must all have a row in the embedding table.
        dropout: of hidden states and attention; None keeps what the checkpoint says.

    Raises:
        DataError: if files are missing or damaged, weights are missing, or the table is smaller than the vocabulary.
    """
    settings = {} if dropout is None else {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    if trained_dir is not None:
        body = _saved_body(backbone, trained_dir, settings)
    elif backbone.weights == "random":
        body = _random_body(backbone, vocab_size, settings)
    else:
        body = _saved_body(backbone, backbone.model_path, settings)
    table: Any = body.get_input_embeddings()
    rows: int = table.num_embeddings
    if vocab_size > rows:
        raise DataError(f"backbone {backbone.name!r}: {vocab_size} tokens, but only {rows} rows in the embedding table")
    # The library writes this name into what it saves; a path of this machine would differ elsewhere and tell of it.
    body.name_or_path = body.config.name_or_path = backbone.name
    body.eval()
    # transformers wraps `to` in a decorator that hides its signature.
    move: Any = body.to
    moved: PreTrainedModel = move(device=device, dtype=dtype)
    return moved


def _random_body(backbone: Backbone, vocab_size: int, settings: dict[str, float]) -> PreTrainedModel:
    fields = {**backbone.config_fields(), **settings}
    if backbone.trains_tokenizer:
        fields["vocab_size"] = vocab_size
    config = AutoConfig.for_model(**fields)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(backbone.random_seed)
        # Made on the CPU in fp32 and moved, so that the control is the same model on every device.
        body: PreTrainedModel = AutoModel.from_config(config, dtype=torch.float32, add_pooling_layer=False)
    return body


def _saved_body(backbone: Backbone, path: Path, settings: dict[str, float]) -> PreTrainedModel:
    try:
        body, info = AutoModel.from_pretrained(
            path,
            dtype=torch.float32,
            add_pooling_layer=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **settings,
        )
    except Exception as error:  # safetensors raises its own class, transformers OSError, ValueError or RuntimeError
        raise DataError(f"backbone {backbone.name!r}: {path} cannot be loaded ({error})") from None
    if info["missing_keys"] or info["mismatched_keys"]:
        # transformers only warns and goes on with random weights.
        problem = ", ".join(sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))[:5])
        raise DataError(f"backbone {backbone.name!r}: {path} lacks weights or has others than expected: {problem}")
    model: PreTrainedModel = body
    return model
