"""The search of a cell: its trials, what the store holds of them, and which is best. No torch.

English validation decides, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from adapter_transfer.errors import ConfigError, RunFailedError, StoreError
from adapter_transfer.experiments.cells import CellBuilder
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store, StoredRun
from adapter_transfer.experiments.tune import Tune
from adapter_transfer.methods.composition import CompositionRequest


@dataclass(frozen=True)
class TrialOutcome:
    """One trial of one cell.

    Attributes:
        changes: what it sets, in a line.
        run: id of the target run that was trained with it.
        is_over: trained to its end, or diverged (which is an answer, too).
        failure: why it diverged; empty otherwise.
        validation_accuracy: in English, 0 to 1; None where it is not trained or failed. Likewise `validation_loss`.
    """

    changes: str
    run: str
    is_over: bool
    validation_accuracy: float | None = None
    validation_loss: float | None = None
    failure: str = ""


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
    target: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class CellSearch:
    """What a search comes to for the plan.

    Attributes:
        trials: the runs of trials, parents first; of those that have lost by failing, none.
        shared: ids of trial runs that the results stand on whichever trial wins.
        following: the runs of every seed with the best trial; while it is not known, with the first one, as a count.
    """

    selection: Selection
    trials: tuple[RunSpec, ...]
    shared: frozenset[str]
    following: tuple[RunSpec, ...]


def search_cell(
    builder: CellBuilder, tune: Tune, intermediate: str, request: CompositionRequest, store: Store | None
) -> CellSearch:
    """The trials of a cell and what follows from them.

    Raises:
        ImpossibleError: if the cell cannot be run with one of the trials.
        ConfigError: if two trials of it come to the same run: cells would have unequal numbers of tries.
    """
    seeds, trials = builder.experiment.seeds, tune.of(builder.choice.name)
    seed = seeds[0] if tune.seed is None else tune.seed
    builders = [builder.with_trial(trial) for trial in trials]
    compositions = [each.resolve(intermediate, request) for each in builders]  # a trial's settings may not fit
    runs = [[*each.specs(intermediate, compositions[0], seed)] for each in builders]
    trained = [[spec for spec in specs if spec.phase != "evaluation"] for specs in runs]
    _require_distinct(trained, builder, intermediate, tune)
    outcomes = tuple(_outcome(trial.describe(), specs, store) for trial, specs in zip(trials, trained, strict=True))
    chosen = choose(outcomes)
    lost = [chosen is not None and result.validation_accuracy is None for result in outcomes]
    kept = [spec for specs, has_lost in zip(trained, lost, strict=True) if not has_lost for spec in specs]
    best = builders[chosen or 0]
    following = [spec for each in seeds for spec in best.specs(intermediate, compositions[0], each)]
    common = set.intersection(*({spec.id for spec in specs} for specs in trained))
    names = (builder.declared.name, builder.precision, builder.choice.name, intermediate, compositions[0])
    return CellSearch(
        Selection(*names, seed, outcomes, chosen, builder.target.name),
        trials=tuple(kept),
        shared=frozenset(common.intersection(spec.id for spec in following)),
        following=tuple(following),
    )


def _require_distinct(
    trained: Sequence[Sequence[RunSpec]], builder: CellBuilder, intermediate: str, tune: Tune
) -> None:
    first: dict[str, int] = {}
    for number, specs in enumerate(trained):
        same = first.setdefault(specs[-1].id, number)
        if same != number:
            one, other = (tune.of(builder.choice.name)[index].describe() for index in (same, number))
            raise ConfigError(
                f"tune.trials: for {builder.choice.name} on {builder.declared.name} with intermediate {intermediate!r} "
                f"trials {same + 1} ({one}) and {number + 1} ({other}) come to the same training, so this cell would "
                "have fewer tries than others. Change one of them."
            )


def _outcome(changes: str, specs: Sequence[RunSpec], store: Store | None) -> TrialOutcome:
    """What is known of a trial.

    Args:
        specs: its runs; the target run is the last.
    """
    target = specs[-1].id
    for spec in specs:
        found = _stored(spec, store)
        if found is not None and found.manifest is None and _has_diverged(found):
            return TrialOutcome(changes, target, is_over=True, failure=str((found.failure or {}).get("error", "")))
    found = _stored(specs[-1], store)
    if found is None or found.manifest is None or found.metrics is None:
        return TrialOutcome(changes, target, is_over=False)
    # Runs of earlier versions know accuracy only.
    score = found.metrics.get("validation_score", found.metrics.get("validation_accuracy"))
    loss = found.metrics["validation_loss"]
    return TrialOutcome(changes, target, is_over=True, validation_accuracy=score, validation_loss=loss)


def _stored(spec: RunSpec, store: Store | None) -> StoredRun | None:
    try:
        return None if store is None or store.status(spec.id) == "absent" else store.read(spec.id)
    except StoreError:
        return None  # damaged: the plan says so of the run itself


def _has_diverged(run: StoredRun) -> bool:
    # The training itself failed, which is an answer. A full disk or a lost connection is none: it is tried again.
    return bool(run.failure) and (run.failure or {}).get("type") == RunFailedError.__name__


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
