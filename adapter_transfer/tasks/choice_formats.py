"""Formats with one right answer of several: a choice of texts, or a class of a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

from adapter_transfer.tasks.class_metrics import f1_of, macro_f1
from adapter_transfer.tasks.encoding import encode_pairs
from adapter_transfer.tasks.formats import Cutting, EncodedExamples, Example, HeadType, LabelLevel, Logits, Tokenizer
from adapter_transfer.tasks.metrics import Score, score_choices

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class MultipleChoice:
    """One of `num_choices` texts continues the first segment best; rows are (first, choice) pairs.

    There is one logit a row, so the head does not know how many choices there are and carries over from 4 to 2.
    """

    num_choices: int
    name: str = "multiple_choice"
    head_type: HeadType = "multiple_choice"
    metric: str = "accuracy"
    label_level: LabelLevel = "example"
    reads_tokens: bool = False
    logits_per_row: int = 1

    @property
    def rows_per_example(self) -> int:
        return self.num_choices

    @property
    def chance(self) -> float:
        return 1.0 / self.num_choices

    def describe(self) -> str:
        return f"{self.num_choices} choices"

    def head_settings(self) -> dict[str, Any]:
        return {"num_choices": self.num_choices}

    def problems(self, example: Example) -> list[str]:
        found = _index_problems(example, self.num_choices)
        if len(example.rows) != self.num_choices:
            found.append(f"{len(example.rows)} answers; expected {self.num_choices}")
        return found

    def count_labels(self, examples: Sequence[Example]) -> Mapping[str, int]:
        return _count(examples, [str(index) for index in range(self.num_choices)])

    def labels_in(self, examples: Sequence[Example]) -> tuple[str, ...]:
        return ()

    def with_labels(self, labels: tuple[str, ...]) -> Self:
        return self

    def shuffle_labels(self, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[Example]:
        return _permuted(examples, generator)

    def encode(
        self, examples: Sequence[Example], language: str, tokenizer: Tokenizer, cutting: Cutting
    ) -> EncodedExamples:
        return encode_pairs(self, examples, language, tokenizer, cutting.max_length)

    def score(self, encoded: EncodedExamples, logits: Logits) -> Score:
        return score_choices(_by_example(encoded, logits), encoded.labels)

    def answers(self, encoded: EncodedExamples, logits: Logits) -> dict[str, pa.Array]:
        return _answers(encoded, logits)


@dataclass(frozen=True)
class Classification:
    """A text or a pair of texts belongs to one of `labels`.

    Attributes:
        positive: the label that precision and recall are of; with it, F1 is the metric.
    """

    labels: tuple[str, ...]
    positive: str | None = None
    name: str = "classification"
    head_type: HeadType = "classification"
    label_level: LabelLevel = "example"
    reads_tokens: bool = False
    rows_per_example: int = 1

    @property
    def metric(self) -> Literal["accuracy", "f1"]:
        return "accuracy" if self.positive is None else "f1"

    @property
    def logits_per_row(self) -> int:
        return len(self.labels)

    @property
    def chance(self) -> float | None:
        return 1.0 / len(self.labels) if self.positive is None else None

    def describe(self) -> str:
        return f"{len(self.labels)} classes"

    def head_settings(self) -> dict[str, Any]:
        return {"num_labels": len(self.labels), "id2label": dict(enumerate(self.labels))}

    def problems(self, example: Example) -> list[str]:
        found = _index_problems(example, len(self.labels))
        if len(example.rows) != 1:
            found.append(f"{len(example.rows)} texts or pairs; expected 1")
        return found

    def count_labels(self, examples: Sequence[Example]) -> Mapping[str, int]:
        return _count(examples, self.labels)

    def labels_in(self, examples: Sequence[Example]) -> tuple[str, ...]:
        return ()

    def with_labels(self, labels: tuple[str, ...]) -> Self:
        return self

    def shuffle_labels(self, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[Example]:
        return _permuted(examples, generator)

    def encode(
        self, examples: Sequence[Example], language: str, tokenizer: Tokenizer, cutting: Cutting
    ) -> EncodedExamples:
        return encode_pairs(self, examples, language, tokenizer, cutting.max_length)

    def score(self, encoded: EncodedExamples, logits: Logits) -> Score:
        by_example = _by_example(encoded, logits)
        score, predictions = score_choices(by_example, encoded.labels), by_example.argmax(axis=1)
        values = {**score.values, "macro_f1": macro_f1(encoded.labels, predictions, len(self.labels))}
        if self.positive is not None:
            values["f1"] = f1_of(encoded.labels, predictions, self.labels.index(self.positive))
        return replace(score, metric=self.metric, values=values)

    def answers(self, encoded: EncodedExamples, logits: Logits) -> dict[str, pa.Array]:
        return _answers(encoded, logits)


def _by_example(encoded: EncodedExamples, logits: Logits) -> Logits:
    """(N, R·K): the numbers of an example's rows beside each other."""
    return logits.reshape(len(encoded), -1)


def _index_problems(example: Example, num_answers: int) -> list[str]:
    if isinstance(example.label, int) and 0 <= example.label < num_answers:
        return []
    return [f"label {example.label}; allowed are 0 to {num_answers - 1}"]


def _count(examples: Sequence[Example], names: Sequence[str]) -> Mapping[str, int]:
    counts = Counter(example.label for example in examples)
    return {name: counts[index] for index, name in enumerate(names)}


def _permuted(examples: Sequence[Example], generator: np.random.Generator) -> Iterator[Example]:
    labels = [example.label for example in examples]  # examples may lie on disk, where one at a time is slow
    for example, other in zip(examples, generator.permutation(len(labels)).tolist(), strict=True):
        yield replace(example, label=labels[other])


def _answers(encoded: EncodedExamples, logits: Logits) -> dict[str, pa.Array]:
    import pyarrow as pa

    by_example = _by_example(encoded, logits)
    predictions: npt.NDArray[np.int64] = by_example.argmax(axis=1).astype(np.int64)
    return {
        "label": pa.array(encoded.labels, type=pa.int64()),
        "prediction": pa.array(predictions, type=pa.int64()),
        "logits": pa.array(list(by_example), type=pa.list_(pa.float32())),
    }
