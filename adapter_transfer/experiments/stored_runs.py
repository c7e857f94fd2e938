"""Runs of a store as people name them, by the beginning of an id, and as the specification they were made by."""

from __future__ import annotations

from adapter_transfer.errors import ConfigError, StoreError
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store


def find_run(store: Store, prefix: str) -> str:
    """The one run whose id begins with `prefix`.

    Raises:
        ConfigError: if there is none, or more than one.
    """
    found = [run_id for run_id in store.run_ids() if run_id.startswith(prefix)]
    if len(found) != 1:
        problem = "no run" if not found else f"{len(found)} runs"
        raise ConfigError(
            f"{problem} in {store.root} with an id that begins with {prefix!r}; `status --json` lists the ids"
        )
    return found[0]


def read_spec(store: Store, run_id: str) -> RunSpec:
    """The specification of a run, as this version reads it; its id is another where this version computes otherwise.

    Raises:
        StoreError: if there is no such run, or it is described in a way that this version cannot read.
    """
    stored = store.read(run_id)
    try:
        return RunSpec.from_description(stored.run["description"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{stored.path / 'run.json'} describes the run in a way that this version cannot read "
            f"({type(error).__name__}: {error})"
        ) from None
