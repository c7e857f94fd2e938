"""An experiment → a graph of runs: what is shared, what is done, what is impossible and why. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal

from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.errors import ConfigError, ImpossibleError, StoreError
from adapter_transfer.experiments.adoption import Adoptions, require_no_adopted_leak
from adapter_transfer.experiments.caveats import experiment_caveats
from adapter_transfer.experiments.cells import CellBuilder, experiment_splits
from adapter_transfer.experiments.data import DataReader, Sources, data_notes, require_no_leak
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.tune import Tune
from adapter_transfer.experiments.tuning import Selection, search_cell
from adapter_transfer.methods.composition import CompositionRequest
from adapter_transfer.tasks.controls import describe_control

_SHOWN = 80
"""Characters of what a stranger says of an adapter."""

PlanStatus = Literal["done", "failed", "partial", "damaged", "todo", "impossible"]


@dataclass(frozen=True)
class PlannedRun:
    """A run and how far it is.

    `failed` and `partial` runs are tried again, from their last checkpoint. A `damaged` one is left alone: whether its
    folder is restored from a copy or removed is for its owner to say.

    Attributes:
        reason: why it failed or cannot be read; empty otherwise.
        is_trial: part of a search only; its figures are no result.
        trial: what it tries, where it is a target run of a search.
    """

    spec: RunSpec
    status: PlanStatus
    reason: str = ""
    is_trial: bool = False
    trial: str = ""


@dataclass(frozen=True)
class ImpossibleCell:
    """A combination of the grid that cannot be run."""

    backbone: str
    precision: Precision
    method: str
    intermediate: str
    composition: CompositionRequest
    target: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """The runs of an experiment, parents before children, and the cells that cannot be run.

    Attributes:
        name: of the experiment.
        selections: the searches of its cells, where it has a `tune:` section.
        num_pending: runs that follow once the searches are over, whose settings nobody knows yet (where several
            compositions share a tuned intermediate, an estimate).
        notes: what people should know of the data: mapped splits, repaired and skipped rows.
        warnings: what spoils an answer.
    """

    name: str
    runs: tuple[PlannedRun, ...]
    impossible: tuple[ImpossibleCell, ...]
    selections: tuple[Selection, ...] = ()
    num_pending: int = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def todo(self) -> list[RunSpec]:
        """Runs that are not done and can be worked on."""
        return [run.spec for run in self.runs if run.status not in ("done", "damaged")]

    @property
    def damaged(self) -> list[PlannedRun]:
        """Runs that the store holds but that cannot be read."""
        return [run for run in self.runs if run.status == "damaged"]

    def as_json(self, costs: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
        """For machines: `{"experiment", "runs": [...]}`; impossible cells stand among the runs, without an id.

        Args:
            costs: what each run costs, by id (`RunCost.as_json`); without them, nothing is said of costs.
        """
        no_cost = dict.fromkeys(name for cost in (costs or {}).values() for name in cost)
        runs = [
            {
                "id": run.spec.id,
                **run.spec.description(),
                "status": run.status,
                "reason": run.reason or None,
                "is_trial": run.is_trial,
                "trial": run.trial or None,
                **(costs[run.spec.id] if costs else {}),
            }
            for run in self.runs
        ]
        runs += [
            {
                "id": None,
                "phase": "target",
                "backbone": cell.backbone,
                "precision": cell.precision,
                "method": cell.method,
                "composition": cell.composition,
                "intermediate": cell.intermediate,
                "task": cell.target,
                "target": cell.target,
                "seed": None,
                "status": "impossible",
                "reason": cell.reason,
                **no_cost,
            }
            for cell in self.impossible
        ]
        return {
            "experiment": self.name,
            "runs": runs,
            "pending_runs": self.num_pending,
            "selections": [selection.as_json() for selection in self.selections],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


def make_plan(experiment: Experiment, store: Store | None = None, sources: Sources | None = None) -> Plan:
    """The plan of an experiment, with what `store` already holds of it.

    Data is read and every row checked, because its content is part of a run's identity, and so are the files of
    backbones in folders. Of backbones on the Hub nothing but, at most, a configuration is downloaded. Nothing is
    trained.

    Raises:
        ConfigError: if a training has no learning rate, or evaluated items are trained on; every such problem at once.
        ImpossibleError: if no cell of the grid can be run.
        DataError: if data or a checkpoint is missing or faulty.
    """
    drawing = _Drawing(experiment, store, sources or Sources())
    drawing.reader.require_readable(experiment_splits(experiment))
    for backbone in experiment.backbones:
        declared = backbone.declaration()
        for precision, choice in product(experiment.precisions_of(backbone), experiment.methods):
            for target in experiment.targets:
                commit = drawing.sources.resolver.commit
                builder = CellBuilder(
                    experiment, drawing.reader, target, declared, precision, choice, commit, drawing.adoptions
                )
                for intermediate, request in product(experiment.all_intermediates, experiment.compositions):
                    drawing.add(builder, intermediate, request)
    return drawing.plan()


@dataclass
class _Drawing:
    """A plan while it is being made."""

    experiment: Experiment
    store: Store | None
    sources: Sources
    specs: dict[str, RunSpec] = field(default_factory=dict)
    results: set[str] = field(default_factory=set)
    followers: set[str] = field(default_factory=set)
    impossible: dict[ImpossibleCell, None] = field(default_factory=dict)
    problems: dict[str, None] = field(default_factory=dict)
    selections: dict[Selection, None] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reader = DataReader(self.experiment, self.sources)
        self.adoptions = Adoptions(self.sources.resolver.commit, self.sources.pull)

    def add(self, builder: CellBuilder, intermediate: str, request: CompositionRequest) -> None:
        """Adds the runs of a cell, or why there are none."""
        try:
            if self.experiment.tune is not None:
                self._search(builder, self.experiment.tune, intermediate, request)
            else:
                composition = builder.resolve(intermediate, request)
                for seed in self.experiment.seeds:
                    self._take(builder.specs(intermediate, composition, seed))
            self._require_own_name(builder)
        except ImpossibleError as error:
            cell = ImpossibleCell(
                backbone=builder.declared.name,
                precision=builder.precision,
                method=builder.choice.name,
                intermediate=intermediate,
                composition=request,
                target=builder.target.name,
                reason=str(error),
            )
            self.impossible[cell] = None
        except ConfigError as error:
            self.problems.update(dict.fromkeys(error.problems))

    def _take(self, specs: Iterable[RunSpec]) -> None:
        named = {spec.id: spec for spec in specs}
        self.specs.update(named)
        self.results.update(named)

    def _require_own_name(self, builder: CellBuilder) -> None:
        name = builder.declared.name
        same = self.names.setdefault(builder.backbone_digest, name)
        if same != name:
            raise ConfigError(f"backbones: {same!r} and {name!r} are the same encoder; leave one of them out")

    def _search(self, builder: CellBuilder, tune: Tune, intermediate: str, request: CompositionRequest) -> None:
        found = search_cell(builder, tune, intermediate, request, self.store)
        self.specs.update((spec.id, spec) for spec in found.trials)
        self.results.update(found.shared)
        if found.selection.chosen is None:
            self.followers.update(spec.id for spec in found.following)
        else:
            self._take(found.following)
        self.selections[found.selection] = None

    def plan(self) -> Plan:
        """The finished plan."""
        if self.problems:
            raise ConfigError(self.problems)
        if not self.specs:
            reasons = dict.fromkeys(cell.reason for cell in self.impossible)
            raise ImpossibleError(f"no cell of experiment {self.experiment.name!r} can be run: {' '.join(reasons)}")
        ordered = sorted(
            self.specs.values(), key=lambda spec: ("intermediate", "target", "evaluation").index(spec.phase)
        )
        trained = [ref for spec in ordered if spec.phase != "evaluation" for ref in spec.data]
        tested = [ref for spec in ordered if spec.phase == "evaluation" for ref in spec.data]
        if not tested:  # a search is still on, and what it leads to is evaluated
            tested = [
                self.reader.ref(task, "test", code)
                for task in self.experiment.targets
                for code in self.experiment.evaluated_languages
            ]
        trials = {trial.run: trial.changes for selection in self.selections for trial in selection.trials}
        require_no_leak(trained, tested, self.sources.data_dir, self.sources.cache)
        require_no_adopted_leak(self.adoptions.used, tested)
        return Plan(
            name=self.experiment.name,
            runs=tuple(
                replace(
                    planned_run(self.store, spec), is_trial=spec.id not in self.results, trial=trials.get(spec.id, "")
                )
                for spec in ordered
            ),
            impossible=tuple(self.impossible),
            selections=tuple(self.selections),
            num_pending=len(self.followers - self.specs.keys()),
            notes=(
                *data_notes([*trained, *tested]),
                *dict.fromkeys(_shortened(ordered)),
                *dict.fromkeys(_controls(ordered)),
                *dict.fromkeys(_pulled(ordered)),
            ),
            warnings=experiment_caveats(ordered, self.experiment.tune),
        )


def _shortened(specs: Iterable[RunSpec]) -> Iterator[str]:
    for spec in specs:
        most = spec.training.max_train_examples
        for ref in spec.data:
            if most is not None and ref.split == "train" and most < ref.num_examples:
                where = "" if ref.task == spec.task else f" in {spec.task}"
                told = f"trained{where} on the first {most:,} of {ref.num_examples:,} examples (max_train_examples)"
                yield f"{ref.task}: {told}."


def _controls(specs: Iterable[RunSpec]) -> Iterator[str]:
    for spec in specs:
        told = describe_control(spec.task)
        if told is not None:
            yield told


def _pulled(specs: Iterable[RunSpec]) -> Iterator[str]:
    for spec in specs:
        if spec.is_adoption and spec.adopted is not None:
            seed = "" if spec.adopted.seed is None else f", with seed {spec.adopted.seed}"
            told = f"trained on {spec.adopted.trained_on[:_SHOWN]!r}{seed}"
            yield f"{spec.intermediate}: pulled from {spec.adopted.origin}; {told}."


def planned_run(store: Store | None, spec: RunSpec) -> PlannedRun:
    """A run with what `store` knows of it. What it says of itself is read, so that damage is found before work starts.

    Artifacts and predictions are not read: a plan of thousands of runs should take seconds.
    """
    if store is None:
        return PlannedRun(spec, "todo")
    try:
        status = store.status(spec.id)
        if status == "absent":
            return PlannedRun(spec, "todo")
        failure = store.read(spec.id).failure
    except StoreError as error:
        return PlannedRun(spec, "damaged", str(error))
    # Another process may be trying it again this moment: a failure that is gone is none.
    return PlannedRun(spec, status, str(failure.get("error", "")) if failure else "")
