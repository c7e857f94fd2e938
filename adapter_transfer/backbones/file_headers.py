"""What the first and last bytes of a weight file say: which tensors it holds, and whether all of it is there. No torch.

The layout of safetensors is read and written here (https://huggingface.co/docs/safetensors, "Format"): 8 bytes with the
length of a JSON header, the header, then the tensors' bytes one after the other. Of a pickle, only its wrapping
is known.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

from adapter_transfer.errors import DataError

ITEM_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F64", "I64", "U64"), 8),
}
"""Bytes of one number, by the name of its type in a header."""

_LENGTH_BYTES = 8
# As the library refuses it, so that a damaged length does not ask for all memory.
_MAX_HEADER_BYTES = 100_000_000
_METADATA = "__metadata__"
_ZIP_BEGINNING = b"PK\x03\x04"
# Where in the header before each file of an archive the lengths of its name and of its padding stand, 2 bytes each.
_ZIP_LENGTHS = 26
_AGAIN = "It is damaged or was not copied to its end: bring it again."


@dataclass(frozen=True)
class StoredTensor:
    """One tensor in a safetensors file.

    Attributes:
        dtype: as the header names it ("F32", "BF16").
        begin: of its bytes in the file.
    """

    shape: tuple[int, ...]
    dtype: str
    begin: int

    @property
    def num_bytes(self) -> int:
        return prod(self.shape) * ITEM_BYTES[self.dtype]


def read_header(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file, by name; none of them is read.

    Raises:
        DataError: if it cannot be read, is no such file, or is shorter or longer than its header says.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            start = _LENGTH_BYTES + length
            if not 1 < length <= min(_MAX_HEADER_BYTES, size - _LENGTH_BYTES):
                raise DataError(f"{path} is no whole safetensors file: its header is not there. {_AGAIN}")
            fields = json.loads(file.read(length).decode())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path} is no safetensors file: its header is no valid JSON. {_AGAIN}") from None
    try:
        tensors = {name: _stored(entry, start) for name, entry in fields.items() if name != _METADATA}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is no safetensors file: its header is wrong ({error}). {_AGAIN}") from None
    _require_exact(path, tensors, start, size)
    return tensors


def _stored(entry: Mapping[str, object], start: int) -> StoredTensor:
    shape, dtype, offsets = entry["shape"], entry["dtype"], entry["data_offsets"]
    if not (isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)):
        raise ValueError(f"shape {shape!r}")
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise ValueError(f"dtype {dtype!r}")
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(offset) is int for offset in offsets)):
        raise ValueError(f"data_offsets {offsets!r}")
    tensor = StoredTensor(tuple(shape), dtype, start + offsets[0])
    if offsets[0] < 0 or offsets[1] - offsets[0] != tensor.num_bytes:
        raise ValueError(f"data_offsets {offsets!r} for shape {shape}")
    return tensor


def _require_exact(path: Path, tensors: Mapping[str, StoredTensor], start: int, size: int) -> None:
    """Refuses a file in which the tensors do not lie one after the other up to its very end."""
    end = start
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.begin, tensor.num_bytes)):
        if tensor.begin != end:
            raise DataError(f"{path} is no safetensors file: its tensors overlap or leave gaps. {_AGAIN}")
        end += tensor.num_bytes
    if end != size:
        verb = "is truncated" if size < end else "is longer than it should be"
        raise DataError(f"{path} {verb}: {size:,} bytes are there, its header tells of {end:,}. {_AGAIN}")


def header_bytes(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> bytes:
    """How a safetensors file begins that holds these tensors in this order.

    Args:
        tensors: name → type as headers name it, and shape.
    """
    fields: dict[str, object] = {_METADATA: {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + prod(shape) * ITEM_BYTES[dtype]
        fields[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _LENGTH_BYTES)  # so that the numbers lie where a processor likes them
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def pickled_records(path: Path) -> dict[int, int]:
    """Where the numbers lie in a pickle that torch wrote as a zip archive: first byte → bytes, of every storage.

    Torch numbers storages as it meets them. Since it notes its `.format_version` it writes them in that order, too, and
    takes for granted that they lie so when it is asked where one is.

    Returns:
        Nothing for an archive that another program has packed anew: compressed, or in another order. Its storages
        cannot be found by their place.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
            entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
            # All lie in a folder that is named after the file: <name>/data.pkl, <name>/data/0, <name>/.format_version.
            places = {entry.filename.partition("/")[2]: entry for entry in entries}
            storages = {place: entry for place, entry in places.items() if place.startswith("data/")}
            in_order = list(storages) == [f"data/{number}" for number in range(len(storages))]
            is_packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in storages.values())
            if is_packed or (".format_version" in places and not in_order):
                return {}
            return {_record_start(file, entry.header_offset): entry.file_size for entry in storages.values()}
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is no whole zip archive ({error}). {_AGAIN}") from None


def _record_start(file: BinaryIO, header: int) -> int:
    """Where an archive's file begins, behind its own header of 30 bytes, its name and what pads it."""
    file.seek(header + _ZIP_LENGTHS)
    name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
    return header + _ZIP_LENGTHS + 4 + name + extra


def require_whole(path: Path) -> None:
    """Refuses a file with weights that is visibly not all there; takes milliseconds, whatever its size.

    Of a pickle it is seen only if torch wrote it as a zip archive, whose table stands at the end; it does since 1.6.

    Raises:
        DataError: saying so.
    """
    if path.suffix == ".safetensors":
        read_header(path)
        return
    try:
        with open(path, "rb") as file:
            is_cut = file.read(len(_ZIP_BEGINNING)) == _ZIP_BEGINNING and not zipfile.is_zipfile(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    if is_cut:
        raise DataError(f"{path} is truncated: the table at its end is missing. {_AGAIN}")
