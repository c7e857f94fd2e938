"""Where an experiment's pulled adapters lie: in its store. Torch is loaded when one is looked at, and not before."""

from __future__ import annotations

from pathlib import Path

from adapter_transfer.experiments.adopted import PulledPackage
from adapter_transfer.experiments.store import Store
from adapter_transfer.sharing.references import HubAdapter

ADAPTERS_DIR = "adapters"
"""Folder of a store for what was pulled into it."""


def pull_into(store_dir: Path, wanted: HubAdapter) -> PulledPackage:
    """A package at a commit, pulled into a store, which is made here; without a request where it is there already.

    Raises:
        UnsafePackageError, DataError, HubError, StoreError: as `sharing.pull.pull`.
    """
    # Checks load torch, several seconds that plans and calls without such adapters do without.
    from adapter_transfer.sharing.pull import pull

    return pull(wanted, Store.open(store_dir).root / ADAPTERS_DIR)
