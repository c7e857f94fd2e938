"""Where one call takes published data and checkpoints from: `--data-dir`, `--on-bad-row` and the lock of revisions."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from adapter_transfer.errors import ConfigError, StoreError
from adapter_transfer.experiments.adopted import PulledPackage
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.opening import existing_lock, lock_path, write_lock
from adapter_transfer.experiments.pulling import pull_into
from adapter_transfer.experiments.store import Store
from adapter_transfer.hub_lock import Resolver
from adapter_transfer.sharing.references import HubAdapter
from adapter_transfer.tasks.reading import BadRows
from adapter_transfer.tasks.stored_examples import ExampleCache
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
        store_dir: keeps the examples of large splits, and what is pulled.
        quiet: says nothing while these are read for the first time.

    Raises:
        ConfigError: if `data_dir` is no folder, or the lock cannot be read.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise ConfigError(f"--data-dir {data_dir}: no such folder; it is to hold the published files of the tasks")
    resolver = Resolver(existing_lock(config, experiment, store_dir))
    return Sources(
        data_dir, on_bad_row, resolver, example_cache(store_dir, quiet=quiet), partial(_pull, store_dir, quiet)
    )


def _pull(store_dir: Path, quiet: bool, wanted: HubAdapter) -> PulledPackage:
    def tell() -> None:
        if not quiet:
            errors().print(f"{wanted}: fetching it from the Hub", markup=False, soft_wrap=True, style="dim")

    return pull_into(store_dir, wanted, tell)


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
        write_lock(sources.resolver.lock, path)
    except StoreError as error:
        errors().print(f"The lock of revisions could not be written: {error}", markup=False, soft_wrap=True)
        return
    if not quiet:
        errors().print(f"Revisions on the Hub are pinned in {path}", markup=False, soft_wrap=True)
