"""The Hugging Face Hub: which commit a revision is, and the files of a commit.

Owns huggingface_hub, which owns the cache, the environment (HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, …) and the
progress bars. Added to its cache are the names of a commit's files, so that a commit is known to be complete without a
request. Every failure is one `HubError`; their words are in `hub_failures`, what an experiment pins in `hub_lock`.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import TypeVar

from adapter_transfer.durable import sha256_file, write_atomic
from adapter_transfer.errors import StoreError
from adapter_transfer.hub_failures import (
    HubError,
    HubUnreachableError,
    NoSuchFileError,
    RepoKind,
    Wanted,
    explain,
    is_commit,
    not_listed,
    reason,
    useful_wait,
)

__all__ = [
    "HubError",
    "HubUnreachableError",
    "NoSuchFileError",
    "RepoKind",
    "cached_file",
    "download_files",
    "hide_progress",
    "is_commit",
    "list_files",
    "patiently",
    "request_for",
    "resolve_commit",
]

logger = logging.getLogger(__name__)

_WAITS_SECONDS = (1, 2, 4, 8)
"""Between tries, where the Hub names no time."""
_SHARD = re.compile(r"(.*-)(\d{5})-of-(\d{5})(\..*)?")
_LISTINGS = ".adapter-transfer"
_SHOWN_NAMES = 20
T = TypeVar("T")


def resolve_commit(kind: RepoKind, repo: str, revision: str = "main") -> str:
    """The commit (40 hex digits) that a revision names now; a full commit id is returned without a request.

    Where the Hub cannot be reached, it is the commit that the revision named when it was last asked for here.

    Raises:
        HubError: no such name or revision, no access, or unreachable and never asked for before.
    """
    if is_commit(revision):
        return revision
    wanted = request_for(kind, repo, revision)
    if not revision or revision.startswith(("/", "-")) or ".." in revision:
        raise HubError(f"{wanted}: that is no revision. Give a branch ('main'), a tag, or a commit of 40 hex digits.")
    try:
        commit, _ = _ask(wanted)
    except HubUnreachableError as error:
        commit = _read(_repo_dir(wanted) / "refs" / revision)
        if not is_commit(commit):
            raise
        told = "%s: the Hub cannot be asked (%s); going on with commit %s, which it named when last asked"
        logger.warning(told, wanted, reason(error.__cause__ or error), commit)
    return commit


def list_files(kind: RepoKind, repo: str, commit: str) -> tuple[str, ...]:
    """The names of all files of a commit, sorted; asked for once and kept in the cache.

    They are never guessed from the files in the cache, which another program may have filled in part.

    Raises:
        HubError: as `resolve_commit`.
    """
    assert is_commit(commit), f"{commit!r} is no full commit id: resolve_commit gives one"
    return _list_files(request_for(kind, repo, commit))


def download_files(
    kind: RepoKind,
    repo: str,
    commit: str,
    patterns: Sequence[str],
    *,
    optional: Sequence[str] = (),
    reads_again: bool = False,
) -> Path:
    """The folder of a commit in the cache, with every file in it that matches; what is there is not asked for again.

    Args:
        commit: 40 hex digits, from `resolve_commit` or a lock.
        patterns: file names or globs (`*` matches slashes too); each has to match something. The folder may hold
            other files of the same commit.
        optional: names or globs of what is wanted too, where the commit has it.
        reads_again: also what is in the cache is read, and had anew where it is not what it was; for small files.

    Raises:
        NoSuchFileError: one of `patterns` matches no file.
        HubError: as `resolve_commit`.
    """
    assert is_commit(commit), f"{commit!r} is no full commit id: resolve_commit gives one"
    assert patterns, "name the files"
    wanted = request_for(kind, repo, commit, tuple(patterns))
    snapshot = _snapshot(wanted)
    if reads_again:
        _forget_damaged(wanted, snapshot)
    # Plain names need no list of the commit's files to be known as complete.
    if optional or not all((snapshot / pattern).is_file() for pattern in patterns):
        # Whether there is something optional only the whole list tells.
        names = _list_files(replace(wanted, patterns=()) if optional else wanted)
        _require(wanted, names)
        for name in names:
            if _matches(name, (*patterns, *optional)) and not (snapshot / name).is_file():
                _download(wanted, name)
    return snapshot


def cached_file(kind: RepoKind, repo: str, commit: str, name: str) -> Path | None:
    """A file of a commit where it lies in the cache already; None where it does not. Nothing is asked or downloaded."""
    path = _snapshot(request_for(kind, repo, commit)) / name
    return path if path.is_file() else None


def _list_files(wanted: Wanted) -> tuple[str, ...]:
    try:
        names = json.loads(_read(_listing_path(wanted)))
    except ValueError:
        names = None
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return tuple(names)
    try:
        _, listed = _ask(wanted)
    except HubUnreachableError as error:
        listed = _numbered_files(wanted)
        if not listed and _are_names(wanted.patterns):
            raise  # fetching them will do
        if not listed:
            raise not_listed(error, wanted) from error
    return listed


def _require(wanted: Wanted, names: Sequence[str]) -> None:
    """Refuses a commit that lacks something that is wanted."""
    missing = [pattern for pattern in wanted.patterns if not any(_matches(name, [pattern]) for name in names)]
    if missing:
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        raise NoSuchFileError(
            f"{wanted} has no file {', '.join(map(repr, missing))}. It has: {', '.join(names[:_SHOWN_NAMES])}{more}. "
            "Check that it is the repository and the revision you mean."
        )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _are_names(patterns: Sequence[str]) -> bool:
    return bool(patterns) and not any(set(pattern) & set("*?[") for pattern in patterns)


def _numbered_files(wanted: Wanted) -> tuple[str, ...]:
    """The wanted files in the cache, if their names tell how many parts there are; none if a part or a match lacks."""
    snapshot = _snapshot(wanted)
    there = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()]
    names = {name for name in there if _matches(name, wanted.patterns)}
    for name in names:
        match = _SHARD.fullmatch(name)
        if match is None:
            return ()
        first, _, count, suffix = match.groups(default="")
        # Parquet counts from 0, the parts of weights from 1.
        start = 0 if f"{first}00000-of-{count}{suffix}" in names else 1
        if not {f"{first}{start + part:05}-of-{count}{suffix}" for part in range(int(count))} <= names:
            return ()
    is_matched = all(any(_matches(name, [pattern]) for name in names) for pattern in wanted.patterns)
    return tuple(sorted(names)) if is_matched else ()


def _ask(wanted: Wanted) -> tuple[str, tuple[str, ...]]:
    """The commit of a revision and the names of its files, in one request; both are kept in the cache."""
    from huggingface_hub import HfApi, constants

    def ask() -> tuple[str, tuple[str, ...]]:
        timeout = constants.HF_HUB_ETAG_TIMEOUT
        info = HfApi().repo_info(wanted.repo, repo_type=wanted.kind, revision=wanted.revision, timeout=timeout)
        if info.sha is None or not is_commit(info.sha) or info.siblings is None:
            raise ValueError("no commit or no files are named")
        return info.sha, tuple(sorted(sibling.rfilename for sibling in info.siblings))

    commit, names = patiently(ask, wanted)
    _remember(_listing_path(replace(wanted, revision=commit)), json.dumps(names))
    if commit != wanted.revision:
        _remember(_repo_dir(wanted) / "refs" / wanted.revision, commit)
    return commit, names


def _download(wanted: Wanted, name: str) -> None:
    from huggingface_hub import hf_hub_download

    def download() -> Path:
        return Path(hf_hub_download(wanted.repo, name, repo_type=wanted.kind, revision=wanted.revision))

    for _ in range(2):
        path = patiently(download, wanted)
        # A download that broke off and went on is only known to have the right size.
        blob = path.resolve()
        if _is_whole(blob):
            return
        logger.warning("%s: %s came damaged", wanted, name)
        path.unlink()
        blob.unlink(missing_ok=True)
    raise HubError(
        f"{wanted}: {name} came damaged twice: its content is not what its SHA-256 says. Run the same command again; "
        f"if that does not help, something between here and {wanted.endpoint} changes files: try another network."
    )


def _is_whole(blob: Path) -> bool:
    """Whether a file of the cache is what its name says: of a large file that is its SHA-256, of a small one Git's."""
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return sha256_file(blob) == blob.name
    if re.fullmatch(r"[0-9a-f]{40}", blob.name):
        content = blob.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == blob.name
    return True


