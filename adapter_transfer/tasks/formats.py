"""Formats: how an example becomes rows of tokens, and how the model's numbers for them become answers and scores.

What there is to a format is declared in one object (`choice_formats`, `span_format`, `tagging_format`): what its head
reads and gives, how text is encoded, what counts as right. A task reads a published row into an `Example`; from there
on nobody needs to know which task it is.

An example is encoded to rows: one a choice, one for a text or pair, or as many windows as a long text needs. A head
reads the first token of a row (choices, classes) or every token (spans, tags).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from adapter_transfer.tasks.metrics import Score

if TYPE_CHECKING:
    import pyarrow as pa

HeadType = Literal["multiple_choice", "classification", "span", "tagging"]
LabelLevel = Literal["example", "row", "token"]
"""Of what there is one label: a whole example, each of its rows, or each token."""

Answer: TypeAlias = tuple[str, int]
"""A text and the position of its first character in its context."""
Label: TypeAlias = int | tuple[Answer, ...] | tuple[str, ...]
"""The index of the right choice or class; right answers (none: there is no answer); or a tag a word."""

NO_LABEL = -100
"""Of a token that is no word's first; what torch's cross-entropy ignores."""
UNKNOWN_TAG = -1
"""Of a word whose tag does not occur in training: never right, and nothing to learn from."""


@dataclass(frozen=True, slots=True)
class Example:
    """One item as the model sees it, before tokenization.

    Attributes:
        id: the item's own id; items that are translations of each other share it.
        rows: the text pairs (first, second) that are scored; `None` where there is no second segment. A choice has one
            pair a choice; a span has one, question and context; words that are tagged stand in one text, a blank
            between them.
        label: what is right, as the format has it.
    """

    id: str
    rows: tuple[tuple[str, str | None], ...]
    label: Label


class Tokenizer(Protocol):
    """The part of a fast Hugging Face tokenizer that is used here."""

    model_input_names: list[str]

    def __call__(self, text: Any, text_pair: Any = None, **settings: Any) -> Any: ...


DOC_STRIDE = 128
"""Tokens that two windows of a context share, as in BERT's script for SQuAD."""


@dataclass(frozen=True)
class Cutting:
    """How long rows may be, and how longer text is cut.

    Attributes:
        max_length: tokens in a row, special tokens included.
        doc_stride: tokens that two windows of one context share, at most half of what a window has room for.
    """

    max_length: int
    doc_stride: int = DOC_STRIDE


@dataclass(frozen=True)
class EncodedExamples:
    """N examples as token ids, their rows end to end.

    Attributes:
        tokens: (T,) int32, T the sum of row lengths, special tokens included.
        offsets: (M + 1,) int64; row m of M is `tokens[offsets[m]:offsets[m + 1]]`.
        first_rows: (N + 1,) int64; example n owns rows `first_rows[n]` to `first_rows[n + 1] - 1`.
        labels: int64; (N,) the right choice or class; (M, 2) first and last token of the answer in a window (0, the
            first token, where it is not in it); or (T,) the tag of a word's first token (`NO_LABEL`, `UNKNOWN_TAG`).
        ids: N item ids.
        languages: N language codes.
        format: how rows are scored.
        num_truncated: rows that lost text (questions, for spans: contexts are cut into windows and lose nothing).
        token_types: (T,) uint8, which of a row's two segments each token is of; None for a tokenizer that does not tell
            (XLM-R's, RoBERTa's).
        places: (T, 2) int32, where in its context a token of it begins and ends, in characters; or (T, 1), of which
            word a first token is; -1 elsewhere. None where a head reads the first token only.
        references: what answers are compared with where `labels` is not it: of each example, context and right answers,
            or tags.
    """

    tokens: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    first_rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    ids: Sequence[str]
    languages: Sequence[str]
    format: Format
    num_truncated: int = 0
    token_types: npt.NDArray[np.uint8] | None = None
    places: npt.NDArray[np.int32] | None = None
    references: Sequence[Any] = ()

    def __len__(self) -> int:
        return len(self.first_rows) - 1

    @cached_property
    def row_lengths(self) -> npt.NDArray[np.int64]:
        """(M,) tokens in each row."""
        return np.diff(self.offsets)

    @cached_property
    def num_rows(self) -> npt.NDArray[np.int64]:
        """(N,) rows of each example."""
        return np.diff(self.first_rows)

    @cached_property
    def longest_rows(self) -> npt.NDArray[np.int64]:
        """(N,) tokens in the longest row of each example."""
        return np.maximum.reduceat(self.row_lengths, self.first_rows[:-1])

    def rows_of(self, examples: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The rows of some examples, in their order."""
        counts = self.num_rows[examples]
        starts = np.repeat(self.first_rows[examples] - (np.cumsum(counts) - counts), counts)
        return starts + np.arange(int(counts.sum()))

    def row(self, index: int) -> npt.NDArray[np.int32]:
        """The token ids of one row."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def row_types(self, index: int) -> npt.NDArray[np.uint8]:
        """The token types of one row; only where there are some."""
        assert self.token_types is not None
        return self.token_types[self.offsets[index] : self.offsets[index + 1]]


Logits: TypeAlias = npt.NDArray[np.float32]
"""What a head gives, in the order of rows: (M, K), or (T, K) where it reads every token."""


class Format(Protocol):
    """What everybody else needs to know of a format."""

    @property
    def name(self) -> str: ...
    @property
    def head_type(self) -> HeadType: ...
    @property
    def metric(self) -> str:
        """Name of the figure that checkpoints are selected by; one of those that `score` gives, 0 to 1."""

    @property
    def chance(self) -> float | None:
        """The metric's value for guessing, 0 to 1; None where that depends on the items."""

    @property
    def label_level(self) -> LabelLevel: ...
    @property
    def rows_per_example(self) -> int | None:
        """R: rows that every example is encoded to; None where a long text needs several windows."""

    @property
    def reads_tokens(self) -> bool:
        """Whether the head reads every token of a row, not the first one only."""

    @property
    def logits_per_row(self) -> int:
        """K: logits that the head gives for a row, or for a token of it."""

    def describe(self) -> str:
        """The format with its size, for people: `4 choices`."""

    def head_settings(self) -> dict[str, Any]:
        """The arguments of the head as the adapters library names them."""

    def problems(self, example: Example) -> list[str]:
        """What is wrong with an example that was read, to be told with its row."""

    def count_labels(self, examples: Sequence[Example]) -> Mapping[str, int]:
        """How often each label occurs, for people."""

    def labels_in(self, examples: Sequence[Example]) -> tuple[str, ...]:
        """Labels that only the training data can tell, sorted; empty where they are declared."""

    def with_labels(self, labels: tuple[str, ...]) -> Self:
        """The same format for the labels of a training set; itself, where they are declared."""

    def shuffle_labels(self, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[Example]:
        """The same texts with labels that say nothing of them, as often as they were."""

    def encode(
        self, examples: Sequence[Example], language: str, tokenizer: Tokenizer, cutting: Cutting
    ) -> EncodedExamples:
        """Token ids of every row, with labels."""

    def score(self, encoded: EncodedExamples, logits: Logits) -> Score:
        """How well the examples are answered."""

    def answers(self, encoded: EncodedExamples, logits: Logits) -> dict[str, pa.Array]:
        """Columns of N entries: what is right, what was answered, and what that was decided by."""
