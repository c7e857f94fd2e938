"""Where pulled adapters lie: in a store. Torch is loaded when one is looked at, and not before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from adapter_transfer.experiments.adopted import PulledPackage
from adapter_transfer.experiments.store import Store
from adapter_transfer.sharing.references import HubAdapter


def adapters_dir(store_dir: Path) -> Path:
    """The folder of a store for what was pulled into it; `sharing.pull` says what lies there."""
    return store_dir / "adapters"


def pull_into(store_dir: Path, wanted: HubAdapter, on_fetch: Callable[[], None] = lambda: None) -> PulledPackage:
    """A package at a commit, pulled into a store, which is made here; without a request where it is there already.

    Args:
        on_fetch: called before the Hub is asked for it.

    Raises:
        UnsafePackageError, DataError, HubError, StoreError: as `sharing.pull.pull`.
    """
    # Checks load torch, several seconds that plans and calls without such adapters do without.
    from adapter_transfer.sharing.pull import is_there, pull

    folder = adapters_dir(Store.open(store_dir).root)
    if not is_there(wanted, folder):
        on_fetch()
    return pull(wanted, folder)
