"""Entries of a cache: sealed folders called by what they were made of, so that none is ever out of date.

One is either whole or not there. Of several processes that make the same at once, the first to finish wins; a damaged
one is removed, with a word, and made anew.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from adapter_transfer.canonical import digest
from adapter_transfer.durable import (
    JSONObject,
    is_temporary,
    publish_first,
    remove_directory,
    seal,
    storage_errors,
    temporary_path,
    verify,
)
from adapter_transfer.errors import StoreError

_ABANDONED_SECONDS = 24 * 60 * 60

logger = logging.getLogger(__name__)


def find_entry(folder: Path) -> JSONObject | None:
    """What was noted with an entry, all of whose bytes were looked at; None where there is no (whole) one."""
    if not folder.is_dir():
        return None
    try:
        noted: JSONObject = verify(folder).extra["noted"]
        return noted
    except (StoreError, KeyError) as error:
        logger.warning("%s is made anew: %s", folder, error)
    with suppress(StoreError):  # another process may have done so
        remove_directory(folder)
    return None


@contextmanager
def new_entry(folder: Path) -> Iterator[Path]:
    """An empty folder to make an entry in, for `publish_entry`; whatever is left of it afterwards is removed.

    Raises:
        StoreError: if the disk cannot be written.
    """
    temporary = temporary_path(folder)
    with storage_errors("make", folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.parent)
        temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def publish_entry(temporary: Path, folder: Path, noted: JSONObject) -> JSONObject:
    """Makes what stands in `temporary` the entry at `folder`, unless another process was first.

    Args:
        noted: for `find_entry` to return.

    Returns:
        What is noted of the entry that is there now.

    Raises:
        StoreError: if the disk cannot be written.
    """
    seal(temporary, noted=noted)
    publish_first(temporary, folder)
    found = find_entry(folder)
    if found is None:
        raise StoreError(f"{folder} was written and cannot be read again. Check the disk.")
    return found


def _remove_abandoned(parent: Path) -> None:
    """Removes what killed makers left, once nobody can be at work on it any more."""
    latest = time.time() - _ABANDONED_SECONDS
    for path in parent.iterdir():
        with suppress(FileNotFoundError):
            if is_temporary(path.name) and path.stat().st_mtime < latest:
                shutil.rmtree(path, ignore_errors=True)


@lru_cache(maxsize=1)
def code_digest() -> str:
    """SHA-256 of the code of this package, on which what it makes of files depends; and of Unicode's version."""
    package = files("adapter_transfer")
    content = {name: _sha256(file) for name, file in _files_below(package / "tasks", "tasks")}
    return digest([content, _sha256(package / "canonical.py"), unicodedata.unidata_version])


def _files_below(folder: Traversable, name: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = f"{name}/{entry.name}"
        if entry.is_file() and not entry.name.endswith(".pyc"):
            yield path, entry
        elif entry.is_dir() and entry.name != "__pycache__":
            yield from _files_below(entry, path)


def _sha256(file: Traversable) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
