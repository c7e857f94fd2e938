"""Which files of a stranger's repository or folder may be fetched or read, by their names and sizes alone. No torch.

A package consists of a few files of known names in folders of safe names (`package`). All else is refused: what is not
needed cannot do harm. What stands in the files is the matter of `inspection`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from adapter_transfer.durable import MANIFEST_NAME
from adapter_transfer.errors import DataError
from adapter_transfer.sharing.package import ADAPTER_FILES, CARD, FUSION_FILES, HEAD_FILES
from adapter_transfer.sharing.references import is_safe_name

DEFAULT_MAX_BYTES = 4 * 2**30
"""Of one weight file. An adapter of the largest encoder here has some hundreds of MB."""
MAX_TEXT_BYTES = 2**20
"""Of a file of JSON, a card or a licence."""
MAX_FILES = 1_000
"""Of a package; one with ten seeds of three adapters has some hundred."""
TOTAL_FACTOR = 4
"""All weight files together may have this many times what one may have."""

SETUP_FILE = "adapter_setup.json"
GIT_FILE = ".gitattributes"
"""The Hub puts one into every repository; it is no part of a package and never fetched."""
LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md")
PAIRS = (ADAPTER_FILES, HEAD_FILES, FUSION_FILES)
"""Configuration and weights of whatever a folder of a package can hold."""
PICKLE_FILES = ("pytorch_adapter.bin", "pytorch_model_head.bin")
"""Weights of an adapter and of its head, as AdapterHub publishes them."""

_ROOT_ONLY = (MANIFEST_NAME, SETUP_FILE, CARD, *LICENCES, GIT_FILE)
_WEIGHTS = frozenset(weights for _, weights in PAIRS)
_HARMLESS = (CARD, *LICENCES, GIT_FILE)
_SEED_FOLDER = re.compile(r"seed-[0-9]{1,9}")
_MAX_FUSED = 16
_MAX_LISTED = 10 * MAX_FILES
_MAX_PATH = 255
_MAX_SHOWN = 80
_MAX_PROBLEMS = 12
_MAX_NAMES = 6

_CONVERT = (
    "If you trust who published it, `adapter-transfer adapters pull hub:organisation/name --convert` makes safetensors "
    "of its pickle, in a process of its own"
)
_LEAVE_OUT = "leave it out with --leave-out-unknown, or remove it from the folder"

Kind = Literal["pickle", "archive", "code", "unknown"]

_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(
        (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".dill", ".joblib", ".npy", ".npz", ".h5", ".msgpack"),
        "pickle",
    ),
    **dict.fromkeys(
        (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".lz4", ".7z", ".rar", ".whl", ".jar", ".egg"), "archive"
    ),
    **dict.fromkeys(
        (
            ".py",
            ".pyc",
            ".pyd",
            ".pyw",
            ".pyz",
            ".ipynb",
            ".so",
            ".dll",
            ".dylib",
            ".exe",
            ".sh",
            ".bat",
            ".ps1",
            ".js",
        ),
        "code",
    ),
}

_REASONS: Mapping[Kind, str] = {
    "pickle": "pickles can run any program when they are read; adapters are shared as safetensors. "
    f"{_CONVERT}; where safetensors lie beside them, {_LEAVE_OUT}",
    "archive": f"archives are never unpacked here. Ask for the files themselves; {_LEAVE_OUT}",
    "code": f"program code is never needed by an adapter (there is no trust_remote_code here); {_LEAVE_OUT}",
    "unknown": f"no file of an adapter; {_LEAVE_OUT}",
}


class UnsafePackageError(DataError):
    """What a stranger offers is refused. Holds every problem found, not only the first; the message shows some.

    Attributes:
        problems: each with the file's name, what is wrong and what to do.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(limited(self.problems, _MAX_PROBLEMS)))


def shown(text: object) -> str:
    """Somebody else's text for a message: quoted, without anything that a terminal would obey, not too long."""
    told = repr(text)
    return told if len(told) <= _MAX_SHOWN else f"{told[: _MAX_SHOWN - 4]}…{told[-1]}"


def limited(problems: Sequence[str], most: int) -> list[str]:
    """The first problems, and a line with the number of the others."""
    more = len(problems) - most
    return [*problems[:most], f"and {more:,} more problems"] if more > 0 else [*problems]


