"""What one call on an experiment stands on: the store, if there is one, and the revisions that were pinned for it.

A lock of revisions lies beside a configuration given as a file; beside the report for any other. No torch.
"""

from __future__ import annotations

from pathlib import Path

from adapter_transfer.durable import is_temporary, storage_errors
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.configurations import find_config
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.store import Store
from adapter_transfer.hub_lock import HubLock


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


def lock_path(config: str | None, experiment: Experiment, store_dir: Path) -> Path:
    """Where a new lock is written: beside a configuration given as a file; for any other, beside the report.

    Args:
        config: a file or a shipped name; None for an experiment that was made in Python.
    """
    path = None if config is None else Path(config)
    if path is not None and path.is_file():
        return path.with_suffix(".lock.json")
    return store_dir / experiment.name / "hub.lock.json"


def existing_lock(config: str | None, experiment: Experiment, store_dir: Path) -> HubLock | None:
    """What is pinned beside the configuration and, for a shipped one, in the store; the first wins.

    Raises:
        ConfigError: if a lock cannot be read.
    """
    beside = [] if config is None else [find_config(config).with_suffix(".lock.json")]
    candidates = (*beside, lock_path(config, experiment, store_dir))
    found = [HubLock.read(path) for path in dict.fromkeys(candidates) if path.is_file()]
    pins = {pin: commit for lock in reversed(found) for pin, commit in lock.pins.items()}
    return HubLock(pins) if found else None


def write_lock(lock: HubLock, path: Path) -> None:
    """Writes a lock, with the pins of the file that may be there by now.

    Raises:
        ConfigError: if another call has meanwhile pinned a revision to another commit.
        StoreError: if it cannot be written.
    """
    with storage_errors("write the lock of revisions", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _merged(lock, path).write(path)


def _merged(lock: HubLock, path: Path) -> HubLock:
    there = HubLock.read(path).pins if path.is_file() else {}
    for pin, commit in lock.pins.items():
        if there.get(pin, commit) != commit:
            kind, repo, revision = pin
            raise ConfigError(
                f"{path}: another call has just pinned {kind} {repo} ({revision}) to {there[pin]}, and this one "
                f"resolved it to {commit}. Start again to use what is pinned."
            )
    return HubLock({**there, **lock.pins})
