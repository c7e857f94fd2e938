"""The tensors of a checkpoint folder, read one at a time: safetensors or pickled, in one file or in shards.

Nothing is mapped into memory: pages of a mapped file count as the process's own for as long as the mapping lives, so
that a file of 14 GB would seem to need 14 GB. What the tensors are for is not known here, apart from their names.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from adapter_transfer.backbones.checkpoints import weight_files, weight_map
from adapter_transfer.backbones.file_headers import pickled_records, read_header
from adapter_transfer.errors import DataError

DTYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F32": torch.float32,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F64": torch.float64,
    "I64": torch.int64,
    "U64": torch.uint64,
}
"""Type of a number, as the header of a safetensors file names it → torch's."""

_WORD_TABLE = "embeddings.word_embeddings.weight"
_MODERN_NAMES = {"gamma": "weight", "beta": "bias"}
_CHUNK_BYTES = 16 << 20
_SHOWN_NAMES = 5


@dataclass(frozen=True)
class TensorInfo:
    """What is known of a tensor before it is read."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def num_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class _Place:
    """Where a tensor's numbers lie.

    Attributes:
        begin: byte in the file at which its first number stands.
        stride: in numbers; None where they stand in order, without gaps.
    """

    path: Path
    begin: int
    stride: tuple[int, ...] | None = None


class TensorFiles:
    """The tensors of a checkpoint folder, read one at a time; owns nothing in memory.

    The one exception are pickles in which a tensor cannot be found without reading all: those of the layout before
    PyTorch 1.6 (2020), and archives that another program has packed anew. They are held in memory for as long as this
    object lives.

    Attributes:
        infos: name → shape and type of every tensor, in the order of the files.
    """

    def __init__(
        self, infos: Mapping[str, TensorInfo], places: Mapping[str, _Place], held: Mapping[str, torch.Tensor]
    ) -> None:
        assert infos.keys() == places.keys() | held.keys()
        self.infos = MappingProxyType(dict(infos))
        self._places, self._held = places, held

    @classmethod
    def open(cls, folder: Path) -> TensorFiles:
        """The tensors in `folder`; only what says where they lie is read.

        Raises:
            DataError: if there are no weights, a shard is missing or lacks a tensor, a file is truncated or damaged, or
                a pickle holds more than tensors. No code of a pickle is run.
        """
        paths = weight_files(folder)
        infos: dict[str, TensorInfo] = {}
        places: dict[str, _Place] = {}
        held: dict[str, torch.Tensor] = {}
        wanted = weight_map(paths[0]) if len(paths) > 1 else None
        for path in paths if wanted is None else paths[1:]:
            found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
            names = found.keys() if wanted is None else [name for name, shard in wanted.items() if shard == path.name]
            missing = sorted(set(names) - found.keys())
            if missing:
                raise DataError(f"{path} lacks {_some(missing)}, which {paths[0].name} says it holds. Bring it again.")
            for name in names:
                info, place = found[name]
                infos[name] = info
                if isinstance(place, _Place):
                    places[name] = place
                else:
                    held[name] = place
        return cls(infos, places, held)

    def tensor(self, name: str) -> torch.Tensor:
        """A copy of the tensor, contiguous on the CPU.

        Raises:
            DataError: if the file cannot be read any more.
        """
        info = self.infos[name]
        place = self._places.get(name)
        if place is None:
            return self._held[name].detach().clone(memory_format=torch.contiguous_format)
        if place.stride is None:
            return _read(place.path, place.begin, info.shape, info.dtype)
        # One of 0 numbers has no last one.
        count = 1 + sum((size - 1) * step for size, step in zip(info.shape, place.stride, strict=True))
        flat = _read(place.path, place.begin, (count if prod(info.shape) else 0,), info.dtype)
        return flat.as_strided(info.shape, place.stride).clone(memory_format=torch.contiguous_format)

    def pieces(self, name: str, ids: npt.NDArray[np.int64] | None = None) -> Iterator[torch.Tensor]:
        """The tensor, or its rows `ids` (ascending), in parts of at most 16 MiB, or one row where that is larger.

        Raises:
            DataError: as `tensor`.
        """
        info, place = self.infos[name], self._places.get(name)
        if place is None or place.stride is not None or not info.shape:
            yield self.tensor(name) if ids is None else self.rows(name, ids)
            return
        wanted = np.arange(info.shape[0]) if ids is None else ids
        assert (np.diff(wanted) > 0).all(), "ids ascend"
        for start, chunk, taken in _chunks(place, info, wanted):
            yield chunk if len(chunk) == taken.stop - taken.start else chunk[torch.from_numpy(wanted[taken] - start)]

    def rows(self, name: str, ids: npt.NDArray[np.int64]) -> torch.Tensor:
        """Rows `ids` of a tensor, in their order: (len(ids), …). Read in chunks of 16 MiB, never the whole at once."""
        info = self.infos[name]
        assert info.shape, f"{name} is one number and has no rows"
        assert not len(ids) or (ids.min() >= 0 and ids.max() < info.shape[0]), f"{name} has {info.shape[0]} rows"
        place = self._places.get(name)
        if place is None or place.stride is not None:
            whole = self._held[name].detach() if place is None else self.tensor(name)
            return whole[torch.from_numpy(ids)].contiguous()
        rows = torch.empty((len(ids), *info.shape[1:]), dtype=info.dtype)
        order = np.argsort(ids, kind="stable")
        for start, chunk, taken in _chunks(place, info, ids[order]):
            rows[torch.from_numpy(order[taken])] = chunk[torch.from_numpy(ids[order[taken]] - start)]
        return rows


def read_infos(path: Path) -> dict[str, TensorInfo]:
    """Shape and type of every tensor of one safetensors file.

    Raises:
        DataError: if it is damaged.
    """
    return {name: info for name, (info, _) in _read_safetensors(path).items()}


def word_table_name(files: TensorFiles) -> str:
    """The name of the table with a row for each token.

    Raises:
        DataError: if none of the tensors is one, or several are.
    """
    found = [name for name in files.infos if name == _WORD_TABLE or name.endswith(f".{_WORD_TABLE}")]
    if len(found) != 1:
        what = f"several: {_some(found)}" if found else f"none among {_some(list(files.infos))}"
        raise DataError(f"the checkpoint is to hold one table of word embeddings (…{_WORD_TABLE}), and it has {what}")
    return found[0]


def body_names(files: TensorFiles, expected: Mapping[str, tuple[int, ...]], prefix: str) -> dict[str, str]:
    """Name in the body → name in the files, for every weight of the body.

    A checkpoint with heads has the body under its prefix ("roberta."); those of before 2019 say `gamma` and `beta`
    for the weight and bias of a norm.

    Args:
        expected: the body's weights and their shapes.
        prefix: `base_model_prefix` of the model class.

    Raises:
        DataError: if weights are missing, stand there twice or have another shape.
    """
    found: dict[str, list[str]] = {}
    for name in files.infos:
        found.setdefault(_modern(name.removeprefix(f"{prefix}.")), []).append(name)
    missing = [name for name in expected if name not in found]
    twice = [other for name in expected for other in found.get(name, [])[1:]]
    if missing or twice:
        lacks = f"lacks weights of the body: {_some(missing)}" if missing else f"holds some twice: {_some(twice)}"
        raise DataError(f"the checkpoint {lacks}")
    names = {name: found[name][0] for name in expected}
    wrong = [
        f"{name} is {files.infos[names[name]].shape}, not {tuple(shape)}"
        for name, shape in expected.items()
        if files.infos[names[name]].shape != tuple(shape)
    ]
    if wrong:
        raise DataError(f"the checkpoint has weights of other shapes than its config.json says: {_some(wrong)}")
    return names


def _modern(name: str) -> str:
    stem, dot, last = name.rpartition(".")
    return f"{stem}{dot}{_MODERN_NAMES.get(last, last)}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more


_Found = dict[str, tuple[TensorInfo, _Place | torch.Tensor]]
"""Name → what is known of a tensor, and where it lies or, where it has to be held, itself."""


def _read_safetensors(path: Path) -> _Found:
    return {
        name: (TensorInfo(stored.shape, DTYPES[stored.dtype]), _Place(path, stored.begin))
        for name, stored in read_header(path).items()
    }


def _read_pickle(path: Path) -> _Found:
    records = pickled_records(path) if zipfile.is_zipfile(path) else {}
    if records:
        _refuse_foreign_bytes(path)
        # Of fake tensors no number is read, and torch notes where each storage begins in the file.
        with FakeTensorMode():
            content = _unpickled(path)
        if all(records.get(_storage_begin(fake)) == fake.untyped_storage().nbytes() for fake in content.values()):
            return {name: _located(path, fake) for name, fake in content.items()}
    # Not found by their place: what was written before 1.6, or packed anew since.
    return {name: (TensorInfo(tuple(it.shape), it.dtype), it) for name, it in _unpickled(path).items()}


def _unpickled(path: Path) -> dict[str, torch.Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, AttributeError, pickle.UnpicklingError) as error:
        # Above what is wrong, torch advises to read the file as code.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        why = next((line for line in lines if "nsupported " in line), lines[0])[:200]
        raise DataError(
            f"{path} cannot be loaded: it is damaged, or holds more than tensors, and no code of a checkpoint is run "
            f"here ({why}). Bring it again, or as safetensors."
        ) from None
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no tensors by name but a {type(content).__name__}. Bring a state_dict.")
    others = [str(name) for name, value in content.items() if not _is_plain(name, value)]
    if others:
        raise DataError(f"{path} holds more than dense tensors by name: {_some(others)}. Bring a state_dict.")
    return content


def _is_plain(name: object, value: object) -> bool:
    return (
        isinstance(name, str)
        and isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and value.dtype in DTYPES.values()
    )


def _storage_begin(fake: torch.Tensor) -> int:
    begin = getattr(fake.untyped_storage(), "_checkpoint_offset", None)
    assert isinstance(begin, int), "torch no longer notes where a storage begins in its file"
    return begin


def _located(path: Path, fake: torch.Tensor) -> tuple[TensorInfo, _Place]:
    begin = _storage_begin(fake) + int(fake.storage_offset()) * fake.dtype.itemsize
    stride = None if fake.is_contiguous() else fake.stride()
    return TensorInfo(tuple(fake.shape), fake.dtype), _Place(path, begin, stride)


def _refuse_foreign_bytes(path: Path) -> None:
    """Numbers written by a big-endian machine would be read as others."""
    with zipfile.ZipFile(path) as archive:
        said = [archive.read(name) for name in archive.namelist() if name.endswith("/byteorder")]
    if said not in ([], [b"little"]):
        raise DataError(f"{path} was written by a big-endian machine. Bring it as safetensors.")


def _read(path: Path, begin: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Numbers as they stand in a file, in a tensor of their own."""
    data = torch.empty(prod(shape) * dtype.itemsize, dtype=torch.uint8)
    numbers: Any = data.numpy()  # which the stubs take for a buffer only from Python 3.12 on
    rest = memoryview(numbers)
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(begin)
            # One call reads at most 2 GiB.
            while rest and (count := file.readinto(rest)):
                rest = rest[count:]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    if rest:
        raise DataError(f"{path} has become shorter while it was read. Bring it again.")
    return data.view(dtype).view(shape)


def _chunks(place: _Place, info: TensorInfo, ids: npt.NDArray[np.int64]) -> Iterator[tuple[int, torch.Tensor, slice]]:
    """Of the chunks of rows in which some of the sorted `ids` lie: first row, rows, and which of the ids they are."""
    row_bytes = prod(info.shape[1:]) * info.dtype.itemsize
    step = max(1, _CHUNK_BYTES // max(1, row_bytes))
    for start in range(0, info.shape[0], step):
        stop = min(start + step, info.shape[0])
        first, last = (int(np.searchsorted(ids, bound)) for bound in (start, stop))
        if first < last:
            shape = (stop - start, *info.shape[1:])
            yield start, _read(place.path, place.begin + start * row_bytes, shape, info.dtype), slice(first, last)
