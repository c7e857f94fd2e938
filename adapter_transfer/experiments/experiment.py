"""What a user writes: an experiment as frozen data, every name in it checked. What it comes to is in `plan`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from adapter_transfer.backbones.zoo import BACKBONES, Precision
from adapter_transfer.config import Settings, one_of
from adapter_transfer.errors import ConfigError
from adapter_transfer.languages import expand_languages
from adapter_transfer.methods.catalog import METHODS, Method
from adapter_transfer.methods.composition import CompositionRequest
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.task import Task
from adapter_transfer.training.settings import RuleBase, TrainingRule

INTERMEDIATE_TASKS = {name: task for name, task in TASKS.items() if "intermediate" in task.roles}
TARGET_TASKS = {name: task for name, task in TASKS.items() if "target" in task.roles}

# The report of an experiment lies in the store under its name, beside these.
RESERVED_NAMES = ("runs", "cache", "trackers")

BackboneName = Annotated[str, one_of("backbone", BACKBONES)]
IntermediateName = Annotated[str, one_of("intermediate task", ["none", *INTERMEDIATE_TASKS])]
TargetName = Annotated[str, one_of("target task", TARGET_TASKS)]


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"each may stand here once; repeated: {', '.join(repeated)}")
    return values


class MethodChoice(Settings):
    """A method with its settings; a name alone takes the defaults."""

    name: Annotated[str, one_of("method", METHODS)]
    """Name of the method (`ls methods`)."""
    settings: Mapping[str, Any] = {}
    """The method's own settings; what is left out has its default."""

    @model_validator(mode="after")
    def _check_settings(self) -> MethodChoice:
        try:
            self.resolved()
        except ValidationError as error:
            raise ConfigError(
                f"settings of {self.name}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()
            ) from None
        return self

    @property
    def method(self) -> Method:
        return METHODS[self.name]

    def resolved(self) -> dict[str, Any]:
        """Every setting, defaults included."""
        return self.method.parse_settings(dict(self.settings)).model_dump(mode="json")


def _name_alone(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _check_languages(names: tuple[str, ...]) -> tuple[str, ...]:
    return expand_languages(names)


class Experiment(Settings):
    """A grid of backbones, precisions, methods, intermediates, compositions and seeds, and the question it answers."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    """Names the report's folder in the store; letters, digits, `-` and `_`."""
    question: str = ""
    """What the experiment is to answer; printed above its results."""
    backbones: Annotated[tuple[BackboneName, ...], Field(min_length=1), AfterValidator(_distinct)]
    """The scales, smallest first (`ls backbones`)."""
    precisions: Annotated[tuple[Precision, ...], Field(min_length=1), AfterValidator(_distinct)] = ("fp32",)
    """Of the frozen weights for adapters, of the computation for full fine-tuning; what trains is kept in fp32."""
    methods: Annotated[tuple[Annotated[MethodChoice, BeforeValidator(_name_alone)], ...], Field(min_length=1)]
    """How a phase changes the backbone (`ls methods`)."""
    intermediates: Annotated[tuple[IntermediateName, ...], Field(min_length=1), AfterValidator(_distinct)]
    """English tasks trained before the target; `none` is the baseline that gains are measured against."""
    compositions: Annotated[tuple[CompositionRequest, ...], Field(min_length=1), AfterValidator(_distinct)] = ("auto",)
    """How the target's adapter meets the intermediate's; `auto` takes what is exact for the method."""
    target: TargetName
    """The task that is trained in English after the intermediate and evaluated in every language."""
    languages: Annotated[tuple[str, ...], AfterValidator(_check_languages)] | None = None
    """Evaluated languages, as codes or names of sets; without it, every language of the target's test split."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(_distinct)]
    """Seed k of the target stands on seed k of the intermediate and is compared with seed k of `none`."""
    head: Literal["carry", "fresh"] = "fresh"
    """Whether the target's head starts from the intermediate's where their shapes allow, or anew."""
    training: tuple[TrainingRule, ...] = Field(min_length=1)  # type: ignore[valid-type]  # made by create_model
    """Hyper-parameters as rules; a later rule wins over an earlier one."""

    @model_validator(mode="after")
    def _check_together(self) -> Experiment:
        problems = []
        if self.name in RESERVED_NAMES:
            problems.append(f"name: {self.name!r} is a folder of the store itself; choose another")
        names = [choice.name for choice in self.methods]
        problems += [f"methods: {name!r} stands here twice" for name in dict.fromkeys(names) if names.count(name) > 1]
        test_languages = self.target_task.languages["test"]
        problems += [
            f"languages: {self.target!r} has no test items in {code!r}; it has {', '.join(test_languages)}"
            for code in self.languages or ()
            if code not in test_languages
        ]
        if problems:
            raise ConfigError(problems)
        return self

    @property
    def rules(self) -> tuple[RuleBase, ...]:
        """The training rules."""
        return self.training

    @property
    def target_task(self) -> Task:
        return TASKS[self.target]

    @property
    def evaluated_languages(self) -> tuple[str, ...]:
        """Codes of the languages that are evaluated."""
        return self.target_task.languages["test"] if self.languages is None else self.languages

    @property
    def uses_sandbox(self) -> bool:
        """Whether any backbone or task is the sandbox's, so that nothing here is evidence about published models."""
        tasks = [self.target, *(name for name in self.intermediates if name != "none")]
        return any(BACKBONES[name].is_sandbox for name in self.backbones) or any(TASKS[t].is_sandbox for t in tasks)
