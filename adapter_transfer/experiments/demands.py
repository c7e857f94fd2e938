"""What a run asks of a machine: its largest micro-batch, its tokens, its table; the workload that costs follow from.

No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any, Literal

from adapter_transfer.backbones.encoder_tape import HeadShape
from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.experiments.data import SplitRef
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.tokens import (
    NO_TOKENS,
    Basis,
    CutTokens,
    PaddedTokens,
    TokenTables,
    evaluation_tokens,
    is_seen_whole,
    training_tokens,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.composition import COMPOSITIONS
from adapter_transfer.tasks.formats import Cutting, Format
from adapter_transfer.training.memory import Workload, largest_micro_batch
from adapter_transfer.training.mixing import mixture_size, sampling_shares
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

_BYTES_OF_FP32 = 4
_BYTES_OF_ID = 16
_BYTES_OF_SPANS = 72
"""Right answers, the one that was given, the best span and its score (88 with the id, of SQuAD 2.0's questions)."""


@dataclass(frozen=True)
class TaskDemand:
    """What one task of a run asks for; there are several in a mixture.

    Attributes:
        head: that answers it.
        rows_each: rows that stay together, where all examples have as many; else 1.
        largest_example: rows of the largest example that stay together.
        step_rows: rows of a step that has the largest examples; of an evaluation, rows in all languages.
        longest: tokens of its longest row, after cutting.
        trained: padded tokens of the whole training; none in an evaluation.
        evaluated: padded tokens of all passes without gradients (validations, or the evaluation itself).
        prediction_bytes: of the answers that are written, roughly.
        basis: how tokens were counted.
    """

    head: HeadShape
    rows_each: int
    largest_example: int
    step_rows: int
    longest: int
    trained: PaddedTokens
    evaluated: PaddedTokens
    prediction_bytes: int
    basis: Basis


@dataclass(frozen=True)
class Demand:
    """What one run asks of a machine.

    Attributes:
        tasks: what each of its tasks asks for; none where a pulled adapter is taken over.
        num_kept: rows of the embedding table that the experiment's text needs, at most all.
        is_seen_whole: whether every text was looked at; else the longest row is taken to be as long as rows may be, and
            `num_kept` is at least so many.
        token_budget: that the machine is told; None leaves it to the run.
    """

    spec: RunSpec
    tasks: tuple[TaskDemand, ...]
    num_kept: int
    is_seen_whole: bool = True
    token_budget: int | None = None

    @property
    def is_training(self) -> bool:
        return self.spec.is_training

    @property
    def longest(self) -> int:
        """Tokens of its longest row, after cutting."""
        return max((task.longest for task in self.tasks), default=0)

    @property
    def trained(self) -> PaddedTokens:
        """Padded tokens of the whole training."""
        return reduce(PaddedTokens.plus, (task.trained for task in self.tasks), NO_TOKENS)

    @property
    def evaluated(self) -> PaddedTokens:
        """Padded tokens of all passes without gradients."""
        return reduce(PaddedTokens.plus, (task.evaluated for task in self.tasks), NO_TOKENS)

    @property
    def basis(self) -> Basis:
        """How tokens were counted, where that was done worst."""
        return _worst(task.basis for task in self.tasks)

    def budget(self, change: Change = NO_CHANGE) -> int:
        """Padded tokens in a micro-batch."""
        changed: int | None = change.training.get("token_budget")
        return changed or MachineSettings(token_budget=self.token_budget).micro_batch_tokens(self.spec.training)

    def workloads(self, change: Change = NO_CHANGE, device: Literal["cuda", "cpu"] = "cuda") -> tuple[Workload, ...]:
        """The run as far as memory and arithmetic depend on it, for each of its tasks: one works at a time."""
        spec = self.spec
        training = _changed(spec.training, change)
        is_full = METHODS[spec.method].kind == "full"
        fields = spec.declaration.known_fields()
        if spec.vocabulary or change.trims:
            # A table that trains has one row more, which shows what weight decay has done to the others (`trimming`).
            kept = self.num_kept + (1 if is_full and self.is_training else 0)
            fields = {**fields, "vocab_size": min(kept, fields["vocab_size"])}
        composition = COMPOSITIONS[spec.composition]
        is_composed = composition.keeps_lower and spec.phase != "intermediate"
        num_trained = 2 if is_composed and composition.trains_lower else 1
        heads = [task.head for task in self.tasks]
        common = partial(
            Workload,
            fields=fields,
            precision=change.precision or spec.precision,
            method=spec.method,
            method_settings=spec.method_settings,
            training=training,
            num_adapters=2 if is_composed else 1,
            num_trained_adapters=num_trained if self.is_training else 0,
            device=device,
            is_training=self.is_training,
        )
        found = []
        for index, task in enumerate(self.tasks):
            rows, length = self._micro_batch(task, training, change)
            found.append(
                common(
                    rows=rows,
                    length=length,
                    accumulates=self.is_training and rows < task.step_rows,
                    head=task.head,
                    other_heads=(*heads[:index], *heads[index + 1 :]),
                )
            )
        return tuple(found)

    def _micro_batch(self, task: TaskDemand, training: TrainingSettings, change: Change) -> tuple[int, int]:
        # Updated inside the backward pass, a step is one micro-batch, whatever the budget; an evaluation has no steps.
        is_whole = self.is_training and training.updates_in_backward
        return largest_micro_batch(
            length=task.longest,
            rows_each=task.rows_each,
            batch_size=task.step_rows // task.rows_each,
            token_budget=None if is_whole else self.budget(change),
            largest_example=task.largest_example,
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
    if spec.is_adoption:
        return Demand(spec, (), 0, token_budget=token_budget)
    vocabulary = tuple(spec.vocabulary or read or spec.data)
    kept = tables.num_kept(spec, vocabulary)
    rows = int(spec.declaration.known_fields()["vocab_size"])
    machine = MachineSettings(token_budget=token_budget)
    cut = _cut(spec, tables)
    budget = machine.micro_batch_tokens(spec.training)
    tasks = _of_evaluation(spec, cut, budget) if spec.phase == "evaluation" else _of_training(spec, cut, budget)
    is_whole = all(is_seen_whole(ref) for ref in (*vocabulary, *spec.data))
    return Demand(spec, tasks, min(kept, rows), is_whole, token_budget)


def _cut(spec: RunSpec, tables: TokenTables) -> list[CutTokens]:
    """Each split that the run reads, as it reads it."""
    settings = spec.training
    most = {"train": settings.max_train_examples}
    cutting = Cutting(settings.max_length, settings.doc_stride)
    return [tables.split(spec, ref, most.get(ref.split)).cut(cutting) for ref in spec.data]


def _of_evaluation(spec: RunSpec, splits: Sequence[CutTokens], budget: int) -> tuple[TaskDemand, ...]:
    head = _head(spec.formats[0])
    return (
        TaskDemand(
            head=head,
            rows_each=1,
            largest_example=1,
            step_rows=sum(split.num_rows for split in splits),
            longest=max(split.longest for split in splits),
            trained=NO_TOKENS,
            evaluated=evaluation_tokens(splits, token_budget=budget),
            prediction_bytes=sum(_prediction_bytes(head, split) for split in splits),
            basis=_worst(split.basis for split in splits),
        ),
    )


def _of_training(spec: RunSpec, splits: Sequence[CutTokens], budget: int) -> tuple[TaskDemand, ...]:
    settings, trains = spec.training, splits[::2]
    sizes = [train.num_examples for train in trains]
    num_examples = mixture_size(sizes, settings)
    num_steps = settings.num_steps(num_examples)
    num_validations = len(settings.validation_steps(num_examples)) + 1  # one is of the weights that are kept
    shares = sampling_shares(sizes, settings).tolist()
    found = []
    for format, share, train, validation in zip(spec.formats, shares, trains, splits[1::2], strict=True):
        head = _head(format)
        epoch = training_tokens(train, batch_size=settings.batch_size, token_budget=budget)
        num_epochs = share * num_steps / settings.steps_per_epoch(train.num_examples)
        once = evaluation_tokens([validation], token_budget=budget)
        found.append(
            TaskDemand(
                head=head,
                rows_each=format.rows_per_example or 1,
                largest_example=int(train.most_rows[0]),
                step_rows=int(train.most_rows[: min(settings.batch_size, train.num_examples)].sum()),
                longest=max(train.longest, validation.longest),
                trained=epoch.times(num_epochs),
                evaluated=once.times(num_validations),
                prediction_bytes=_prediction_bytes(head, validation),
                basis=_worst([train.basis, validation.basis]),
            )
        )
    return tuple(found)


def _head(format: Format) -> HeadShape:
    return HeadShape(format.logits_per_row, format.label_level)


def _prediction_bytes(head: HeadShape, split: CutTokens) -> int:
    """Of an example's id; and of a row's logits, of what is answered to a question, or of two tags a token."""
    share = split.num_examples / len(split.rows.num_rows)
    sizes = {
        "example": _BYTES_OF_FP32 * head.num_logits * split.num_rows,
        "row": _BYTES_OF_SPANS * split.num_examples,
        # As numbers of their tags, which is how parquet keeps texts that repeat; words are no more than tokens.
        "token": 2 * max(1, head.num_logits - 1).bit_length() / 8 * share * float(split.rows.lengths.sum()),
    }
    return _BYTES_OF_ID * split.num_examples + round(sizes[head.label_level])


def _changed(training: TrainingSettings, change: Change) -> TrainingSettings:
    return training.model_copy(update=dict(change.training)) if change.training else training


def _worst(bases: Iterable[Basis]) -> Basis:
    order: tuple[Basis, ...] = ("tokenizer", "sample", "bytes")
    return max(bases, key=order.index, default=order[0])
