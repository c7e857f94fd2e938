"""Where one call takes published data and checkpoints from: `--data-dir`, `--on-bad-row` and the lock of revisions."""

from __future__ import annotations

from pathlib import Path

from adapter_transfer.errors import ConfigError, StoreError
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.store import Store
from adapter_transfer.hub_lock import HubLock, Resolver
from adapter_transfer.tasks.reading import BadRows
from adapter_transfer_cli.configs import find_config
from adapter_transfer_cli.output import errors


def open_sources(
    config: str, experiment: Experiment, store_dir: Path, data_dir: Path | None, on_bad_row: BadRows
) -> Sources:
    """The sources of an experiment, with the commits that its lock file pins.

    Raises:
        ConfigError: if `data_dir` is no folder, or the lock cannot be read.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise ConfigError(f"--data-dir {data_dir}: no such folder; it is to hold the published files of the tasks")
    return Sources(data_dir, on_bad_row, Resolver(_existing_lock(config, experiment, store_dir)))


def keep_lock(sources: Sources, config: str, experiment: Experiment, store_dir: Path, *, quiet: bool) -> None:
    """Writes down the commits that were resolved for the first time, so that others (and later calls) get the same.

    Raises:
        ConfigError: if another call has meanwhile pinned a revision to another commit.
        StoreError: if the store cannot be made.
    """
    if not sources.resolver.has_new:
        return
    path = lock_path(config, experiment, store_dir)
    if path.is_relative_to(store_dir):
        Store.open(store_dir)  # before anything lies in its folder
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _merged(sources.resolver.lock, path).write(path)
    except (StoreError, OSError) as error:
        errors().print(f"The lock of revisions could not be written: {error}", markup=False, soft_wrap=True)
        return
    if not quiet:
        errors().print(f"Revisions on the Hub are pinned in {path}", markup=False, soft_wrap=True)


def _merged(lock: HubLock, path: Path) -> HubLock:
    """The pins of a lock and of the file that may be there by now."""
    there = HubLock.read(path).pins if path.is_file() else {}
    for pin, commit in lock.pins.items():
        if there.get(pin, commit) != commit:
            kind, repo, revision = pin
            raise ConfigError(
                f"{path}: another call has just pinned {kind} {repo} ({revision}) to {there[pin]}, and this one "
                f"resolved it to {commit}. Start again to use what is pinned."
            )
    return HubLock({**there, **lock.pins})


def lock_path(config: str, experiment: Experiment, store_dir: Path) -> Path:
    """Where a new lock is written: beside a configuration given as a file; for a shipped name, beside the report."""
    path = Path(config)
    return path.with_suffix(".lock.json") if path.is_file() else store_dir / experiment.name / "hub.lock.json"


def _existing_lock(config: str, experiment: Experiment, store_dir: Path) -> HubLock | None:
    """What is pinned beside the configuration and, for a shipped one, in the store; the first wins."""
    candidates = (find_config(config).with_suffix(".lock.json"), lock_path(config, experiment, store_dir))
    found = [HubLock.read(path) for path in dict.fromkeys(candidates) if path.is_file()]
    pins = {pin: commit for lock in reversed(found) for pin, commit in lock.pins.items()}
    return HubLock(pins) if found else None
