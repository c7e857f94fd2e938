"""What the copy of a checkpoint will hold, and everything that can be wrong with the checkpoint, before it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel

from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.prepared import copy_dir, source_identity
from adapter_transfer.backbones.tensor_files import TensorFiles, TensorInfo, body_names, word_table_name
from adapter_transfer.backbones.tensor_writing import TensorSource
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.vocabulary import KeptTokens
from adapter_transfer.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class CopyPlan:
    """A copy that can be made.

    Attributes:
        names: name in the body → name in `files`.
        table: the body's name of the table of word embeddings.
        fields: of the original's configuration.
        dtype: what weights are rounded to; None keeps them as published.
        keep: rows of the table that are copied; None for all.
        final: the folder that the copy will have.
    """

    backbone: Backbone
    files: TensorFiles
    names: Mapping[str, str]
    table: str
    fields: Mapping[str, Any]
    source: Mapping[str, Any]
    dtype: torch.dtype | None
    keep: KeptTokens | None
    final: Path

    @cached_property
    def infos(self) -> dict[str, TensorInfo]:
        """Shape and type of every tensor of the copy, by its name in the body."""
        return {name: self._info(name) for name in self.names}

    def _info(self, name: str) -> TensorInfo:
        info = self.files.infos[self.names[name]]
        shape = (len(self.keep), *info.shape[1:]) if self.keep is not None and name == self.table else info.shape
        return TensorInfo(shape, self.dtype or info.dtype)

    @property
    def num_bytes(self) -> int:
        """Of the weights."""
        return sum(info.num_bytes for info in self.infos.values())

    def trimmed(self, keep: KeptTokens) -> CopyPlan:
        """The plan of a copy with these rows of the table only.

        Raises:
            DataError: if they are rows of another table.
        """
        num_rows = self.files.infos[self.names[self.table]].shape[0]
        if keep.num_rows != num_rows:
            raise DataError(
                f"backbone {self.backbone.name!r}: the tokens to keep are of a table of {keep.num_rows:,} rows, and "
                f"this one has {num_rows:,}"
            )
        if keep.is_whole:
            return self
        return replace(self, keep=keep, final=copy_dir(self.final.parent, self.source, self.dtype, keep))

    def shards(self, shard_bytes: int) -> dict[str, list[str]]:
        """Name of each file → the tensors in it, in the body's order; one that is larger than a shard stands alone."""
        groups: list[list[str]] = []
        filled = 0
        for name, info in self.infos.items():
            if not groups or filled + info.num_bytes > shard_bytes:
                groups.append([])
                filled = 0
            groups[-1].append(name)
            filled += info.num_bytes
        if len(groups) == 1:
            return {"model.safetensors": groups[0]}
        return {f"model-{n:05d}-of-{len(groups):05d}.safetensors": group for n, group in enumerate(groups, 1)}

    def tensor_source(self, name: str, tell: Callable[[int], None]) -> TensorSource:
        """One tensor of the copy, read from the original piece by piece."""
        info, ids = self.infos[name], self.keep.ids if self.keep is not None and name == self.table else None

        def pieces() -> Iterator[torch.Tensor]:
            for piece in self.files.pieces(self.names[name], ids):
                yield piece.to(info.dtype)
                tell(piece.numel() * info.dtype.itemsize)

        return TensorSource(info, pieces)


def plan_copy(
    backbone: Backbone, cache_dir: Path, *, dtype: torch.dtype | None = None, keep: KeptTokens | None = None
) -> CopyPlan:
    """Looks at a checkpoint, which is downloaded if need be, and says what its copy will be. Nothing is written here.

    Raises:
        ConfigError: if the backbone has no weights of its own, or an architecture that is not supported.
        DataError: if files are missing or damaged, weights are missing or of another shape than the configuration says,
            or the tokenizer has more tokens than the embedding table has rows.
    """
    if backbone.weights != "pretrained":
        raise ConfigError(f"backbone {backbone.name!r} has random weights, which are made anew: nothing to prepare")
    reason = backbone.unsupported_reason()
    if reason is not None:
        raise ConfigError(reason)
    path = backbone.model_path
    fields = backbone.config_fields()
    try:
        files = TensorFiles.open(path)
        expected, prefix, class_name = _body_shapes(fields)
        names = body_names(files, expected, prefix)
        body_table = {file: name for name, file in names.items()}[word_table_name(files)]
    except DataError as error:
        raise DataError(f"backbone {backbone.name!r}: {error}") from None
    num_rows = expected[body_table][0]
    num_tokens = 0 if backbone.trains_tokenizer else len(load_tokenizer(backbone))
    if num_tokens > num_rows:
        raise DataError(
            f"backbone {backbone.name!r}: the tokenizer has {num_tokens:,} tokens and the embedding table only "
            f"{num_rows:,} rows. They do not belong together: bring the tokenizer that came with the model."
        )
    if all(files.infos[name].dtype == dtype for name in names.values()):
        dtype = None
    source = source_identity(backbone)
    whole = CopyPlan(
        backbone=backbone,
        files=files,
        names=names,
        table=body_table,
        fields={**fields, "architectures": [class_name]},
        source=source,
        dtype=dtype,
        keep=None,
        final=copy_dir(cache_dir, source, dtype, None),
    )
    return whole if keep is None else whole.trimmed(keep)


def _body_shapes(fields: Mapping[str, Any]) -> tuple[dict[str, tuple[int, ...]], str, str]:
    """Shapes of the body's weights, the prefix that they have beside a head, and the name of its class."""
    try:
        config = AutoConfig.for_model(**fields)
        with torch.device("meta"):
            body = AutoModel.from_config(config, add_pooling_layer=False)
    except Exception as error:  # a configuration can be wrong in more ways than one
        raise DataError(f"its config.json makes no model ({type(error).__name__}: {error})") from None
    shapes = {name: tuple(tensor.shape) for name, tensor in body.state_dict().items()}
    return shapes, body.base_model_prefix, type(body).__name__
