"""What of a backbone lies on this machine already, and what would be downloaded. Asks no network. No torch."""

from __future__ import annotations

from pathlib import Path

from adapter_transfer.backbones.checkpoints import WEIGHT_FILES, Checkpoint, HubModel, weight_map
from adapter_transfer.backbones.zoo import Backbone
from adapter_transfer.errors import DataError
from adapter_transfer.hub import cached_file

_TOKENIZER = "tokenizer.json"
_BYTES_OF_FP32 = 4


def tokenizer_file(
    backbone: Backbone, *, texts_digest: str | None = None, cache_dir: Path | None = None
) -> Path | None:
    """The backbone's `tokenizer.json` where it is at hand; None where it is not, or its tokenizer has another form.

    Args:
        texts_digest: of the text that a tokenizer of ours is trained on.
        cache_dir: where such tokenizers are kept (see `tokenizer_loading`).
    """
    if backbone.tokenizer is not None:
        return _file(backbone.tokenizer, _TOKENIZER)
    if texts_digest is None or cache_dir is None:
        return None
    path = trained_tokenizer_dir(cache_dir, backbone, texts_digest) / _TOKENIZER
    return path if path.is_file() else None


def trained_tokenizer_dir(cache_dir: Path, backbone: Backbone, texts_digest: str) -> Path:
    """Where the tokenizer that this backbone trains on a text is kept."""
    return cache_dir / f"{texts_digest[:16]}-{backbone.vocab_size}"


def download_bytes(backbone: Backbone) -> int:
    """About how much of the backbone's weights is still to be downloaded: 0 where they lie here.

    Counted as 4 bytes a parameter, which is how most are published; pooler and heads, and a checkpoint in 2 bytes, make
    it a little more or half of that.
    """
    if backbone.weights == "random" or not isinstance(backbone.model, HubModel) or _has_weights(backbone.model):
        return 0
    return _BYTES_OF_FP32 * backbone.parameters().total


def _has_weights(model: HubModel) -> bool:
    found = next((path for name in WEIGHT_FILES if (path := _file(model, name)) is not None), None)
    if found is None:
        return False
    if found.suffix != ".json":
        return True
    try:
        shards = set(weight_map(found).values())
    except DataError:
        return False
    return all(_file(model, name) is not None for name in shards)


def _file(place: Checkpoint, name: str) -> Path | None:
    if isinstance(place, HubModel):
        return None if place.commit is None else cached_file("model", place.repo, place.commit, name)
    path = place.folder("tokenizer") / name
    return path if path.is_file() else None