def _forget_damaged(wanted: Wanted, snapshot: Path) -> None:
    for path in [snapshot / pattern for pattern in wanted.patterns]:
        blob = path.resolve()
        if path.is_file() and not _is_whole(blob):
            logger.warning("%s: %s is damaged in the cache and fetched again", wanted, path.name)
            path.unlink()
            blob.unlink(missing_ok=True)


def hide_progress() -> None:
    """From here on huggingface_hub shows no progress bars in this process; it shows them on terminals otherwise."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars

    # Who set the variable has decided already, and is told by a warning otherwise.
    if constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
        disable_progress_bars()


def patiently(call: Callable[[], T], wanted: Wanted) -> T:
    """What `call` returns; where a wait can help, it is called again, five times at most.

    Raises:
        HubError: what came in the end, in our words.
    """
    for usual in (*_WAITS_SECONDS, None):
        try:
            return call()
        # What requests raises is an OSError; xet raises RuntimeError; a server that is no Hub answers in another shape.
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            wait = None if usual is None else useful_wait(error, usual)
            if wait is None:
                raise explain(error, wanted) from error
            logger.warning("%s: %s; trying again in %.0f s", wanted, reason(error), wait)
        sleep(wait)
    raise AssertionError("the last call returned or raised")


def request_for(
    kind: RepoKind, repo: str, revision: str, patterns: tuple[str, ...] = (), *, is_upload: bool = False
) -> Wanted:
    """What `patiently` tells of a request that fails, with the Hub and the cache that huggingface_hub uses now."""
    from huggingface_hub import constants

    place = {"endpoint": constants.ENDPOINT, "cache": constants.HF_HUB_CACHE}
    return Wanted(kind, repo, revision, **place, patterns=patterns, is_upload=is_upload)


def _repo_dir(wanted: Wanted) -> Path:
    """A repository in the cache: `refs/<revision>` holds a commit, `snapshots/<commit>/` links to `blobs/<etag>`."""
    from huggingface_hub.file_download import repo_folder_name

    return Path(wanted.cache) / repo_folder_name(repo_id=wanted.repo, repo_type=wanted.kind)


def _snapshot(wanted: Wanted) -> Path:
    return _repo_dir(wanted) / "snapshots" / wanted.revision


def _listing_path(wanted: Wanted) -> Path:
    return _repo_dir(wanted) / _LISTINGS / f"{wanted.revision}.json"


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, ValueError):
        return ""


def _remember(path: Path, text: str) -> None:
    # A cache that may only be read is used as it is.
    with contextlib.suppress(OSError, StoreError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
