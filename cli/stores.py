"""The store that a user names with `--store`, for verbs that do not insist that there is one."""

from __future__ import annotations

from pathlib import Path

from adapter_transfer.durable import is_temporary, storage_errors
from adapter_transfer.experiments.store import Store


def existing_store(path: Path) -> Store | None:
    """The store at `path`, or None where there is none yet: nothing, or an empty folder. Makes nothing.

    Raises:
        StoreError: if something else is there (a file, somebody's folder), or a store that cannot be read.
    """
    with storage_errors("open the store", path):
        if not path.exists():
            return None
        if path.is_dir() and all(is_temporary(entry.name) for entry in path.iterdir()):
            return None
    return Store.open(path, create=False)
