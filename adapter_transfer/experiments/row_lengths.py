"""How long the rows of examples are, before and after they are cut to a run's length. No torch.

Counted once, uncut, and then cut by arithmetic for each length that a run may have: the rules are those by which
formats encode (`tasks.encoding`, `tasks.windows`), and the lengths the same where every text was tokenized.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from adapter_transfer.backbones.token_counting import Lengths, TokenCounter
from adapter_transfer.tasks.formats import Cutting, Example, LabelLevel
from adapter_transfer.tasks.span_format import MAX_QUESTION_TOKENS
from adapter_transfer.tasks.windows import question_room


@dataclass(frozen=True)
class CutRows:
    """Rows of n examples, as training and evaluation read them.

    Attributes:
        lengths: (m,) tokens in each, special tokens included, example by example.
        num_rows: (n,) rows of each example.
    """

    lengths: Lengths
    num_rows: Lengths

    @property
    def longest_rows(self) -> Lengths:
        """(n,) tokens in the longest row of each example."""
        longest: Lengths = np.maximum.reduceat(self.lengths, np.cumsum(self.num_rows) - self.num_rows)
        return longest


class UncutRows(Protocol):
    """Token counts of examples, nothing cut off."""

    def __len__(self) -> int:
        """How many examples there are."""

    def cut(self, cutting: Cutting) -> CutRows:
        """The rows that they are encoded to."""


@dataclass(frozen=True)
class WholeRows:
    """As many rows for each example, of which the ends are cut off.

    Attributes:
        lengths: (n, R) special tokens included.
    """

    lengths: Lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def cut(self, cutting: Cutting) -> CutRows:
        n, rows_each = self.lengths.shape
        return CutRows(np.minimum(self.lengths, cutting.max_length).reshape(-1), np.full(n, rows_each))


@dataclass(frozen=True)
class ContextRows:
    """Questions with contexts, which are cut into windows that overlap (`windows.encode_windows`).

    Attributes:
        questions: (n,) tokens, special ones apart.
        contexts: (n,) tokens, special ones apart.
        num_special: of a row.
    """

    questions: Lengths
    contexts: Lengths
    num_special: int

    def __len__(self) -> int:
        return len(self.questions)

    def cut(self, cutting: Cutting) -> CutRows:
        most, stride = question_room(cutting, MAX_QUESTION_TOKENS)
        before = np.minimum(self.questions, most) + self.num_special
        room = cutting.max_length - before
        # Each further window begins `step` tokens later, and the last one is the first that reaches the end.
        step = np.maximum(1, room - stride)
        num_rows = 1 + np.maximum(0, -(-(self.contexts - room) // step))
        lengths = np.repeat(np.full_like(before, cutting.max_length), num_rows)
        lengths[np.cumsum(num_rows) - 1] = before + self.contexts - (num_rows - 1) * step
        return CutRows(lengths, num_rows)


@dataclass(frozen=True)
class WordRows:
    """Sentences of words, cut between words into windows that do not overlap (`windows.encode_words`).

    Attributes:
        words: n arrays, tokens of each word.
        num_special: of a row.
    """

    words: Sequence[Lengths]
    num_special: int

    def __len__(self) -> int:
        return len(self.words)

    def cut(self, cutting: Cutting) -> CutRows:
        rows = [self._windows(words, cutting.max_length - self.num_special) for words in self.words]
        lengths = np.concatenate([np.array(windows, dtype=np.int64) for windows in rows]) + self.num_special
        return CutRows(lengths, np.array([len(windows) for windows in rows]))

    def _windows(self, words: Lengths, room: int) -> list[int]:
        total = int(words.sum())
        if total <= room:
            return [total]
        windows = [0]
        for length in np.minimum(words, room).tolist():
            if windows[-1] + length > room:
                windows.append(0)
            windows[-1] += length
        return windows


def count_rows(examples: Sequence[Example], level: LabelLevel, counter: TokenCounter) -> UncutRows:
    """The rows of examples by what there is a label of, which says how they are cut."""
    return _COUNTED[level](examples, counter)


def _whole(examples: Sequence[Example], counter: TokenCounter) -> UncutRows:
    lengths = counter.row_lengths([row for example in examples for row in example.rows])
    return WholeRows(lengths.reshape(len(examples), -1))


def _contexts(examples: Sequence[Example], counter: TokenCounter) -> UncutRows:
    firsts = counter.text_lengths([example.rows[0][0] for example in examples])
    seconds = counter.text_lengths([example.rows[0][1] or "" for example in examples])
    return ContextRows(firsts, seconds, counter.num_special(is_pair=True))


def _words(examples: Sequence[Example], counter: TokenCounter) -> UncutRows:
    words = counter.word_lengths([example.rows[0][0].split(" ") for example in examples])
    return WordRows(words, counter.num_special(is_pair=False))


_COUNTED: Mapping[LabelLevel, Callable[[Sequence[Example], TokenCounter], UncutRows]] = {
    "example": _whole,
    "row": _contexts,
    "token": _words,
}
