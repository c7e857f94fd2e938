"""Which run next: parents first, a worker stays with its backbone, long chains start early. No torch, no processes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from adapter_transfer.experiments.runs import RunSpec

_EVALUATION_SHARE = 0.2
"""An evaluation has no backward pass and is read once."""


class Schedule:
    """The runs that are still to be done and what each waits for.

    Args:
        todo: runs to do.
        done: ids of runs that are done already.
    """

    def __init__(self, todo: Iterable[RunSpec], done: Collection[str]) -> None:
        self._specs = {spec.id: spec for spec in todo}
        self._done = set(done)
        self._taken: set[str] = set()
        self._hopeless: set[str] = set()
        self._weights = _downstream_costs(self._specs)

    def __len__(self) -> int:
        """Runs that are neither done, taken nor given up."""
        return len(self._specs.keys() - self._done - self._taken - self._hopeless)

    def take(self, last: RunSpec | None, busy_backbones: Collection[str]) -> RunSpec | None:
        """The next run for a worker, or None if nothing is ready.

        Args:
            last: what this worker ran before; its backbone is loaded.
            busy_backbones: what other workers have loaded.
        """
        ready = [spec for spec in self._specs.values() if self._is_ready(spec)]
        if not ready:
            return None

        def preference(spec: RunSpec) -> tuple[bool, bool, bool, float]:
            same = last is not None and (spec.backbone, spec.precision) == (last.backbone, last.precision)
            # Adapters share a loaded backbone; full fine-tuning loads its own.
            stays = same and last is not None and spec.method == last.method
            return same, stays, spec.backbone not in busy_backbones, self._weights[spec.id]

        chosen = max(ready, key=preference)
        self._taken.add(chosen.id)
        return chosen

    def finish(self, run_id: str) -> None:
        """A taken run is done: what waited for it may start."""
        self._taken.discard(run_id)
        self._done.add(run_id)

    def give_up(self, run_id: str) -> list[str]:
        """A taken run has failed: it and all that stand on it are out. Returns the ids of those others."""
        self._taken.discard(run_id)
        self._hopeless.add(run_id)
        lost: list[str] = []
        for spec in self._specs.values():  # parents stand before children
            if spec.id not in self._hopeless and self._hopeless & set(spec.parents.values()):
                self._hopeless.add(spec.id)
                lost.append(spec.id)
        return lost

    def _is_ready(self, spec: RunSpec) -> bool:
        if spec.id in self._done or spec.id in self._taken or spec.id in self._hopeless:
            return False
        # A parent outside the plan is in the store already; whoever runs this one checks its artifact.
        return all(parent in self._done or parent not in self._specs for parent in spec.parents.values())


def _downstream_costs(specs: Mapping[str, RunSpec]) -> dict[str, float]:
    """A run's rough cost with that of everything that stands on it."""
    costs = {run_id: _cost(spec) for run_id, spec in specs.items()}
    for spec in reversed(list(specs.values())):
        for parent in spec.parents.values():
            if parent in costs:
                costs[parent] += costs[spec.id]
    return costs


def _cost(spec: RunSpec) -> float:
    if spec.is_adoption:
        return 0.0
    # Only the order matters: parameters times passes over the data.
    passes = _EVALUATION_SHARE if spec.phase == "evaluation" else float(spec.training.epochs)
    return spec.declaration.parameters().encoder * passes
