"""An experiment → a graph of runs: what is shared, what is done, what is impossible and why. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, Literal

from adapter_transfer.backbones.zoo import BACKBONES, Precision
from adapter_transfer.canonical import digest
from adapter_transfer.errors import ConfigError, ImpossibleError, StoreError
from adapter_transfer.experiments.experiment import Experiment, MethodChoice
from adapter_transfer.experiments.runs import HeadStart, RunSpec, SplitRef, evaluation_of
from adapter_transfer.experiments.store import Store
from adapter_transfer.methods.composition import CompositionRequest, ResolvedComposition, resolve_composition
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.task import ExampleSet, Split, Task, load_examples
from adapter_transfer.training.settings import TrainingSettings, resolve_training

PlanStatus = Literal["done", "failed", "partial", "damaged", "todo", "impossible"]


@dataclass(frozen=True)
class PlannedRun:
    """A run and how far it is.

    `failed` and `partial` runs are tried again, from their last checkpoint. A `damaged` one is left alone: whether its
    folder is restored from a copy or removed is for its owner to say.

    Attributes:
        reason: why it failed or cannot be read; empty otherwise.
    """

    spec: RunSpec
    status: PlanStatus
    reason: str = ""


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
    """

    name: str
    runs: tuple[PlannedRun, ...]
    impossible: tuple[ImpossibleCell, ...]

    @property
    def todo(self) -> list[RunSpec]:
        """Runs that are not done and can be worked on."""
        return [run.spec for run in self.runs if run.status not in ("done", "damaged")]

    @property
    def damaged(self) -> list[PlannedRun]:
        """Runs that the store holds but that cannot be read."""
        return [run for run in self.runs if run.status == "damaged"]

    def as_json(self) -> dict[str, Any]:
        """For machines: `{"experiment", "runs": [...]}`; impossible cells stand among the runs, without an id."""
        runs = [
            {"id": run.spec.id, **run.spec.description(), "status": run.status, "reason": run.reason or None}
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
            }
            for cell in self.impossible
        ]
        return {"experiment": self.name, "runs": runs}


def make_plan(experiment: Experiment, store: Store | None = None) -> Plan:
    """The plan of an experiment, with what `store` already holds of it.

    Data files are read (their content is part of a run's identity); nothing is downloaded, loaded or trained.

    Raises:
        ConfigError: if a training has no learning rate; every such problem at once.
        ImpossibleError: if no cell of the grid can be run.
        DataError: if data or a checkpoint is missing.
    """
    specs: dict[str, RunSpec] = {}
    impossible: dict[ImpossibleCell, None] = {}
    problems: dict[str, None] = {}
    grid = product(experiment.backbones, experiment.precisions, experiment.methods, experiment.intermediates)
    for backbone, precision, choice, intermediate in grid:
        builder = _CellBuilder(experiment, backbone, precision, choice)
        for request in experiment.compositions:
            try:
                composition = resolve_composition(choice.method, request, has_intermediate=intermediate != "none")
                for seed in experiment.seeds:
                    specs.update((spec.id, spec) for spec in builder.specs(intermediate, composition, seed))
            except ImpossibleError as error:
                cell = ImpossibleCell(
                    backbone, precision, choice.name, intermediate, request, experiment.target, str(error)
                )
                impossible[cell] = None
            except ConfigError as error:
                problems.update(dict.fromkeys(error.problems))
    if problems:
        raise ConfigError(problems)
    if not specs:
        reasons = dict.fromkeys(cell.reason for cell in impossible)
        raise ImpossibleError(f"no cell of experiment {experiment.name!r} can be run: {' '.join(reasons)}")
    ordered = sorted(specs.values(), key=lambda spec: ("intermediate", "target", "evaluation").index(spec.phase))
    return Plan(experiment.name, tuple(planned_run(store, spec) for spec in ordered), tuple(impossible))


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


