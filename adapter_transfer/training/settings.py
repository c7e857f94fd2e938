"""Hyper-parameters of a training phase, and the rules that give each phase of an experiment its own. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    create_model,
    model_serializer,
    model_validator,
)

from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.config import Settings, one_of
from adapter_transfer.errors import ConfigError
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.formats import DOC_STRIDE
from adapter_transfer.tasks.mixtures import check_mixture, members, mixture_of

Phase = Literal["intermediate", "target"]
DeviceRequest = Literal["auto", "cpu", "cuda"]
OptimizerName = Literal["adamw", "adamw-8bit", "paged-adamw", "paged-adamw-8bit"]

DEFAULT_TOKEN_BUDGET = 4096
"""Padded tokens in a micro-batch: fits small cards, and on the CPU more is no faster."""
DEFAULT_CHECKPOINT_STEPS = 200
"""Optimizer steps between two checkpoints, at most."""
DEFAULT_CHECKPOINT_SECONDS = 60.0
"""Seconds between two checkpoints, at most: with a large model 200 steps may be hours."""


_MACHINE_FIELDS = ("gradient_checkpointing", "token_budget")
"""Settings that change memory and time and no result beyond rounding: no part of a run's identity."""
_LATER_FIELDS = ("update", "master_weights", "sampling", "sampling_cap", "sampling_temperature", "doc_stride")
"""Settings that came after the first runs: part of an identity only where they are not at their default."""
_SAMPLING_FIELDS = {"sampling_cap": "capped", "sampling_temperature": "temperature"}
"""Settings that one kind of sampling alone has a use for."""


