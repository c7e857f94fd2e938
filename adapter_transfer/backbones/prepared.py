"""Prepared copies: a backbone's body in a local folder, as it is loaded fastest. What they are, and which one serves.

A copy is in safetensors, without heads and pooler; it may be rounded to bf16 and lack rows of the embedding table. It
is used only where loading it gives exactly the weights that loading the original would. `preparing` makes them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.checkpoints import file_digest
from adapter_transfer.backbones.vocabulary import KeptTokens, kept_from_json
from adapter_transfer.canonical import digest
from adapter_transfer.durable import Manifest, SealedFile, read_manifest, write_json_atomic
from adapter_transfer.errors import DataError, StoreError

logger = logging.getLogger(__name__)

FORMAT = 1
KEPT_FILE = "kept.json"
UNFINISHED = ".partial"
"""Ending of the folder of a copy that is being made."""


@dataclass(frozen=True)
class PreparedCopy:
    """A finished copy.

    Attributes:
        folder: with config.json (its `vocab_size` is the number of rows here) and safetensors.
        kept: the tokens whose rows are here; None where all are.
        dtype: what weights were rounded to; None where they are as published.
        source: what identifies the original, as `source_identity`.
        num_bytes: of all files.
    """

    folder: Path
    kept: KeptTokens | None
    dtype: torch.dtype | None
    source: Mapping[str, Any]
    num_bytes: int

    def serves(self, dtype: torch.dtype, keep: KeptTokens | None) -> bool:
        """Whether a body loaded in `dtype`, with the rows `keep` of its table (None: all), has the original's weights.

        Rounding twice is not rounding once: what was rounded to bf16 serves bf16 only.
        """
        has_numbers = self.dtype is None or self.dtype == dtype
        return has_numbers and (self.kept is None or _has_rows(self.kept, keep))


def _has_rows(kept: KeptTokens, keep: KeptTokens | None) -> bool:
    return (
        keep is not None
        and keep.num_rows == kept.num_rows
        and bool(np.isin(keep.ids, kept.ids, assume_unique=True).all())
    )


def find_prepared(
    cache_dir: Path, backbone: Backbone, *, dtype: torch.dtype, keep: KeptTokens | None
) -> PreparedCopy | None:
    """The smallest copy that gives exactly the weights of the original loaded in `dtype`; None where there is none.

    Its files are read once a process to see that they are as they were written; a damaged copy is passed over with a
    warning.

    Args:
        cache_dir: where copies lie; it need not be there.
        dtype: in which unquantized weights are kept, and from which quantized ones are made.
        keep: rows of the embedding table that are needed; None for all.
    """
    if backbone.weights != "pretrained" or not cache_dir.is_dir():
        return None
    found = [copy for folder in sorted(cache_dir.iterdir()) if (copy := _copy_in(folder)) and copy.serves(dtype, keep)]
    if not found:
        return None  # before the original is hashed for nothing
    source = source_identity(backbone)
    for copy in sorted(found, key=lambda copy: copy.num_bytes):
        if copy.source == source and not _tell_damage(copy):
            return copy
    return None


def source_identity(backbone: Backbone) -> dict[str, Any]:
    """What identifies the original: the content of its configuration and weights, or its commit on the Hub."""
    assert backbone.model is not None and backbone.weights == "pretrained", f"{backbone.name} has no weights to copy"
    return {part: backbone.model.identity(part) for part in ("config", "weights")}


def copy_dir(cache_dir: Path, source: Mapping[str, Any], dtype: torch.dtype | None, keep: KeptTokens | None) -> Path:
    """Where a copy lies: a name made of what is copied and how."""
    how = [FORMAT, dict(source), _dtype_name(dtype), keep and keep.digest]
    return cache_dir / digest(how)[:16]


def write_manifest(
    folder: Path,
    files: Mapping[str, SealedFile],
    *,
    backbone: Backbone,
    source: Mapping[str, Any],
    dtype: torch.dtype | None,
) -> None:
    """Writes what makes a folder a copy, last; its files are durable already.

    Raises:
        StoreError: if it cannot be written.
    """
    what: dict[str, Any] = {
        "copy_format": FORMAT,
        "backbone": {"name": backbone.name, "source": backbone.source},
        "source": dict(source),
        "dtype": _dtype_name(dtype),
    }
    write_json_atomic(folder / "manifest.json", Manifest(files=files, extra=what).as_json())


def read_copy(folder: Path) -> PreparedCopy:
    """The copy in `folder`, going by its manifest and the sizes of its files; `find_damage` reads them.

    Raises:
        StoreError: if it is not whole, or of a newer version.
    """
    manifest = read_manifest(folder)
    extra = manifest.extra
    version = extra.get("copy_format")
    if version != FORMAT:
        raise StoreError(f"{folder} is a copy of format {version}, this program knows {FORMAT}. Prepare it again.")
    for name, file in manifest.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != file.size_bytes:
            raise StoreError(f"{path} is missing or not as long as it was written. Prepare the backbone again.")
    kept = None
    if KEPT_FILE in manifest.files:
        try:
            kept = kept_from_json(json.loads((folder / KEPT_FILE).read_text("utf-8")))
        except (OSError, ValueError, DataError) as error:
            raise StoreError(f"{folder / KEPT_FILE}: {error}. Prepare the backbone again.") from None
    dtype = None if extra["dtype"] is None else getattr(torch, extra["dtype"])
    num_bytes = sum(file.size_bytes for file in manifest.files.values())
    return PreparedCopy(folder, kept, dtype, extra["source"], num_bytes)


def find_damage(copy: PreparedCopy) -> str | None:
    """What has changed in a copy's files since they were written; None where nothing has."""
    for name, file in read_manifest(copy.folder).files.items():
        try:
            intact = file_digest(copy.folder / name) == file.sha256
        except (DataError, StoreError) as error:
            return str(error)
        if not intact:
            return f"{copy.folder / name} has changed since it was written"
    return None


def _copy_in(folder: Path) -> PreparedCopy | None:
    """The copy in a folder of the cache, if it is a finished one."""
    if not folder.is_dir() or folder.name.endswith(UNFINISHED) or folder.name.startswith("."):
        return None
    try:
        return read_copy(folder)
    except StoreError as error:
        logger.warning("a prepared copy is passed over: %s", error)
        return None


def _tell_damage(copy: PreparedCopy) -> bool:
    damage = find_damage(copy)
    if damage is not None:
        logger.warning("a prepared copy is passed over: %s; `adapter-transfer prepare` makes it anew", damage)
    return damage is not None


def _dtype_name(dtype: torch.dtype | None) -> str | None:
    return None if dtype is None else str(dtype).removeprefix("torch.")
