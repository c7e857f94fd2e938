"""Where one call takes published data and checkpoints from: `--data-dir`, `--on-bad-row` and the lock of revisions."""

from __future__ import annotations

from pathlib import Path

from adapter_transfer.errors import ConfigError, StoreError
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.experiment import Experiment
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
    """Writes down the commits that were resolved for the first time, so that others (and later calls) get the same."""
    if not sources.resolver.has_new:
        return
    path = lock_path(config, experiment, store_dir)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sources.resolver.lock.write(path)
    except (StoreError, OSError) as error:
        errors().print(f"The lock of revisions could not be written: {error}", markup=False, soft_wrap=True)
        return
    if not quiet:
        errors().print(f"Revisions on the Hub are pinned in {path}", markup=False, soft_wrap=True)


def lock_path(config: str, experiment: Experiment, store_dir: Path) -> Path:
    """Where a new lock is written: beside a configuration given as a file; for a shipped name, beside the report."""
    path = Path(config)
    return path.with_suffix(".lock.json") if path.is_file() else store_dir / experiment.name / "hub.lock.json"


def _existing_lock(config: str, experiment: Experiment, store_dir: Path) -> HubLock | None:
    candidates = (lock_path(config, experiment, store_dir), find_config(config).with_suffix(".lock.json"))
    return next((HubLock.read(path) for path in candidates if path.is_file()), None)