class TrainingSettings(Settings):
    """Everything about one training phase that can change its result, and what it needs to fit."""

    learning_rate: float = Field(gt=0)
    """Peak learning rate. Has no default: it decides too much to be chosen by us."""
    batch_size: int = Field(32, gt=0)
    """Examples in one optimizer step; how a step is cut to fit memory changes nothing but rounding."""
    epochs: int = Field(3, gt=0)
    """Passes over the training examples."""
    max_steps: int | None = Field(None, gt=0)
    """Optimizer steps after which training ends, if that comes before the last epoch."""
    max_length: int = Field(128, ge=8)
    """Tokens in a row, special tokens included; the rest is cut off."""
    doc_stride: int = Field(DOC_STRIDE, ge=0)
    """Tokens that two neighbouring windows of a context share, where one is too long for a row (span tasks); at most
    half of what a window has room for."""
    max_train_examples: int | None = Field(None, gt=0)
    """Train on the first so many examples only; of a mixture, on so many of each task."""
    sampling: Literal["capped", "proportional", "temperature", "uniform"] = "capped"
    """By what a mixture of tasks draws the task of each step: the number of examples, that number up to a cap, its root
    (`sampling_temperature`), or all alike."""
    sampling_cap: int = Field(2**17, gt=0)
    """Examples beyond which a task counts no more with `sampling: capped` (Phang et al. 2020, arXiv 2005.13013)."""
    sampling_temperature: float = Field(2.0, ge=1)
    """T of `sampling: temperature`: shares are those of the numbers of examples to the power 1/T."""
    optimizer: OptimizerName = "adamw"
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), fused; `-8bit` keeps its moments in 8 bits by blocks
    (Dettmers et al. 2022, arXiv 2110.02861), those of the embedding table in 32; `paged-` lets a card move them out to
    the computer's memory when its own is full (Dettmers et al. 2023, arXiv 2305.14314, section 3)."""
    update: Literal["step", "backward"] = "step"
    """When weights move: all of them after the backward pass, or each inside it as soon as its gradient is there, so
    that gradients never exist all at once (Lv et al. 2024, arXiv 2306.09782). `backward` is for full fine-tuning; it
    gives up clipping by the global norm and cutting a step into micro-batches: all of batch_size has to fit at once."""
    master_weights: Literal["fp32", "bf16"] = "fp32"
    """What a fully fine-tuned body's weights are kept in; `bf16` rounds every update stochastically (Zamirai et al.
    2021, arXiv 2010.06192), since the nearest bf16 number is mostly the one before."""
    gradient_checkpointing: bool = False
    """Compute each layer a second time in the backward pass in place of keeping what it made (Chen et al. 2016, arXiv
    1604.06174): about a third more time, far less memory, the same result."""
    token_budget: int | None = Field(None, ge=64)
    """Padded tokens in a micro-batch; null leaves it to the machine. Less needs less memory and changes no result."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled decay of matrices; biases and norms have none."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """AdamW's decay of the mean of gradients."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """AdamW's decay of the mean of squared gradients."""
    epsilon: float = Field(1e-8, gt=0)
    """AdamW's guard against division by zero."""
    warmup_share: float = Field(0.06, ge=0, lt=1)
    """Share of all steps in which the learning rate rises linearly from 0."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after warm-up: to 0, or not at all."""
    max_grad_norm: float | None = Field(1.0, gt=0)
    """Gradients are scaled down to this global norm; null leaves them."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Of hidden states, attention and head; null keeps the checkpoint's."""
    validate_every: Literal["epoch"] | Annotated[int, Field(gt=0)] = "epoch"
    """Validate in English after each epoch, or after so many steps, and at the end."""
    select: Literal["best", "last"] = "best"
    """Keep the weights that were best in English validation (accuracy, then loss), or the last ones."""
    patience: int | None = Field(None, gt=0)
    """Stop after so many validations in a row without a better one; null never stops early."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.updates_in_backward:
            if self.max_grad_norm is not None:
                raise ConfigError(
                    "update: backward needs max_grad_norm: null: clipping by the global norm has to know every "
                    "gradient before the first weight moves, and here they never exist all at once"
                )
            if self.optimizer.startswith("paged-"):
                raise ConfigError(
                    f"update: backward does not go with optimizer {self.optimizer}: it would wait for every page in "
                    f"the middle of the backward pass; use {self.optimizer.removeprefix('paged-')}, or update: step"
                )
        return self

    @property
    def updates_in_backward(self) -> bool:
        """Whether weights move inside the backward pass, so that a step is one micro-batch whatever the budget."""
        return self.update == "backward"

    def num_steps(self, num_examples: int) -> int:
        """Optimizer steps of a whole training, early stopping aside."""
        steps = self.steps_per_epoch(num_examples) * self.epochs
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def steps_per_epoch(self, num_examples: int) -> int:
        """Optimizer steps of one pass over the training examples; the last one may have fewer of them."""
        return math.ceil(num_examples / self.batch_size)

    def validation_steps(self, num_examples: int) -> set[int]:
        """The steps, counted from 1, after which there is a validation."""
        num_steps = self.num_steps(num_examples)
        every = self.steps_per_epoch(num_examples) if self.validate_every == "epoch" else self.validate_every
        return {*range(every, num_steps + 1, every), num_steps}

    def identity(self, *, is_mixture: bool, cuts_windows: bool) -> dict[str, Any]:
        """What of these can change a result, as JSON: their part of a run's identity.

        Args:
            is_mixture: several tasks are trained, so that it matters how they are sampled.
            cuts_windows: long contexts are cut, so that it matters how far windows overlap.
        """
        fields = self.model_dump(mode="json")
        idle = {name for name, kind in _SAMPLING_FIELDS.items() if fields["sampling"] != kind}
        idle |= set() if is_mixture else {"sampling", *_SAMPLING_FIELDS}
        idle |= set() if cuts_windows else {"doc_stride"}
        idle |= {name for name in _LATER_FIELDS if fields[name] == type(self).model_fields[name].default}
        return {name: value for name, value in fields.items() if name not in {*_MACHINE_FIELDS, *idle}}


def require_applicable(
    settings: TrainingSettings, *, method_kind: Literal["full", "adapter"], precision: Precision
) -> None:
    """Makes sure that a training by this kind of method, in this precision, can be done as `settings` say.

    Raises:
        ConfigError: with every problem, naming what to change.
    """
    problems = []
    if method_kind != "full":
        problems += [
            f"training: {name}: {value} is for full fine-tuning only (what an adapter trains is small, and fits); "
            "give it in a rule of its own with when: {method: full}"
            for name, value in (("update", settings.update), ("master_weights", settings.master_weights))
            if value != TrainingSettings.model_fields[name].default
        ]
    elif settings.master_weights == "bf16" and precision != "bf16":
        problems.append(
            f"training: master_weights: bf16 needs precision bf16, not {precision}; choose that precision for this "
            "backbone, or master_weights: fp32"
        )
    elif settings.updates_in_backward and precision == "fp16":
        problems.append(
            "training: update: backward cannot be done in fp16: its loss scaling has to see every gradient before the "
            "first weight moves; use bf16 or fp32, or update: step"
        )
    if problems:
        raise ConfigError(problems)


def _check_trained(name: str) -> str:
    # A target is no part of a mixture.
    return name if name in TASKS else check_mixture(name)


def _called(trained: str) -> tuple[str, ...]:
    """The names by which rules may call what is trained: its own, and that of what a control is made of."""
    return trained, mixture_of(task.base.name for task in members(trained))


class RuleFilter(Settings):
    """Which trainings a rule is for; what is left out matches all."""

    phase: Phase | None = None
    """`intermediate` or `target`."""
    method: Annotated[str, one_of("method", METHODS)] | None = None
    """Name of a method."""
    backbone: str | None = None
    """Name of a backbone of the experiment."""
    task: Annotated[str, AfterValidator(_check_trained)] | None = None
    """Name of the task or mixture that is trained; a task's rules hold for the controls that are made of it, too."""

    def matches(self, given: dict[str, str]) -> bool:
        """Whether every field that is set equals the given one."""
        wanted = self.model_dump(exclude_none=True)
        task = wanted.pop("task", None)
        return all(given[key] == value for key, value in wanted.items()) and task in (None, *_called(given["task"]))


