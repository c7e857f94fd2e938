"""The cells of an experiment's grid and the runs that each needs, parents first; or why it has none. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from adapter_transfer.backbones.zoo import QUANTIZED, Backbone, Precision
from adapter_transfer.errors import ConfigError, ImpossibleError
from adapter_transfer.experiments.adoption import Adoptions, Place
from adapter_transfer.experiments.choices import MethodChoice
from adapter_transfer.experiments.data import TRAINING_LANGUAGE, TRAINING_SPLITS, DataReader, SplitRef, texts_digest
from adapter_transfer.experiments.experiment import NO_TARGET, Experiment
from adapter_transfer.experiments.runs import HeadStart, RunSpec, evaluation_alone, evaluation_of, no_training
from adapter_transfer.experiments.tune import TrialBase
from adapter_transfer.hub import RepoKind
from adapter_transfer.methods.catalog import require_architecture
from adapter_transfer.methods.composition import CompositionRequest, ResolvedComposition, resolve_composition
from adapter_transfer.sharing.references import is_hub_adapter
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.mixtures import is_mixture, members
from adapter_transfer.tasks.task import Split, Task
from adapter_transfer.training.recipes import recipes_for
from adapter_transfer.training.settings import Phase, TrainingSettings, require_applicable, resolve_training


@dataclass(frozen=True)
class CellBuilder:
    """Makes the runs of one backbone, precision and method.

    Attributes:
        target: what is evaluated: the experiment's, or one that a control adds.
        declared: the backbone as the experiment names it.
        commit: kind, repository and revision on the Hub → commit.
        adoptions: the pulled adapters that stand in for intermediates.
        trial: what a search changes in the experiment's own settings; None leaves them.
    """

    experiment: Experiment
    reader: DataReader
    target: Task
    declared: Backbone
    precision: Precision
    choice: MethodChoice
    commit: Callable[[RepoKind, str, str], str]
    adoptions: Adoptions
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
        if is_hub_adapter(intermediate):
            self.adoptions.require_fit(intermediate, self._place)
        if self.experiment.target == NO_TARGET:
            return self._resolve_alone(intermediate)
        return resolve_composition(self.choice.method, request, has_intermediate=intermediate != "none")

    def specs(self, intermediate: str, composition: ResolvedComposition, seed: int) -> Iterator[RunSpec]:
        """The runs of one cell and seed, parents first."""
        if intermediate == "none":
            lower = None
        else:
            lower = self._lower(intermediate, seed)
            yield lower
        if composition == "alone":
            assert lower is not None, "resolve() refuses a cell without any training"
            yield evaluation_alone(lower, self._test_items)
            return
        trained = self._target(lower, composition, intermediate, seed)
        yield trained
        yield evaluation_of(trained, self._test_items)

    def _target(self, lower: RunSpec | None, composition: ResolvedComposition, intermediate: str, seed: int) -> RunSpec:
        target = self.target
        if lower is None:
            return self._training(target.name, "target", composition, intermediate, seed, {}, "fresh")
        carries = self.experiment.head == "carry" and self._heads_fit(intermediate, seed)
        head: HeadStart = "carry" if carries else "fresh"
        parents = {"intermediate": lower.id}
        trained = self._training(target.name, "target", composition, intermediate, seed, parents, head)
        return replace(trained, adopted=lower.adopted)

    def _lower(self, intermediate: str, seed: int) -> RunSpec:
        """The run of an intermediate: its training or, of one that was pulled, its adoption."""
        if not is_hub_adapter(intermediate):
            return self._training(intermediate, "intermediate", "none", intermediate, seed, {}, "fresh")
        return RunSpec(
            phase="intermediate",
            backbone=self.declaration.name,
            declaration=self.declaration,
            backbone_digest=self.backbone_digest,
            precision=self.precision,
            method=self.choice.name,
            method_settings=self._method_settings,
            composition="none",
            intermediate=intermediate,
            task=intermediate,
            target=None,
            seed=seed,
            head="fresh",
            training=no_training(self._adopted_length(intermediate)),
            data=(),
            tokenizer_data=self._tokenizer_data,
            vocabulary=self._vocabulary,
            adopted=self.adoptions.adapter(intermediate, seed),
        )

    def _adopted_length(self, intermediate: str) -> int:
        """Tokens in a row where a pulled adapter answers alone: as in its training, if that is known."""
        found = self.adoptions.max_length(intermediate)
        if found is None:
            names = {"method": self.choice.name, "backbone": self.declaration.name, "task": self.target.name}
            changes = {"learning_rate": 1.0}  # nothing learns, so that no rule has to set it
            found = resolve_training(self.experiment.rules, phase="target", **names, changes=changes).max_length
        return min(found, self.declaration.max_length)

    def _training(
        self,
        task: str,
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
            task=task,
            target=task if phase == "target" else None,
            seed=seed,
            head=head,
            training=self.training_settings(task, phase),
            data=self.reader.training_refs(members(task)),
            parents=parents,
            tokenizer_data=self._tokenizer_data,
            vocabulary=self._vocabulary,
        )

    def training_settings(self, task: str, phase: Phase) -> TrainingSettings:
        """Hyper-parameters of a phase: shipped values, then the experiment's rules, then the trial's.

        Raises:
            ConfigError: if nothing sets the learning rate, rows may be longer than the backbone takes, or the
            precision or method has no use for a setting.
        """
        method, backbone = self.choice.name, self.declaration.name
        recipes = recipes_for(phase=phase, method=method, backbone=backbone, task=task)
        rules = (*(recipe.rule for recipe in recipes), *self.experiment.rules)
        tune = self.experiment.tune
        changes = self.trial.changes() if self.trial is not None and tune is not None and phase in tune.phases else {}
        settings = resolve_training(rules, phase=phase, method=method, backbone=backbone, task=task, changes=changes)
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
        target = self.target
        if intermediate == "none":
            raise ImpossibleError("without an intermediate and without a target nothing is trained")
        if not self._heads_fit(intermediate, self.experiment.seeds[0]):
            raise ImpossibleError(
                f"the head of {intermediate!r} means something else than one of {target.name!r}, so it cannot answer "
                "it; an intermediate of the same kind (multiple choice) can"
            )
        return "alone"

    def _heads_fit(self, intermediate: str, seed: int) -> bool:
        if is_hub_adapter(intermediate):
            return self.adoptions.head_fits(intermediate, seed, self.target)
        return heads_fit(intermediate, self.target)

    @property
    def _place(self) -> Place:
        return Place(self.choice.method, self._method_settings, self.declaration, self.backbone_digest)

    @cached_property
    def _method_settings(self) -> dict[str, Any]:
        return self.choice.resolved(self.trial.settings if self.trial is not None else None)

    @cached_property
    def _test_items(self) -> tuple[SplitRef, ...]:
        languages = self.experiment.evaluated_languages
        return tuple(self.reader.ref(self.target, "test", language) for language in languages)

    @cached_property
    def _tokenizer_data(self) -> tuple[SplitRef, ...]:
        # A tokenizer of our own is trained on everything that the experiment reads, but for controls: these have no
        # text of their own, and with or without them the runs beside them are the same.
        if not self.declaration.trains_tokenizer:
            return ()
        return tuple(self.reader.ref(*split) for split in tokenizer_splits(self.experiment))

    @cached_property
    def _read_splits(self) -> tuple[SplitRef, ...]:
        return tuple(self.reader.ref(*split) for split in experiment_splits(self.experiment))

    @property
    def _vocabulary(self) -> tuple[SplitRef, ...]:
        asked = self.experiment.trim_vocabulary
        trims = self.choice.method.kind == "full" or self.precision in QUANTIZED if asked is None else asked
        return self._read_splits if trims else ()

    @cached_property
    def backbone_digest(self) -> str:
        """Of weights, configuration and tokenizer."""
        return self.declaration.digest(texts_digest(self._tokenizer_data))


def experiment_splits(experiment: Experiment) -> Iterator[tuple[Task, Split, str]]:
    """Task, split and language of everything that an experiment reads, in a fixed order."""
    return _splits(experiment, trained_tasks(experiment.all_intermediates), experiment.targets)


def tokenizer_splits(experiment: Experiment) -> Iterator[tuple[Task, Split, str]]:
    """What a tokenizer of our own is trained on, likewise: of a control, the text of what it is made of."""
    trained = (TASKS[task.base.name] for task in trained_tasks(experiment.intermediates))
    return _splits(experiment, trained, [TASKS[experiment.evaluated_task.base.name]])


def trained_tasks(intermediates: Iterable[str]) -> tuple[Task, ...]:
    """The tasks of intermediates that are trained, in the order of these names."""
    trained = (name for name in sorted(intermediates) if name != "none" and not is_hub_adapter(name))
    return tuple(task for name in trained for task in members(name))


def _splits(
    experiment: Experiment, trained: Iterable[Task], targets: Sequence[Task]
) -> Iterator[tuple[Task, Split, str]]:
    tasks = {task.name: task for task in trained}
    if experiment.target != NO_TARGET:
        tasks |= {task.name: task for task in targets}
    for task in tasks.values():
        yield from ((task, split, TRAINING_LANGUAGE) for split in TRAINING_SPLITS)
    for task in targets:
        yield from ((task, "test", code) for code in sorted(experiment.evaluated_languages))


def heads_fit(intermediate: str, target: Task) -> bool:
    """Whether a head's weights mean the same in both tasks: its kind and, for classes, the labels agree.

    A mixture has several heads; which of them should go on would be a choice of ours, so none does.
    """
    if is_mixture(intermediate):
        return False
    one, other = TASKS[intermediate].format, target.format
    return one.head_type == other.head_type and (one.logits_per_row == 1 or one == other)
