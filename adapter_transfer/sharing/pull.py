"""Adapters from the Hub in the store: fetched at a commit, checked, and put there whole or not at all.

    <adapters folder>/<org>--<name>@<12 digits of the commit>[-converted]/
        manifest.json   SHA-256 of every file (`durable.seal`), and under `pulled` where they are from
        package/        the files as they are on the Hub, or as a conversion made them of a pickle

What was pulled is used without a request. `inspection` says what may be in a package, `reading` what it is.
"""

from __future__ import annotations

import logging
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapter_transfer.durable import (
    MANIFEST_NAME,
    is_temporary,
    make_folders,
    publish_first,
    replace_directory,
    seal,
    storage_errors,
    temporary_path,
    verify,
)
from adapter_transfer.errors import AdapterTransferError, DataError, StoreError
from adapter_transfer.hub import HubError, RepoKind, download_files, is_commit, resolve_commit
from adapter_transfer.sharing.conversion import convert_pickles
from adapter_transfer.sharing.hub import file_sizes
from adapter_transfer.sharing.inspection import inspect_package
from adapter_transfer.sharing.listing import (
    DEFAULT_MAX_BYTES,
    LICENCES,
    UnsafePackageError,
    admitted_files,
    admitted_pickles,
    shown,
)
from adapter_transfer.sharing.package import CARD, Package, content_digest
from adapter_transfer.sharing.reading import read_package
from adapter_transfer.sharing.references import PREFIX, HubAdapter, parse_hub_adapter

logger = logging.getLogger(__name__)

PACKAGE_DIR = "package"
_CONVERTED = "-converted"
_SHOWN_DIGITS = 12


class _DamagedError(DataError):
    """What was pulled is not as it was, and can be fetched again."""


@dataclass(frozen=True)
class Pulled:
    """A package from the Hub that is in the store, and was whole when it was looked at.

    Attributes:
        folder: the package: its files as on the Hub, or as converted.
        reference: by its commit and, where it was converted, by its content: what experiments name.
        asked: the revision that it was pulled by: a branch, a tag or a commit.
        package: what it says of itself, or what can be known of it.
    """

    folder: Path
    reference: HubAdapter
    asked: str
    package: Package


