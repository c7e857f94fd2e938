"""What a run asks of a machine: its largest micro-batch, its tokens, its table; the workload that costs follow from.

No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.experiments.data import SplitRef
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.tokens import Basis, PaddedTokens, SplitTokens, TokenTables
from adapter_transfer.experiments.tokens import evaluation_tokens as tokens_of_evaluation
from adapter_transfer.experiments.tokens import training_tokens as tokens_of_training
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.composition import COMPOSITIONS
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.training.memory import Workload, largest_micro_batch
from adapter_transfer.training.settings import TrainingSettings


@dataclass(frozen=True)
class Change:
    """What a run could be given in place of what it has.

    Attributes:
        training: hyper-parameters, by name.
        precision: another one; None leaves it.
        trims: trim the embedding table.
    """

    training: Mapping[str, Any] = field(default_factory=dict)
    precision: Precision | None = None
    trims: bool = False


NO_CHANGE = Change()


@dataclass(frozen=True)
class Demand:
    """What one run asks of a machine.

    Attributes:
        longest: tokens of its longest row, after cutting.
        num_examples: examples that are trained on; of an evaluation, rows in all languages.
        trained: padded tokens of the whole training; none in an evaluation.
        evaluated: padded tokens of all passes without gradients (validations, or the evaluation itself).
        num_kept: rows of the embedding table that the experiment's text needs, at most all.
        basis: how tokens were counted.
        token_budget: that the machine is told; None leaves it to the run.
    """

    spec: RunSpec
    longest: int
    num_examples: int
    trained: PaddedTokens
    evaluated: PaddedTokens
    num_kept: int
    basis: Basis
    token_budget: int | None = None

    @property
    def is_training(self) -> bool:
        return self.spec.phase != "evaluation"

    def budget(self, change: Change = NO_CHANGE) -> int:
        """Padded tokens in a micro-batch."""
        changed: int | None = change.training.get("token_budget")
        return changed or MachineSettings(token_budget=self.token_budget).micro_batch_tokens(self.spec.training)

    def workload(self, change: Change = NO_CHANGE, device: Literal["cuda", "cpu"] = "cuda") -> Workload:
        """The run as far as memory and arithmetic depend on it."""
        spec = self.spec
        training = _changed(spec.training, change)
        is_full = METHODS[spec.method].kind == "full"
        task = TASKS[spec.task].format
        rows_each = task.rows_per_example if self.is_training else 1
        batch_size = min(training.batch_size, self.num_examples) if self.is_training else self.num_examples
        # Updated inside the backward pass, a step is one micro-batch, whatever the budget; an evaluation has no steps.
        is_whole = self.is_training and training.updates_in_backward
        rows, length = largest_micro_batch(
            length=self.longest,
            rows_each=rows_each,
            batch_size=batch_size,
            token_budget=None if is_whole else self.budget(change),
        )
        fields = spec.declaration.known_fields()
        if spec.vocabulary or change.trims:
            # A table that trains has one row more, which shows what weight decay has done to the others (`trimming`).
            kept = self.num_kept + (1 if is_full and self.is_training else 0)
            fields = {**fields, "vocab_size": min(kept, fields["vocab_size"])}
        composition = COMPOSITIONS[spec.composition]
        is_composed = composition.keeps_lower and spec.phase != "intermediate"
        num_trained = 2 if is_composed and composition.trains_lower else 1
        return Workload(
            fields=fields,
            precision=change.precision or spec.precision,
            method=spec.method,
            method_settings=spec.method_settings,
            training=training,
            rows=rows,
            length=length,
            num_adapters=2 if is_composed else 1,
            num_trained_adapters=num_trained if self.is_training else 0,
            accumulates=self.is_training and rows < batch_size * rows_each,
            device=device,
            is_training=self.is_training,
            num_logits=task.logits_per_row,
        )


def demand(
    spec: RunSpec, tables: TokenTables, *, read: Iterable[SplitRef] = (), token_budget: int | None = None
) -> Demand:
    """What a run asks of a machine.

    Args:
        read: everything that its experiment reads, for a table that is not trimmed now and could be.
        token_budget: that the machine is told.

    Raises:
        DataError: if data, tokenizer or configuration cannot be read.
    """
    kept = tables.num_kept(spec, spec.vocabulary or read or spec.data)
    rows = int(spec.declaration.known_fields()["vocab_size"])
    of = _of_evaluation if spec.phase == "evaluation" else _of_training
    return of(spec, tables, min(kept, rows), MachineSettings(token_budget=token_budget))


def _of_evaluation(spec: RunSpec, tables: TokenTables, num_kept: int, machine: MachineSettings) -> Demand:
    splits = [tables.split(spec, ref) for ref in spec.data]
    longest = min(max(split.longest for split in splits), spec.training.max_length)
    num_rows = sum(split.num_examples * split.lengths.shape[1] for split in splits)
    tokens = tokens_of_evaluation(
        splits, max_length=spec.training.max_length, token_budget=machine.micro_batch_tokens(spec.training)
    )
    basis = _worst(splits)
    return Demand(spec, longest, num_rows, PaddedTokens(0, 0), tokens, num_kept, basis, machine.token_budget)


def _of_training(spec: RunSpec, tables: TokenTables, num_kept: int, machine: MachineSettings) -> Demand:
    settings = spec.training
    train, validation = (
        tables.split(spec, ref, most) for ref, most in zip(spec.data, (settings.max_train_examples, None), strict=True)
    )
    longest = min(max(train.longest, validation.longest), settings.max_length)
    tokens = machine.micro_batch_tokens(settings)
    epoch = tokens_of_training(
        train, max_length=settings.max_length, batch_size=settings.batch_size, token_budget=tokens
    )
    num_epochs = settings.num_steps(train.num_examples) / settings.steps_per_epoch(train.num_examples)
    once = tokens_of_evaluation([validation], max_length=settings.max_length, token_budget=tokens)
    num_validations = len(settings.validation_steps(train.num_examples)) + 1  # one is of the weights that are kept
    return Demand(
        spec=spec,
        longest=longest,
        num_examples=train.num_examples,
        trained=epoch.times(num_epochs),
        evaluated=once.times(num_validations),
        num_kept=num_kept,
        basis=_worst([train, validation]),
        token_budget=machine.token_budget,
    )


def _changed(training: TrainingSettings, change: Change) -> TrainingSettings:
    return training.model_copy(update=dict(change.training)) if change.training else training


def _worst(splits: Iterable[SplitTokens]) -> Basis:
    order: tuple[Basis, ...] = ("tokenizer", "sample", "bytes")
    return max((split.basis for split in splits), key=order.index)
