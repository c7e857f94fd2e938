"""Choosing among a cell's trials by what the store holds of them: English validation alone decides. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adapter_transfer.errors import StoreError
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.tune import TrialBase


@dataclass(frozen=True)
class TrialOutcome:
    """One trial of one cell.

    Attributes:
        changes: what it sets, in a line.
        run: id of the target run that was trained with it.
        is_over: trained to its end, or failed (a rate that diverges is an answer, too).
        validation_accuracy: in English, 0 to 1; None where it is not trained or failed. Likewise `validation_loss`.
    """

    changes: str
    run: str
    is_over: bool
    validation_accuracy: float | None = None
    validation_loss: float | None = None


@dataclass(frozen=True)
class Selection:
    """The search of one cell.

    Attributes:
        chosen: index of the best trial; None while trials are still to be trained.
    """

    backbone: str
    precision: str
    method: str
    intermediate: str
    composition: str
    seed: int
    trials: tuple[TrialOutcome, ...]
    chosen: int | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def outcome(trial: TrialBase, trained: RunSpec, store: Store | None) -> TrialOutcome:
    """What is known of a trial.

    Args:
        trained: its target run.
    """
    nothing = TrialOutcome(trial.describe(), trained.id, is_over=False)
    if store is None:
        return nothing
    try:
        if store.status(trained.id) == "absent":
            return nothing
        found = store.read(trained.id)
    except StoreError:
        return nothing  # damaged: the plan says so of the run itself
    if found.manifest is None or found.metrics is None:
        return TrialOutcome(trial.describe(), trained.id, is_over=found.failure is not None)
    return TrialOutcome(
        trial.describe(),
        trained.id,
        is_over=True,
        validation_accuracy=found.metrics["validation_accuracy"],
        validation_loss=found.metrics["validation_loss"],
    )


def choose(trials: Sequence[TrialOutcome]) -> int | None:
    """The best trial: highest accuracy, then lowest loss, then the one named first; None until all are over."""
    scored = [
        (trial.validation_accuracy, -trial.validation_loss, -index)
        for index, trial in enumerate(trials)
        if trial.validation_accuracy is not None and trial.validation_loss is not None
    ]
    if not scored or not all(trial.is_over for trial in trials):
        return None
    return -max(scored)[2]