@dataclass(frozen=True)
class _CellBuilder:
    """Makes the runs of one backbone, precision and method."""

    experiment: Experiment
    backbone: str
    precision: Precision
    choice: MethodChoice

    def specs(self, intermediate: str, composition: ResolvedComposition, seed: int) -> Iterator[RunSpec]:
        """The runs of one cell and seed, parents first."""
        target = self.experiment.target_task
        parents: dict[str, str] = {}
        head: HeadStart = "fresh"
        if intermediate != "none":
            lower = self._training(TASKS[intermediate], "intermediate", "none", intermediate, seed, {}, "fresh")
            yield lower
            parents = {"intermediate": lower.id}
            if self.experiment.head == "carry" and heads_fit(TASKS[intermediate], target):
                head = "carry"
        trained = self._training(target, "target", composition, intermediate, seed, parents, head)
        yield trained
        yield self._evaluation(trained)

    def _training(
        self,
        task: Task,
        phase: Literal["intermediate", "target"],
        composition: ResolvedComposition,
        intermediate: str,
        seed: int,
        parents: dict[str, str],
        head: HeadStart,
    ) -> RunSpec:
        return RunSpec(
            phase=phase,
            backbone=self.backbone,
            backbone_digest=self._backbone_digest(),
            precision=self.precision,
            method=self.choice.name,
            method_settings=self.choice.resolved(),
            composition=composition,
            intermediate=intermediate,
            task=task.name,
            target=task.name if phase == "target" else None,
            seed=seed,
            head=head,
            training=self._settings(task, phase),
            data=(split_ref(task, "train", "en"), split_ref(task, "validation", "en")),
            parents=parents,
            tokenizer_data=self._tokenizer_data(),
        )

    def _evaluation(self, trained: RunSpec) -> RunSpec:
        languages = self.experiment.evaluated_languages
        refs = tuple(split_ref(self.experiment.target_task, "test", language) for language in languages)
        return evaluation_of(trained, refs)

    def _settings(self, task: Task, phase: Literal["intermediate", "target"]) -> TrainingSettings:
        settings = resolve_training(
            self.experiment.rules, phase=phase, method=self.choice.name, backbone=self.backbone, task=task.name
        )
        longest = BACKBONES[self.backbone].max_length
        if settings.max_length > longest:
            raise ConfigError(
                f"training: max_length {settings.max_length} is more than backbone {self.backbone!r} has positions "
                f"for; at most {longest}"
            )
        return settings

    def _backbone_digest(self) -> str:
        data = self._tokenizer_data()
        texts = digest([ref.digest for ref in data]) if data else None
        return BACKBONES[self.backbone].digest(texts)

    def _tokenizer_data(self) -> tuple[SplitRef, ...]:
        if not BACKBONES[self.backbone].trains_tokenizer:
            return ()
        return tokenizer_data(self.experiment)


def tokenizer_data(experiment: Experiment) -> tuple[SplitRef, ...]:
    """Everything that the experiment reads, in a fixed order: what a tokenizer of our own is trained on."""
    names = [name for name in experiment.intermediates if name != "none"]
    refs = [split_ref(TASKS[name], split, "en") for name in [*sorted(names), experiment.target] for split in _TRAINING]
    refs += [split_ref(experiment.target_task, "test", code) for code in sorted(experiment.evaluated_languages)]
    return tuple(refs)


_TRAINING: Sequence[Split] = ("train", "validation")


def heads_fit(intermediate: Task, target: Task) -> bool:
    """Whether a head's weights mean the same in both tasks: its kind and, for classes, the labels agree."""
    one, other = intermediate.format, target.format
    return one.head_type == other.head_type and (one.logits_per_row == 1 or one == other)


@lru_cache(maxsize=512)
def examples_of(task: str, split: Split, language: str) -> ExampleSet:
    """The examples of a split, read once a process."""
    return load_examples(TASKS[task], split, language)


def split_ref(task: Task, split: Split, language: str) -> SplitRef:
    """A split with the digest of its content."""
    return SplitRef(task.name, split, language, examples_of(task.name, split, language).digest)
