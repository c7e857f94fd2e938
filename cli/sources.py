"""Where one call takes published data and checkpoints from: `--data-dir`, `--on-bad-row` and the lock of revisions."""

from __future__ import annotations

from pathlib import Path

from adapter_transfer.errors import ConfigError, StoreError
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.store import Store
from adapter_transfer.hub_lock import HubLock, Resolver
from adapter_transfer.tasks.reading import BadRows
from adapter_transfer.tasks.stored_examples import ExampleCache
from adapter_transfer_cli.configs import find_config
from adapter_transfer_cli.output import errors

_ROWS_BETWEEN_LINES = 100_000


def open_sources(
    config: str,
    experiment: Experiment,
    store_dir: Path,
    data_dir: Path | None,
    on_bad_row: BadRows,
    *,
    quiet: bool = False,
) -> Sources:
    """The sources of an experiment, with the commits that its lock file pins.

    Args:
        store_dir: keeps the examples of large splits.
        quiet: says nothing while these are read for the first time.

    Raises:
        ConfigError: if `data_dir` is no folder, or the lock cannot be read.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise ConfigError(f"--data-dir {data_dir}: no such folder; it is to hold the published files of the tasks")
    resolver = Resolver(_existing_lock(config, experiment, store_dir))
    return Sources(data_dir, on_bad_row, resolver, example_cache(store_dir, quiet=quiet))


def example_cache(store_dir: Path, *, quiet: bool = False) -> ExampleCache:
    """Where the examples of large splits are kept, in a store that is made once there are some."""
    folder = store_dir / "cache" / "examples"
    tell = (lambda name, done, is_all: None) if quiet else _tell_rows
    return ExampleCache(folder, make_ready=lambda: Store.open(store_dir), on_rows=tell)


def _tell_rows(name: str, done: int, is_all: bool) -> None:
    if is_all or done % _ROWS_BETWEEN_LINES == 0:
        line = f"{name}: {done:,} examples read and checked{', kept for the next time' if is_all else ''}"
        errors().print(line, markup=False, soft_wrap=True, style="dim")


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
