"""What a user writes: an experiment as frozen data, every name in it checked. What it comes to is in `plan`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from adapter_transfer.backbones.zoo import BACKBONES, Precision
from adapter_transfer.config import Settings, one_of
from adapter_transfer.errors import AdapterTransferError, ConfigError
from adapter_transfer.experiments.choices import BackboneChoice, WrittenBackbone, WrittenMethod, distinct
from adapter_transfer.experiments.controls import control_intermediates, control_problems, control_targets
from adapter_transfer.experiments.tune import Tune
from adapter_transfer.languages import expand_languages
from adapter_transfer.methods.composition import CompositionRequest
from adapter_transfer.registry import unknown_name_message
from adapter_transfer.sharing.references import PREFIX, is_hub_adapter, parse_hub_adapter
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.controls import Control, UnknownControlError
from adapter_transfer.tasks.copa import XCOPA_BALANCED_COPA
from adapter_transfer.tasks.mixtures import check_mixture, members
from adapter_transfer.tasks.reading import QuestionField
from adapter_transfer.tasks.task import SEPARATOR, Split, Task
from adapter_transfer.training.settings import RuleBase, TrainingRule

INTERMEDIATE_TASKS = {name: task for name, task in TASKS.items() if "intermediate" in task.roles}
TARGET_TASKS = {name: task for name, task in TASKS.items() if "target" in task.roles}

# The report of an experiment lies in the store under its name, beside these.
RESERVED_NAMES = ("runs", "cache", "trackers")


def intermediate_name(name: str) -> str:
    """An intermediate as everybody writes it: a mixture's tasks in order, a pulled adapter with its revision.

    Raises:
        ConfigError: if it names nothing that can stand before a target.
    """
    if is_hub_adapter(name):
        return str(parse_hub_adapter(name))
    if any(is_hub_adapter(part.strip()) for part in name.split(SEPARATOR)):
        raise ConfigError(f"{name!r}: an adapter from the Hub ({PREFIX}…) is no part of a mixture; name it by itself")
    return name if name == NO_INTERMEDIATE else check_mixture(name)


def _check_evaluated(name: str) -> str:
    return _target_among(TARGET_TASKS, name)


def _check_target(name: str) -> str:
    return name if name == NO_TARGET else _target_among([NO_TARGET, *TARGET_TASKS], name)


def _target_among(listed: Collection[str], name: str) -> str:
    """The name of a target: one that is listed, or a control that is made of one."""
    try:
        is_target = name in listed or "target" in TASKS[name].roles
    except UnknownControlError as error:
        raise ValueError(str(error)) from None
    except AdapterTransferError:
        is_target = False
    if not is_target:
        raise ValueError(unknown_name_message("target task", name, listed))
    return name


NO_INTERMEDIATE = "none"
IntermediateName = Annotated[str, AfterValidator(intermediate_name)]
NO_TARGET = "none"
TargetName = Annotated[str, AfterValidator(_check_target)]
EvaluatedName = Annotated[str, AfterValidator(_check_evaluated)]
TaskName = Annotated[str, one_of("task", TASKS)]


def _check_languages(names: tuple[str, ...]) -> tuple[str, ...]:
    return expand_languages(names)


class Experiment(Settings):
    """A grid of backbones, precisions, methods, intermediates, compositions and seeds, and the question it answers."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    """Names the report's folder in the store; letters, digits, `-` and `_`."""
    question: str = ""
    """What the experiment is to answer; printed above its results."""
    backbones: tuple[WrittenBackbone, ...] = Field(min_length=1)
    """The scales, smallest first: names (`ls backbones`), or your own encoder by folder or Hub id."""
    precisions: Annotated[tuple[Precision, ...], Field(min_length=1), AfterValidator(distinct)] = ("fp32",)
    """Of the frozen weights for adapters, of the computation for full fine-tuning; what trains is kept in fp32
    (unless `master_weights` says otherwise). A backbone may have its own: `{name: xxl, precisions: [nf4]}`."""
    methods: tuple[WrittenMethod, ...] = Field(min_length=1)
    """How a phase changes the backbone (`ls methods`)."""
    intermediates: Annotated[tuple[IntermediateName, ...], Field(min_length=1), AfterValidator(distinct)]
    """English tasks trained before the target, several together where `+` stands between them (`mnli+squad1`, or
    `multi` for all of the paper's); `none` is the baseline that gains are measured against. A trained adapter is pulled
    from the Hub by `hub:organisation/name@revision`."""
    compositions: Annotated[tuple[CompositionRequest, ...], Field(min_length=1), AfterValidator(distinct)] = ("auto",)
    """How the target's adapter meets the intermediate's; `auto` takes what is exact for the method."""
    target: TargetName
    """The task that is trained in English after the intermediate and evaluated in every language; `none` evaluates the
    intermediate alone, with its own head, on `evaluate`."""
    evaluate: EvaluatedName | None = None
    """With `target: none`, the task whose test items are answered."""
    controls: Annotated[tuple[Control, ...], AfterValidator(distinct)] = ()
    """What tells a gain by what an intermediate teaches from a gain by something else: `shuffled-labels` and
    `real-or-shuffled` are further intermediates, `choices-only` and `balanced-copa` further targets."""
    languages: Annotated[tuple[str, ...], AfterValidator(_check_languages)] | None = None
    """Evaluated languages, as codes or names of sets; without it, every language of the target's test split."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(distinct)]
    """Seed k of the target stands on seed k of the intermediate and is compared with seed k of `none`."""
    head: Literal["carry", "fresh"] = "fresh"
    """Whether the target's head starts from the intermediate's where their shapes allow, or anew."""
    trim_vocabulary: bool | None = None
    """Keep only those rows of the embedding table that the experiment's texts use while a run works; exact, and written
    back when it saves. Without it: for full fine-tuning and for quantized backbones."""
    splits: Mapping[TaskName, Mapping[Split, str]] = {}
    """Task → our split (train, validation, test) → the published split that serves as it, where that is not the task's
    own choice (`ls tasks`)."""
    question_field: QuestionField = "repaired"
    """XCOPA's `question`, wrong upstream in five languages: `repaired`, or `as-published` to compare with others."""
    training: tuple[TrainingRule, ...] = ()  # type: ignore[valid-type]  # made by create_model
    """Hyper-parameters as rules; a later rule wins over an earlier one, all of them over the shipped values
    (`ls recipes`)."""
    tune: Tune | None = None
    """A small search before the seeds are trained, with equally many trials for every cell."""

    @model_validator(mode="after")
    def _check_together(self) -> Experiment:
        problems = []
        if self.name in RESERVED_NAMES:
            problems.append(f"name: {self.name!r} is a folder of the store itself; choose another")
        for key, names in (("backbones", self.backbone_names), ("methods", self.method_names)):
            twice = dict.fromkeys(name for name in names if names.count(name) > 1)
            hint = "" if key == "backbones" else " (settings are compared by `tune:`, or in two files)"
            problems += [f"{key}: {name!r} stands here twice{hint}" for name in twice]
        problems += list(self._target_problems())
        if problems:
            raise ConfigError(problems)
        known = dict.fromkeys((*self.backbone_names, *BACKBONES))
        named = dict.fromkeys(rule.when.backbone for rule in self.rules if rule.when.backbone is not None)
        problems += [unknown_name_message("backbone", name, known) for name in named if name not in known]
        problems += list(self._split_problems())
        problems += control_problems(
            self.controls,
            self.intermediates,
            self.evaluated_task.name,
            is_trained=self.target != NO_TARGET,
        )
        if self.tune is not None:
            problems += self._tune_problems(self.tune)
        test_languages = self.evaluated_task.languages["test"]
        problems += [
            f"languages: {self.evaluated_task.name!r} has no test items in {code!r}; it has {', '.join(test_languages)}"
            for code in self.languages or ()
            if code not in test_languages
        ]
        if problems:
            raise ConfigError(problems)
        return self

    def _target_problems(self) -> Iterator[str]:
        if self.target == NO_TARGET and self.evaluate is None:
            yield "evaluate: with `target: none` say which task is answered, for example `evaluate: xcopa`"
        if self.target != NO_TARGET and self.evaluate is not None:
            yield f"evaluate: is for `target: none` only; {self.target!r} is trained and evaluated"

    def _split_problems(self) -> Iterator[str]:
        for name, mapping in self.splits.items():
            try:
                TASKS[name].check_splits(mapping)
            except ConfigError as error:
                yield from (f"splits: {problem}" for problem in error.problems)
            if XCOPA_BALANCED_COPA.base.name == name and "train" in mapping and "balanced-copa" in self.controls:
                yield (
                    f"splits: {name}: train: {mapping['train']} would take the place of Balanced COPA in the control "
                    "balanced-copa, too; leave one of them out"
                )

    def _tune_problems(self, tune: Tune) -> list[str]:
        problems = tune.problems(list(self.method_names))
        if self.target == NO_TARGET:
            problems.append("tune: trials are chosen by the target's validation items, and `target` is none")
        for choice in self.methods:
            for trial in tune.of(choice.name):
                try:
                    choice.resolved(trial.settings)
                except ConfigError as error:
                    problems += [f"tune.trials: {problem}" for problem in error.problems]
        return problems

    @property
    def backbone_names(self) -> tuple[str, ...]:
        """What the scales are called."""
        return tuple(choice.name for choice in self.backbones)

    @property
    def method_names(self) -> tuple[str, ...]:
        return tuple(choice.name for choice in self.methods)

    def precisions_of(self, backbone: BackboneChoice) -> tuple[Precision, ...]:
        """In which precisions a scale is run: its own, else the experiment's."""
        return self.precisions if backbone.precisions is None else backbone.precisions

    @property
    def rules(self) -> tuple[RuleBase, ...]:
        """The training rules."""
        return self.training

    @property
    def evaluated_task(self) -> Task:
        """The target; with `target: none`, the task that the intermediate answers."""
        return TASKS[self.evaluate if self.evaluate is not None else self.target]

    @property
    def targets(self) -> tuple[Task, ...]:
        """The evaluated task, then those that controls add; all are evaluated in the same languages."""
        return (
            self.evaluated_task,
            *(TASKS[name] for name in control_targets(self.controls, self.evaluated_task.name)),
        )

    @property
    def all_intermediates(self) -> tuple[str, ...]:
        """The intermediates, then those that controls add."""
        return (*self.intermediates, *control_intermediates(self.controls, self.intermediates))

    @property
    def evaluated_languages(self) -> tuple[str, ...]:
        """Codes of the languages that are evaluated."""
        return self.evaluated_task.languages["test"] if self.languages is None else self.languages

    @property
    def uses_sandbox(self) -> bool:
        """Whether any backbone or task is the sandbox's, so that nothing here is evidence about published models."""
        tasks_of = (name for name in self.intermediates if name != NO_INTERMEDIATE and not is_hub_adapter(name))
        trained = [task for name in tasks_of for task in members(name)]
        tasks = [self.evaluated_task, *trained]
        return bool(self.sandbox_backbones) or any(task.is_sandbox for task in tasks)

    @property
    def sandbox_backbones(self) -> tuple[str, ...]:
        """Backbones that say nothing about published models."""
        return tuple(choice.name for choice in self.backbones if choice.is_sandbox)

    @property
    def random_backbones(self) -> tuple[str, ...]:
        """Backbones with random weights: in every table, but not part of the finding."""
        return tuple(choice.name for choice in self.backbones if choice.is_random)
