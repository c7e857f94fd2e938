"""Loading a backbone's tokenizer: its own, or one trained on the experiment's text. Owns AutoTokenizer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast, XLMRobertaTokenizerFast

from adapter_transfer.backbones.at_hand import trained_tokenizer_dir
from adapter_transfer.backbones.tokenizers import train_tokenizer
from adapter_transfer.backbones.zoo import Backbone
from adapter_transfer.durable import publish_first, storage_errors, temporary_path
from adapter_transfer.errors import DataError

logger = logging.getLogger(__name__)


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
    path = trained_tokenizer_dir(cache_dir, backbone, text.digest)
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
    """The tokenizer in `path`; one without `tokenizer.json` is converted from its vocabulary."""
    loader: Any = XLMRobertaTokenizerFast if backbone.tokenizer_class == "xlm-roberta" else AutoTokenizer
    what = f"backbone {backbone.name!r}: the tokenizer in {path}"
    try:
        tokenizer = loader.from_pretrained(path, local_files_only=True)
    except Exception as error:  # OSError, ValueError, KeyError, TypeError, ImportError, and tokenizers' bare Exception
        raise DataError(f"{what} cannot be loaded ({error})") from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise DataError(
            f"{what} is a {type(tokenizer).__name__}, which has no fast version (one that tokenizer.json can hold). "
            "Convert it, or choose an encoder whose tokenizer has one."
        )
    _check_padding(backbone, tokenizer, what)
    return tokenizer


def _check_padding(backbone: Backbone, tokenizer: PreTrainedTokenizerFast, what: str) -> None:
    """RoBERTa's kin take positions from the padding id, and its embedding gets no gradient: a wrong one is silent."""
    expected = backbone.known_fields()["pad_token_id"]
    if tokenizer.pad_token_id is None:
        raise DataError(f"{what} has no padding token. Add one (pad_token in its tokenizer_config.json).")
    if tokenizer.pad_token_id != expected:
        raise DataError(
            f"{what} pads with id {tokenizer.pad_token_id}, and the model's config.json says pad_token_id {expected}. "
            "Correct the one that is wrong; a folder with a corrected config.json will do."
        )