def pull(
    wanted: HubAdapter,
    adapters_dir: Path,
    *,
    convert: bool = False,
    leave_out_unknown: bool = False,
    max_bytes: int = DEFAULT_MAX_BYTES,
    commit: Callable[[RepoKind, str, str], str] = resolve_commit,
) -> Pulled:
    """Fetches an adapter, checks it and puts it into the store; what is there and intact is returned as it is.

    Nothing is written but one new folder in `adapters_dir` and, below it, a hidden one while it lasts; downloads go
    into huggingface_hub's cache first, where what is broken off goes on.

    Args:
        wanted: with a digest, its conversion has to give just that content.
        convert: turn a pickle into safetensors, in a process of its own. For a source that is trusted.
        leave_out_unknown: files that no adapter needs stay on the Hub, in place of being refused.
        max_bytes: of one file of weights.
        commit: gives the commit of a revision; a lock's, or the Hub's.

    Raises:
        ConfigError: `wanted` is no name on the Hub.
        UnsafePackageError: the repository, or what is in its files, is not what an adapter may be.
        HubError: as `hub.resolve_commit`.
        DataError: a conversion was named and is not there, or gives another content.
        StoreError: it cannot be written.
    """
    asked = parse_hub_adapter(str(wanted))
    at = asked.at(commit("model", asked.repo, asked.revision))
    place = _place(at, adapters_dir, is_converted=convert or at.digest is not None)
    is_damaged = False
    try:
        if (there := _read_place(place, at)) is not None:
            return there
    except _DamagedError as error:
        logger.warning("fetching it again: %s", error)
        is_damaged = True
    if at.digest is not None and not convert:
        raise DataError(
            f"{at} was converted from a pickle, and the conversion is not here. If you trust its source, make it: "
            f"adapter-transfer adapters pull --convert '{at}' --store {shlex.quote(str(adapters_dir.parent))}"
        )
    make_folders(adapters_dir)
    temporary = temporary_path(place)
    try:
        with _told_of(at, temporary):
            _fetch(at, asked.revision, temporary, convert, leave_out_unknown, max_bytes)
        # Of two who pull the same the first wins: nothing is taken away that somebody may be reading.
        (replace_directory if is_damaged else publish_first)(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    pulled = _read_place(place, at)
    assert pulled is not None, "it was published"
    return pulled


def is_there(wanted: HubAdapter, adapters_dir: Path) -> bool:
    """Whether something lies where an adapter at a commit would; whether it is whole is found when it is read."""
    return _place(wanted, adapters_dir, is_converted=wanted.digest is not None).is_dir()


def find_pulled(wanted: HubAdapter, adapters_dir: Path) -> Pulled | None:
    """What was pulled of an adapter at a commit, read and checked again; None where it was not. Asks nobody.

    Raises:
        DataError, StoreError: it is damaged, or not the content that `wanted` names.
        ConfigError: `wanted` is no name on the Hub.
    """
    checked = parse_hub_adapter(str(wanted))
    assert is_commit(checked.revision), f"{wanted} names no commit: resolve_commit gives one"
    return _read_place(_place(checked, adapters_dir, is_converted=checked.digest is not None), checked)


def all_pulled(adapters_dir: Path) -> list[Pulled | AdapterTransferError]:
    """Everything that was pulled, the newest first, each read and checked again; in place of what is damaged, why."""
    if not adapters_dir.is_dir():
        return []
    with storage_errors("read", adapters_dir):
        places = [path for path in adapters_dir.iterdir() if path.is_dir() and not is_temporary(path.name)]
        places.sort(key=lambda path: (-path.stat().st_mtime, path.name))
    found: list[Pulled | AdapterTransferError] = []
    for place in places:
        try:
            found.append(_read(place))
        except AdapterTransferError as error:
            found.append(error)
    return found


def _place(at: HubAdapter, adapters_dir: Path, *, is_converted: bool) -> Path:
    """Its folder. A repository's name, as `parse_hub_adapter` admits it, holds no `--` and leads nowhere."""
    name = f"{at.repo.replace('/', '--')}@{at.revision[:_SHOWN_DIGITS]}"
    return adapters_dir / (name + (_CONVERTED if is_converted else ""))


def _read_place(place: Path, wanted: HubAdapter) -> Pulled | None:
    """What lies there, if it is what is wanted; None where nothing does."""
    if not place.is_dir():
        return None
    try:
        pulled = _read(place)
    except AdapterTransferError as error:
        again = " --convert" if place.name.endswith(_CONVERTED) else ""
        raise _DamagedError(
            f"{wanted} is damaged in the store: {error} Or fetch it again: "
            f"adapter-transfer adapters pull{again} '{wanted}' --store {shlex.quote(str(place.parent.parent))}"
        ) from error
    found = pulled.reference
    if (found.repo, found.revision) != (wanted.repo, wanted.revision):
        raise DataError(f"{place} holds {found} and not {wanted}. Remove the folder, and pull it again.")
    if wanted.digest not in (None, found.digest):
        raise DataError(
            f"{wanted} is not what the conversion here gave: {found}. Name that one, if it is meant; or remove {place} "
            "and convert it with the versions of torch and adapters that gave the content you name."
        )
    return pulled


def _read(place: Path) -> Pulled:
    """What lies in a folder of the store, every file read again."""
    origin = verify(place).extra.get("pulled")
    keys = ("repo", "revision", "commit", "digest")
    if not isinstance(origin, dict) or set(origin) != set(keys):
        raise StoreError(f"{place / MANIFEST_NAME} does not say where its files are from. Remove the folder.")
    repo, revision, commit, digest = (origin[key] for key in keys)
    converted = "" if digest is None else f"#{digest}"
    reference = parse_hub_adapter(f"{PREFIX}{repo}@{commit}{converted}")
    if _place(reference, place.parent, is_converted=digest is not None) != place:
        raise StoreError(f"{place} holds {reference}, which has another name. Remove the folder, and pull it again.")
    folder = place / PACKAGE_DIR
    inspect_package(folder, max_bytes=_largest(folder), check_values=False)
    if digest is not None and content_digest(folder) != digest:
        raise StoreError(f"{place} holds another content than it says. Remove the folder, and pull it again.")
    return Pulled(folder=folder, reference=reference, asked=str(revision), package=read_package(folder))


def _largest(folder: Path) -> int:
    """What was let in by its limit then is not refused by the usual one now; the files are as they were sealed."""
    with storage_errors("read", folder):
        return max([DEFAULT_MAX_BYTES, *(path.lstat().st_size for path in folder.rglob("*"))])


@contextmanager
def _told_of(at: HubAdapter, temporary: Path) -> Iterator[None]:
    """Errors in what came are told of the adapter: the folder that they name is gone when they are read."""

    def without_folder(text: str) -> str:
        return text.replace(f"{temporary / PACKAGE_DIR}", "the package").replace(f"{temporary}/", "")

    try:
        yield
    except HubError:
        raise
    except UnsafePackageError as error:
        problems = [without_folder(problem) for problem in error.problems]
        raise UnsafePackageError([f"{at} is refused; nothing of it was kept.", *problems]) from error
    except DataError as error:
        raise DataError(f"{at} is refused; nothing of it was kept. {without_folder(str(error))}") from error


def _fetch(at: HubAdapter, revision: str, place: Path, convert: bool, leave_out_unknown: bool, max_bytes: int) -> None:
    """Makes a sealed folder of the adapter at `place`."""
    listing = file_sizes(at.repo, at.revision)
    admit = admitted_pickles if convert else admitted_files
    names = admit(listing, max_bytes=max_bytes, leave_out_unknown=leave_out_unknown)
    cached = download_files("model", at.repo, at.revision, names, reads_again=True)
    package, digest = place / PACKAGE_DIR, None
    make_folders(place)
    if convert:
        source = temporary_path(place / "pickles")
        _copy(cached, source, {name: listing[name] for name in names})
        convert_pickles(source, package, max_bytes=max_bytes)
        for name in {CARD, *LICENCES} & set(names):
            with storage_errors("write", package / name):
                shutil.copyfile(source / name, package / name)
        shutil.rmtree(source)
    else:
        _copy(cached, package, {name: listing[name] for name in names})
    inspect_package(package, max_bytes=max_bytes)
    if convert:
        digest = content_digest(package)
        if at.digest not in (None, digest):
            raise DataError(
                f"the conversion gives another content, {digest}. Name that one, if it is meant; or convert it "
                "with the versions of torch and adapters that gave the content you name."
            )
    read_package(package)
    seal(place, pulled={"repo": at.repo, "revision": revision, "commit": at.revision, "digest": digest})


def _copy(cached: Path, destination: Path, sizes: Mapping[str, int]) -> None:
    """Copies files of the cache, which are links there, as plain files; each has to be as large as it was listed."""
    for name, size in sizes.items():
        target = destination / name
        make_folders(target.parent)
        with storage_errors("write", target):
            found = (cached / name).stat().st_size
            if found != size:
                raise UnsafePackageError(
                    f"{shown(name)}: came with {found:,} bytes, and {size:,} are listed. Do not use it; tell the Hub"
                )
            shutil.copyfile(cached / name, target)
