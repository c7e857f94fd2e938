"""Formats: how an example becomes rows of tokens, and how the model's numbers for them become a prediction.

Every format here is *row-wise*: an example is R rows (text pairs) that are encoded and scored independently, and each
row yields K logits; its (R, K) numbers are the example's logits. A multiple-choice example has one row a choice and
one logit a row, so its head does not know how many choices there are and carries over from 4 choices to 2; a
classification example has one row and a logit a class.

A task reads a published row into an `Example`; what is declared here is all that training, scoring and heads need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

HeadType = Literal["multiple_choice", "classification"]


@dataclass(frozen=True, slots=True)
class Example:
    """One item as the model sees it, before tokenization.

    Attributes:
        id: the item's own id; items that are translations of each other share it.
        rows: the text pairs (first, second) that are scored; `None` where there is no second segment.
        label: the index of the right choice or class.
    """

    id: str
    rows: tuple[tuple[str, str | None], ...]
    label: int


class Format(Protocol):
    """What training and evaluation need to know of a format."""

    @property
    def name(self) -> str: ...
    @property
    def head_type(self) -> HeadType: ...
    @property
    def rows_per_example(self) -> int:
        """R: rows that one example is encoded to."""

    @property
    def logits_per_row(self) -> int:
        """K: logits that the head gives for one row."""

    @property
    def num_answers(self) -> int:
        """Possible answers of one example: R·K."""

    @property
    def chance(self) -> float:
        """Accuracy of guessing, 0 to 1."""

    def head_settings(self) -> dict[str, Any]:
        """The arguments of the head as the adapters library names them."""


@dataclass(frozen=True)
class MultipleChoice:
    """One of `num_choices` texts continues the first segment best; rows are (first, choice) pairs."""

    num_choices: int
    name: str = "multiple_choice"
    head_type: HeadType = "multiple_choice"

    @property
    def rows_per_example(self) -> int:
        return self.num_choices

    @property
    def logits_per_row(self) -> int:
        return 1

    @property
    def num_answers(self) -> int:
        return self.num_choices

    @property
    def chance(self) -> float:
        return 1.0 / self.num_choices

    def head_settings(self) -> dict[str, Any]:
        return {"num_choices": self.num_choices}


@dataclass(frozen=True)
class Classification:
    """A text or a pair of texts belongs to one of `labels`."""

    labels: tuple[str, ...]
    name: str = "classification"
    head_type: HeadType = "classification"

    @property
    def rows_per_example(self) -> int:
        return 1

    @property
    def logits_per_row(self) -> int:
        return len(self.labels)

    @property
    def num_answers(self) -> int:
        return len(self.labels)

    @property
    def chance(self) -> float:
        return 1.0 / len(self.labels)

    def head_settings(self) -> dict[str, Any]:
        return {"num_labels": len(self.labels), "id2label": dict(enumerate(self.labels))}