def admitted_files(
    listing: Mapping[str, int], *, max_bytes: int = DEFAULT_MAX_BYTES, leave_out_unknown: bool = False
) -> tuple[str, ...]:
    """Names out of a repository's or a folder's listing that may be fetched and read, sorted.

    Args:
        listing: path relative to the repository, with forward slashes → bytes.
        max_bytes: of one weight file.
        leave_out_unknown: leaves out pickles, archives, code and unknown files, if their names are safe, in place of
            refusing them.

    Raises:
        UnsafePackageError: with everything that is refused, and what to do instead.
    """
    admitted, problems = review(listing, max_bytes=max_bytes, leave_out_unknown=leave_out_unknown)
    if problems:
        raise UnsafePackageError(problems)
    return admitted


def review(
    listing: Mapping[str, int], *, max_bytes: int = DEFAULT_MAX_BYTES, leave_out_unknown: bool = False
) -> tuple[tuple[str, ...], list[str]]:
    """As `admitted_files`, for who goes on to look for more: the known files, and all problems.

    Raises:
        UnsafePackageError: for a listing that is too long to be worth looking at.
    """
    problems = _too_many(listing)
    admitted: dict[str, int] = {}
    refused: dict[str, Kind] = {}
    for path, size in listing.items():
        if (fault := _path_fault(path)) is not None:
            problems.append(f"{shown(path)}: {fault}")
        elif not _is_known(path):
            refused[path] = _kind_of(path)
        elif not path.endswith(GIT_FILE):
            admitted[path] = size
    if not leave_out_unknown:
        problems += _refusals(refused)
    problems += _collisions(admitted)
    problems += _size_faults(admitted, max_bytes)
    if any(path.rpartition("/")[2] in _WEIGHTS for path in admitted):
        problems += _unpaired(admitted, PAIRS)
    elif leave_out_unknown and "pickle" in refused.values():
        problems.append(f"the weights are pickles alone, there is no {ADAPTER_FILES[1]}. {_CONVERT}")
    elif not problems:
        problems.append(f"there are no weights of an adapter ({ADAPTER_FILES[1]}). Check the name and the revision.")
    return tuple(sorted(admitted)), problems


def admitted_pickles(
    listing: Mapping[str, int], *, max_bytes: int = DEFAULT_MAX_BYTES, leave_out_unknown: bool = False
) -> tuple[str, ...]:
    """Names of the files of one adapter that was published as a pickle: what a conversion may be given, sorted.

    These are `adapter_config.json` and `pytorch_adapter.bin`, of a head `head_config.json` and
    `pytorch_model_head.bin`, all in the root, a card and a licence.

    Args:
        listing, max_bytes, leave_out_unknown: as `admitted_files`.

    Raises:
        UnsafePackageError: with everything that is refused; also where there is nothing to convert.
    """
    problems = _too_many(listing)
    pairs = ((ADAPTER_FILES[0], PICKLE_FILES[0]), (HEAD_FILES[0], PICKLE_FILES[1]))
    known = {*_HARMLESS, *(name for pair in pairs for name in pair)}
    admitted: dict[str, int] = {}
    refused: dict[str, Kind] = {}
    for path, size in listing.items():
        if (fault := _path_fault(path)) is not None:
            problems.append(f"{shown(path)}: {fault}")
        elif path.rpartition("/")[2] in _WEIGHTS:
            problems.append(
                f"{shown(path)}: is safetensors, so there is nothing to convert; pull without --convert, and leave out "
                "pickles beside it with --leave-out-unknown"
            )
        elif path not in known:
            kind = _kind_of(path)
            refused[path] = "unknown" if kind == "pickle" else kind
        elif path != GIT_FILE:
            admitted[path] = size
    if not leave_out_unknown:
        problems += _refusals(refused)
    problems += _collisions(admitted)
    problems += _size_faults(admitted, max_bytes)
    problems += list(_unpaired(admitted, pairs))
    if not problems and PICKLE_FILES[0] not in admitted:
        problems.append(f"there is no {PICKLE_FILES[0]} to convert. Check the name and the revision.")
    if problems:
        raise UnsafePackageError(problems)
    return tuple(sorted(admitted))


def size_limit(path: str, max_bytes: int) -> int:
    """Bytes that a file of a package may have."""
    return max_bytes if path.rpartition("/")[2] in (*_WEIGHTS, *PICKLE_FILES) else MAX_TEXT_BYTES