class RuleBase(Settings):
    """Sets hyper-parameters for the trainings that match `when`; a later rule wins over an earlier one."""

    when: RuleFilter = RuleFilter()
    """For which trainings; without it, for all."""

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What a rule leaves out is None inside, which a file must not say: null means something for some settings.
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}

    def changes(self) -> dict[str, Any]:
        """What this rule sets, as written."""
        return {key: getattr(self, key) for key in self.model_fields_set if key != "when"}


def optional_fields() -> dict[str, Any]:
    """Every hyper-parameter as a field that may be left out, for `create_model`."""
    # A rule has every hyper-parameter, declared once above. What it leaves out is None without being checked; what it
    # says is checked as above, so that null is taken only where null means something.
    fields: dict[str, Any] = {}
    for name, info in TrainingSettings.model_fields.items():
        constrained: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        fields[name] = (constrained, Field(None, description=info.description, validate_default=False))
    return fields


TrainingRule: type[RuleBase] = create_model("TrainingRule", __base__=RuleBase, **optional_fields())


def resolve_training(
    rules: Sequence[RuleBase],
    *,
    phase: Phase,
    method: str,
    backbone: str,
    task: str,
    changes: Mapping[str, Any] | None = None,
) -> TrainingSettings:
    """The hyper-parameters of one training: defaults, then every rule that matches, in order, then `changes`.

    Raises:
        ConfigError: if no rule sets the learning rate, or what the rules set does not go together.
    """
    given = {"phase": phase, "method": method, "backbone": backbone, "task": task}
    values: dict[str, Any] = {}
    for rule in rules:
        if rule.when.matches(given):
            values |= rule.changes()
    values |= changes or {}
    where = ", ".join(f"{key} {value!r}" for key, value in given.items())
    if values.get("learning_rate") is None:
        raise ConfigError(
            f"training: no rule sets learning_rate for {where}; add one, for example {{learning_rate: 1e-4}}"
        )
    try:
        return TrainingSettings(**values)
    except ValidationError as error:  # each value was checked where it was written; their combination is checked here
        problems = [str(entry["ctx"]["error"]) for entry in error.errors() if entry["type"] == "value_error"]
        assert problems, error
        raise ConfigError(f"training: {problem} (for {where})" for problem in problems) from None
