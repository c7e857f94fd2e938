"""The cells of an experiment's grid and the runs that each needs, parents first; or why it has none. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from adapter_transfer.backbones.zoo import QUANTIZED, Backbone, Precision
from adapter_transfer.errors import ConfigError, ImpossibleError
from adapter_transfer.experiments.choices import MethodChoice
from adapter_transfer.experiments.data import TRAINING_LANGUAGE, TRAINING_SPLITS, DataReader, SplitRef, texts_digest
from adapter_transfer.experiments.experiment import NO_TARGET, Experiment
from adapter_transfer.experiments.runs import HeadStart, RunSpec, evaluation_alone, evaluation_of
from adapter_transfer.experiments.tune import TrialBase
from adapter_transfer.hub import RepoKind
from adapter_transfer.methods.catalog import require_architecture
from adapter_transfer.methods.composition import CompositionRequest, ResolvedComposition, resolve_composition
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.task import Split, Task
from adapter_transfer.training.recipes import recipes_for
from adapter_transfer.training.settings import Phase, TrainingSettings, require_applicable, resolve_training


@dataclass(frozen=True)
class CellBuilder:
    """Makes the runs of one backbone, precision and method.

    Attributes:
        declared: the backbone as the experiment names it.
        commit: kind, repository and revision on the Hub → commit.
        trial: what a search changes in the experiment's own settings; None leaves them.
    """

    experiment: Experiment
    reader: DataReader
    declared: Backbone
    precision: Precision
    choice: MethodChoice
    commit: Callable[[RepoKind, str, str], str]
    trial: TrialBase | None = None

    @cached_property
    def declaration(self) -> Backbone:
        """The backbone with its revisions resolved: asked for only where the cell can be run."""
        return self.declared.pinned(self.commit)

    def with_trial(self, trial: TrialBase) -> CellBuilder:
        """The same with other settings."""
        return replace(self, trial=trial)

    def resolve(self, intermediate: str, request: CompositionRequest) -> ResolvedComposition:
        """How the phases of a cell are composed.

        Raises:
            ImpossibleError: if the cell cannot be run, with the reason and what works.
        """
        self._require_supported()
        if self.experiment.target == NO_TARGET:
            return self._resolve_alone(intermediate)
        return resolve_composition(self.choice.method, request, has_intermediate=intermediate != "none")

    def specs(self, intermediate: str, composition: ResolvedComposition, seed: int) -> Iterator[RunSpec]:
        """The runs of one cell and seed, parents first."""
        if intermediate == "none":
            lower = None
        else:
            lower = self._training(TASKS[intermediate], "intermediate", "none", intermediate, seed, {}, "fresh")
            yield lower
        if composition == "alone":
            assert lower is not None, "resolve() refuses a cell without any training"
            yield evaluation_alone(lower, self._test_items)
            return
        trained = self._target(lower, composition, intermediate, seed)
        yield trained
        yield evaluation_of(trained, self._test_items)

    def _target(self, lower: RunSpec | None, composition: ResolvedComposition, intermediate: str, seed: int) -> RunSpec:
        target = self.experiment.evaluated_task
        parents = {} if lower is None else {"intermediate": lower.id}
        carries = lower is not None and self.experiment.head == "carry" and heads_fit(TASKS[intermediate], target)
        head: HeadStart = "carry" if carries else "fresh"
        return self._training(target, "target", composition, intermediate, seed, parents, head)

    def _training(
        self,
        task: Task,
        phase: Literal["intermediate", "target"],
        composition: ResolvedComposition,
        intermediate: str,
        seed: int,
        parents: Mapping[str, str],
        head: HeadStart,
    ) -> RunSpec:
        return RunSpec(
            phase=phase,
            backbone=self.declaration.name,
            declaration=self.declaration,
            backbone_digest=self.backbone_digest,
            precision=self.precision,
            method=self.choice.name,
            method_settings=self._method_settings,
            composition=composition,
            intermediate=intermediate,
            task=task.name,
            target=task.name if phase == "target" else None,
            seed=seed,
            head=head,
            training=self.training_settings(task, phase),
            data=self.reader.training_refs(task),
            parents=parents,
            tokenizer_data=self._tokenizer_data,
            vocabulary=self._read_splits if self._trims_vocabulary else (),
        )

    def training_settings(self, task: Task, phase: Phase) -> TrainingSettings:
        """Hyper-parameters of a phase: shipped values, then the experiment's rules, then the trial's.

        Raises:
            ConfigError: if nothing sets the learning rate, rows may be longer than the backbone takes, or the
            precision or method has no use for a setting.
        """
        method, backbone = self.choice.name, self.declaration.name
        recipes = recipes_for(phase=phase, method=method, backbone=backbone, task=task.name)
        rules = (*(recipe.rule for recipe in recipes), *self.experiment.rules)
        tune = self.experiment.tune
        changes = self.trial.changes() if self.trial is not None and tune is not None and phase in tune.phases else {}
        settings = resolve_training(
            rules, phase=phase, method=method, backbone=backbone, task=task.name, changes=changes
        )
        require_applicable(settings, method_kind=self.choice.method.kind, precision=self.precision)
        longest = self.declaration.max_length
        if settings.max_length > longest:
            raise ConfigError(
                f"training: max_length {settings.max_length} is more than backbone {self.declaration.name!r} has "
                f"positions for; at most {longest}"
            )
        return settings

    def _require_supported(self) -> None:
        # Where the zoo tells the architecture, the network is not asked for what cannot be used.
        known = self.declared if self.declared.shape is not None else self.declaration
        reason = known.unsupported_reason()
        if reason is not None:
            raise ImpossibleError(reason)
        method = self.choice.method
        require_architecture(method, known.architecture)
        if self.precision in method.refused_precisions:
            raise ImpossibleError(method.refused_precisions[self.precision])
        method.check(self._method_settings, int(self.declaration.known_fields()["hidden_size"]))

    def _resolve_alone(self, intermediate: str) -> ResolvedComposition:
        target = self.experiment.evaluated_task
        if intermediate == "none":
            raise ImpossibleError("without an intermediate and without a target nothing is trained")
        if not heads_fit(TASKS[intermediate], target):
            raise ImpossibleError(
                f"the head of {intermediate!r} means something else than one of {target.name!r}, so it cannot answer "
                "it; an intermediate of the same kind (multiple choice) can"
            )
        return "alone"

    @cached_property
    def _method_settings(self) -> dict[str, Any]:
        return self.choice.resolved(self.trial.settings if self.trial is not None else None)

    @cached_property
    def _test_items(self) -> tuple[SplitRef, ...]:
        task = self.experiment.evaluated_task
        return tuple(self.reader.ref(task, "test", language) for language in self.experiment.evaluated_languages)

    @cached_property
    def _tokenizer_data(self) -> tuple[SplitRef, ...]:
        # A tokenizer of our own is trained on everything that the experiment reads.
        return self._read_splits if self.declaration.trains_tokenizer else ()

    @cached_property
    def _read_splits(self) -> tuple[SplitRef, ...]:
        return tuple(self.reader.ref(*split) for split in experiment_splits(self.experiment))

    @property
    def _trims_vocabulary(self) -> bool:
        asked = self.experiment.trim_vocabulary
        return self.choice.method.kind == "full" or self.precision in QUANTIZED if asked is None else asked

    @cached_property
    def backbone_digest(self) -> str:
        """Of weights, configuration and tokenizer."""
        return self.declaration.digest(texts_digest(self._tokenizer_data))


def experiment_splits(experiment: Experiment) -> Iterator[tuple[Task, Split, str]]:
    """Task, split and language of everything that an experiment reads, in a fixed order."""
    trained = [TASKS[name] for name in sorted(name for name in experiment.intermediates if name != "none")]
    if experiment.target != NO_TARGET:
        trained.append(experiment.evaluated_task)
    for task in trained:
        yield from ((task, split, TRAINING_LANGUAGE) for split in TRAINING_SPLITS)
    for code in sorted(experiment.evaluated_languages):
        yield experiment.evaluated_task, "test", code


def heads_fit(intermediate: Task, target: Task) -> bool:
    """Whether a head's weights mean the same in both tasks: its kind and, for classes, the labels agree."""
    one, other = intermediate.format, target.format
    return one.head_type == other.head_type and (one.logits_per_row == 1 or one == other)