def is_fusion_name(name: object) -> bool:
    """Whether a name is one that the library gives a fusion: the fused adapters' names with commas between them."""
    parts = name.split(",") if isinstance(name, str) and len(name) <= _MAX_PATH else []
    return 2 <= len(parts) <= _MAX_FUSED and all(is_safe_name(part) for part in parts)


def _too_many(listing: Mapping[str, int]) -> list[str]:
    """Ends at once for a listing that is not worth looking at."""
    if len(listing) > _MAX_LISTED:
        raise UnsafePackageError(
            f"there are {len(listing):,} files, where a package has {MAX_FILES:,} at most. Check the name."
        )
    return []


def _path_fault(path: object) -> str | None:
    """What is wrong with a path, whatever it is a path of; None where it can only lead into a package."""
    if not isinstance(path, str) or not path:
        return "is no name of a file"
    if len(path) > _MAX_PATH:
        return f"its name is longer than {_MAX_PATH} characters"
    # Printable ASCII alone: no control characters, no letters that look like others, nothing that disks write in two
    # ways. Of these, a colon makes a drive or a URL, and a backslash is a slash elsewhere.
    if not (path.isascii() and path.isprintable()) or set(path) & set('\\:*?"<>|%$~'):
        return "its name has characters that are not allowed: use letters, digits, dots, - and _ in names"
    if any(part in ("", ".", "..") or part != part.strip() for part in path.split("/")):
        return "its name leads out of the package or is no plain path"
    return None


def _is_known(path: str) -> bool:
    *folders, name = path.split("/")
    if not folders:
        return name in _ROOT_ONLY or any(name in pair for pair in PAIRS)
    *seeds, own = folders
    if len(seeds) > 1 or any(not _SEED_FOLDER.fullmatch(seed) for seed in seeds):
        return False
    return (is_safe_name(own) or is_fusion_name(own)) and any(name in pair for pair in PAIRS)


def _kind_of(path: str) -> Kind:
    # All endings count: weights.tar.gz, payload.py.txt.
    endings = path.rpartition("/")[2].lower().split(".")[1:]
    return next((_KINDS[f".{ending}"] for ending in reversed(endings) if f".{ending}" in _KINDS), "unknown")


def _refusals(refused: Mapping[str, Kind]) -> Iterator[str]:
    """One problem for all files of a kind."""
    for kind, reason in _REASONS.items():
        names = [shown(path) for path, its_kind in refused.items() if its_kind == kind]
        if names:
            more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
            yield f"{', '.join(names[:_MAX_NAMES])}{more}: {reason}"


def _collisions(admitted: Mapping[str, int]) -> Iterator[str]:
    """Two names that are one on a disk that does not tell capitals apart, or a folder called like a file."""
    seen: dict[str, str] = {}
    folders = {
        "/".join(parts[:end]) for path in admitted for parts in [path.split("/")] for end in range(1, len(parts))
    }
    for path in (*sorted(admitted), *sorted(folders)):
        other = seen.setdefault(path.lower(), path)
        if other != path or (path in admitted and path in folders):
            yield f"{shown(path)}: is the same as {shown(other)} on disks that do not tell capitals apart. Rename one."


def _size_faults(admitted: Mapping[str, int], max_bytes: int) -> Iterator[str]:
    total = 0
    for path, size in admitted.items():
        if type(size) is not int or size < 0:
            yield f"{shown(path)}: its size is not known"
            continue
        total += size
        if size > (limit := size_limit(path, max_bytes)):
            more = " Allow more with --max-size if you expect it." if limit == max_bytes else " None needs that."
            yield f"{shown(path)}: has {size:,} bytes, more than the {limit:,} that are allowed.{more}"
    if len(admitted) > MAX_FILES:
        yield f"there are {len(admitted):,} files, where a package has {MAX_FILES:,} at most"
    if total > TOTAL_FACTOR * max_bytes:
        yield f"all files together have {total:,} bytes, more than the {TOTAL_FACTOR * max_bytes:,} that are allowed"


def _unpaired(admitted: Mapping[str, int], pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Weights without their configuration, or the other way round."""
    for path in admitted:
        folder, slash, name = path.rpartition("/")
        for pair in pairs:
            if name in pair:
                other = folder + slash + pair[1 - pair.index(name)]
                if other not in admitted:
                    yield f"{shown(path)}: {shown(other)} is missing beside it. The package is not whole."
