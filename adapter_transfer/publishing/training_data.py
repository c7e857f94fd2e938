"""What the weights of a shared adapter have seen: the data of its own training, and of what it went on from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from adapter_transfer.errors import AdapterTransferError
from adapter_transfer.experiments.data import SplitRef
from adapter_transfer.experiments.pulling import adapters_dir
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store
from adapter_transfer.sharing.package import SharedData
from adapter_transfer.sharing.pull import find_pulled


@dataclass(frozen=True)
class SeenData:
    """The splits that weights were trained or selected on.

    Attributes:
        data: as a package tells of them, the earlier training's first.
        refs: those that runs of the store read.
        is_complete: nothing else is known to be missing.
    """

    data: tuple[SharedData, ...]
    refs: tuple[SplitRef, ...]
    is_complete: bool = True


def seen_by(spec: RunSpec) -> SeenData:
    """What one run read, where it started from nothing that was trained."""
    return SeenData(tuple(map(_shared, spec.data)), spec.data)


def seen_before_and_by(store: Store, before: RunSpec | None, spec: RunSpec) -> SeenData:
    """What one run read, and what the weights that it started from had seen.

    Args:
        before: the run that made those, or that took them over from the Hub; None where the store does not have it.
    """
    if before is None:
        earlier = SeenData((), (), is_complete=False)
    elif before.is_adoption:
        earlier = _seen_by_pulled(store, before)
    else:
        earlier = seen_by(before)
    own = seen_by(spec)
    refs = tuple(dict.fromkeys((*earlier.refs, *own.refs)))
    return SeenData(_once((*earlier.data, *own.data)), refs, earlier.is_complete)


def _seen_by_pulled(store: Store, adoption: RunSpec) -> SeenData:
    adopted = adoption.adopted
    assert adopted is not None
    try:
        pulled = find_pulled(adopted.reference, adapters_dir(store.root))
    except AdapterTransferError:  # the weights are in the run itself: what was pulled may be gone
        pulled = None
    if pulled is None:
        return SeenData((), (), is_complete=False)
    shared = pulled.package.adapter(adopted.path)
    return SeenData(shared.data, (), is_complete=bool(shared.data) and shared.is_data_complete)


def _once(data: Iterable[SharedData]) -> tuple[SharedData, ...]:
    return tuple({(each.split, each.digest): each for each in data}.values())


def _shared(ref: SplitRef) -> SharedData:
    return SharedData(
        split=ref.name, source=without_folders(ref.source), digest=ref.digest, num_examples=ref.num_examples
    )


def without_folders(source: str) -> str:
    """Where data came from, without the folders of a machine: of an absolute path the file's name is left."""
    return re.sub(r"(?<![\w.@-])(?:~|[A-Za-z]:)?[/\\](?:[^\s,/\\]+[/\\])*", "", source)
