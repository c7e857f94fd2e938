"""A stranger's folder, looked at before anything in it is used: files, JSON, names, tensors, values. No torch.

Nothing here runs what a file holds, and no file is read before its size is known to be bounded. Whether the adapters
suit a backbone is the matter of `fit`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from adapter_transfer.backbones.file_headers import ITEM_BYTES, StoredTensor, read_header
from adapter_transfer.durable import MANIFEST_NAME
from adapter_transfer.errors import DataError
from adapter_transfer.sharing.listing import (
    DEFAULT_MAX_BYTES,
    GIT_FILE,
    LICENCES,
    MAX_FILES,
    MAX_TEXT_BYTES,
    SETUP_FILE,
    UnsafePackageError,
    is_fusion_name,
    review,
    shown,
    size_limit,
)
from adapter_transfer.sharing.package import ADAPTER_FILES, CARD, FUSION_FILES, HEAD_FILES
from adapter_transfer.sharing.references import is_safe_name
from adapter_transfer.sharing.strict_json import control_character, keys_in, parse_strict, texts_in

MAX_HEADER_BYTES = 4 * 2**20
"""The header of one is read as JSON, which takes some thirty times its size for a moment."""
MAX_TENSORS = 20_000
"""In one file. Two bottlenecks in each of 48 layers are some 500."""

_CONFIGS = (ADAPTER_FILES[0], HEAD_FILES[0], FUSION_FILES[0])
_TEXTS = (CARD, *LICENCES)
# Of what a file may consist, by name as headers have it: the type to read it as, and the bits that are all set in what
# is no number (the exponent's).
_EXPONENTS: Mapping[str, tuple[str, int]] = {
    "F32": ("<u4", 0x7F800000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}
WEIGHT_TYPES = tuple(_EXPONENTS)
"""Of tensors, as headers name them."""
_CODE_KEYS = frozenset(("auto_map", "trust_remote_code", "custom_code"))
_BREAKS = frozenset("\n\r\t\u2028\u2029")
_MAX_DIMENSIONS = 8
_MAX_KEY = 300
_MAX_FOLDERS = 3
_CHUNK_BYTES = 8 * 2**20
_DISGUISES = (
    (b"PK\x03\x04", "a zip archive or a pickle of torch"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
)
_PICKLES = (
    *(bytes((0x80, protocol)) for protocol in range(1, 6)),
    b"c__builtin__\n",
    b"cbuiltins\n",
    b"cos\n",
    b"cposix\n",
)
"""How pickles begin; those that are text (protocol 0), where they call something."""
_TAR_MARK, _TAR_PLACE = b"ustar", 257


def inspect_package(folder: Path, *, max_bytes: int = DEFAULT_MAX_BYTES, check_values: bool = True) -> None:
    """Refuses a folder in which anything but a whole package of plain files lies.

    Looked at are kinds of files (links, devices), names, sizes, JSON, names in configurations, the headers of
    safetensors and, in chunks of 8 MiB, whether every value is finite.

    Args:
        folder: what a stranger made; may itself be a link of the user's.
        max_bytes: of one weight file.
        check_values: reads the tensors; without it, only what stands around them.

    Raises:
        UnsafePackageError: with everything that was found.
    """
    listing, problems = _list(folder)
    admitted, told_of_names = review(listing, max_bytes=max_bytes)
    problems += told_of_names
    for path in admitted:
        if listing[path] > size_limit(path, max_bytes):
            continue  # told already, and not to be read
        told = _faults(folder / path, path.rpartition("/")[2], admitted, check_values=check_values)
        problems += [f"{shown(path)}: {fault}" for fault in told]
    if problems:
        raise UnsafePackageError(problems)


def read_untrusted(path: Path, limit: int = MAX_TEXT_BYTES) -> bytes:
    """The content of a plain file, no link, of at most `limit` bytes.

    Raises:
        ValueError: if it is anything else.
        OSError: if it cannot be read.
    """
    with open(_opened(path), "rb") as file:
        # Asked for no more than there is: a buffer is made as large as what is asked for.
        data = file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)
    if len(data) > limit:
        raise ValueError(f"is larger than {limit:,} bytes")
    return data


def _opened(path: Path) -> int:
    # Not through a link, and without waiting for a pipe's other end.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("is no ordinary file")
    return descriptor


def _list(folder: Path) -> tuple[dict[str, int], list[str]]:
    """Path → bytes of every plain file, and what is wrong with the rest; nothing is opened."""
    listing: dict[str, int] = {}
    problems: list[str] = []
    waiting = [""]
    num_entries = 0
    try:
        while waiting:
            place = waiting.pop()
            with os.scandir(folder / place) as entries:
                for entry in entries:
                    num_entries += 1
                    if num_entries > 2 * MAX_FILES:
                        raise UnsafePackageError(f"{folder}: has more than {2 * MAX_FILES:,} files. Is it a package?")
                    path = f"{place}{entry.name}"
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        listing[path] = status.st_size
                    elif not stat.S_ISDIR(status.st_mode):
                        problems.append(f"{shown(path)}: {_unusual(status.st_mode)}")
                    elif path.count("/") + 1 >= _MAX_FOLDERS:
                        problems.append(f"{shown(path)}: folders of a package are two deep at most. Remove it.")
                    else:
                        waiting.append(f"{path}/")
    except OSError as error:
        raise UnsafePackageError(
            f"{folder}: cannot be read ({error.strerror}). Name the folder of a package."
        ) from None
    return listing, problems


def _unusual(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "is a symbolic link, which could lead anywhere. Put the file itself in its place."
    return "is a device, a pipe or a socket. Remove it."


def _faults(path: Path, name: str, admitted: tuple[str, ...], *, check_values: bool) -> Iterator[str]:
    """What is wrong with one file; its size is bounded already."""
    try:
        if name.endswith(".safetensors"):
            yield from _weight_faults(path, check_values=check_values)
        elif name in _TEXTS:
            yield from _text_faults(read_untrusted(path))
        else:
            yield from _json_faults(parse_strict(read_untrusted(path)), name, admitted)
    except (DataError, ValueError) as error:
        yield str(error)
    except OSError as error:
        yield f"cannot be read ({error.strerror})"


def _text_faults(data: bytes) -> Iterator[str]:
    # A card's front matter is YAML, and is not read here or anywhere else in this package: a few lines of aliases
    # would fill the memory of a reader that puts in what they stand for.
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield f"is no UTF-8 text (byte {error.start:,})"
        return
    if (char := control_character(text)) is not None:
        yield f"has a control character ({char!r}), which a terminal may obey. Remove it."


def _json_faults(fields: Mapping[str, Any], name: str, admitted: tuple[str, ...]) -> Iterator[str]:
    for key in sorted(_CODE_KEYS.intersection(keys_in(fields))):
        yield f"has the key {key!r}, which asks for somebody's code to be run. An adapter needs none."
    # What stands here is shown in lines and tables, where a second line would pass for one of ours.
    if (broken := next((text for text in texts_in(fields) if set(text) & _BREAKS), None)) is not None:
        yield f"has a line break or a tab in a text ({shown(broken)}). Texts here are of one line."
    if name in _CONFIGS:
        yield from _config_faults(fields, name)
    elif name == SETUP_FILE:
        for told in _names_in_setup(fields):
            if not is_safe_name(told):
                yield f"names an adapter {shown(told)}; names are letters, digits, - and _, 64 at most"
    elif name == MANIFEST_NAME:
        yield from _manifest_faults(fields, admitted)


def _config_faults(fields: Mapping[str, Any], name: str) -> Iterator[str]:
    told = fields.get("name")
    is_fusion = name == FUSION_FILES[0]
    if not (is_safe_name(told) or (is_fusion and is_fusion_name(told))):
        yield (
            f"its name is {shown(told)}, and the library makes paths of names; they are letters, digits, - and _, "
            "64 at most. Save it under such a name."
        )
    if not isinstance(fields.get("config"), dict):
        yield "its config is no object with settings. Save the adapter again with adapters 1.0 or later."
    for key in ("model_name", "model_type", "model_class", "version"):
        if not isinstance(fields.get(key), str | None):
            yield f"its {key} is no text"
    fused = fields.get("adapter_names", []) if is_fusion else []
    if not (isinstance(fused, list) and all(is_safe_name(each) for each in fused)):
        yield f"its adapter_names {shown(fused)} are no names of adapters"


def _names_in_setup(fields: Mapping[str, Any]) -> Iterator[object]:
    """What an `adapter_setup.json` names: the leaves of its blocks."""
    waiting: list[object] = [fields.get("adapter_setup"), fields.get("head_setup")]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.append(item.get("children"))
        elif isinstance(item, list):
            waiting += item
        elif item is not None and type(item) is not bool:
            yield item


def _manifest_faults(fields: Mapping[str, Any], admitted: tuple[str, ...]) -> Iterator[str]:
    listed = fields.get("files")
    if not isinstance(listed, dict):
        yield "lists no files"
        return
    for path in listed.keys() - {*admitted}:
        yield f"lists {shown(path)}, which is not there"
    for path in {*admitted} - listed.keys() - {MANIFEST_NAME, GIT_FILE, *_TEXTS}:
        yield f"does not list {shown(path)}, so that nobody knows what should be in it"


def _weight_faults(path: Path, *, check_values: bool) -> Iterator[str]:
    with open(_opened(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        beginning = file.read(512)
        length = int.from_bytes(beginning[:8], "little")
        if len(beginning) < 10 or not 1 < length <= min(MAX_HEADER_BYTES, size - 8) or beginning[8:9] != b"{":
            yield _disguise(beginning, length)
            return
        file.seek(8)
        try:
            fields = parse_strict(file.read(length))
        except ValueError as error:
            yield f"its header {error}"
            return
    metadata = fields.get("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        yield "its header has metadata that are no texts"
    if len(fields) > MAX_TENSORS:
        yield f"has {len(fields):,} tensors, more than the {MAX_TENSORS:,} that are allowed"
        return
    try:
        tensors = read_header(path)
    except DataError as error:
        yield str(error).removeprefix(f"{path} ")
        return
    odd = [fault for name, tensor in tensors.items() if (fault := _tensor_fault(name, tensor)) is not None]
    yield from odd[:3]
    if len(odd) > 3:
        yield f"and {len(odd) - 3:,} more tensors are like that"
    if check_values and not odd:
        bad = [name for name, tensor in tensors.items() if not _is_finite(path, tensor)]
        if bad:
            more = f" and {len(bad) - 3:,} more tensors" if len(bad) > 3 else ""
            yield f"has values that are not finite in {', '.join(map(shown, bad[:3]))}{more}. It is damaged, or a trap."


def _disguise(beginning: bytes, length: int) -> str:
    """What a file is that has no header of safetensors."""
    what = next((told for mark, told in _DISGUISES if beginning.startswith(mark)), None)
    if what is None and beginning[_TAR_PLACE:].startswith(_TAR_MARK):
        what = "a tar archive"
    # A short header may begin with the same two bytes; a pickle's next ones make a length beyond all limits.
    if what is None and beginning.startswith(_PICKLES) and length > MAX_HEADER_BYTES:
        what = "a pickle"
    if what is not None:
        return f"is {what}, not safetensors, whatever it is called. Do not use it."
    return f"is no safetensors file: it claims a header of {length:,} bytes. It is damaged, or something else."


def _tensor_fault(name: str, tensor: StoredTensor) -> str | None:
    if len(name) > _MAX_KEY or not (name.isascii() and name.isprintable()):
        return f"has a tensor of an odd name ({shown(name)})"
    if tensor.dtype not in _EXPONENTS:
        return f"has a tensor of {tensor.dtype} ({shown(name)}); weights are {', '.join(WEIGHT_TYPES)}"
    if len(tensor.shape) > _MAX_DIMENSIONS or 0 in tensor.shape:
        return f"has a tensor of an odd shape ({shown(name)}: {shown(list(tensor.shape))})"
    return None


def _is_finite(path: Path, tensor: StoredTensor) -> bool:
    """Whether a tensor holds numbers alone; read in chunks, whatever its size."""
    kind, exponent = _EXPONENTS[tensor.dtype]
    left = tensor.num_bytes // ITEM_BYTES[tensor.dtype]
    with open(_opened(path), "rb") as file:
        file.seek(tensor.begin)
        while left:
            bits = np.frombuffer(file.read(min(left * ITEM_BYTES[tensor.dtype], _CHUNK_BYTES)), dtype=kind)
            if not len(bits) or bool(((bits & exponent) == exponent).any()):
                return False
            left -= len(bits)
    return True
