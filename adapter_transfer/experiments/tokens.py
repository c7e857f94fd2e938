"""How many tokens runs will read, at planning: exact where the tokenizer is at hand and that is cheap. No torch."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from adapter_transfer.backbones.at_hand import tokenizer_file
from adapter_transfer.backbones.token_counting import FileCounter, Lengths, RuleCounter, TokenCounter
from adapter_transfer.durable import sha256_file
from adapter_transfer.experiments.data import SplitRef, examples_of
from adapter_transfer.experiments.row_lengths import CutRows, UncutRows, count_rows
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.formats import Cutting, Example, LabelLevel
from adapter_transfer.tasks.stored_examples import ExampleCache
from adapter_transfer.training.cutting import cut_by_tokens

Basis = Literal["tokenizer", "sample", "bytes"]
"""How tokens were counted: all of them, those of an even sample of the rows, or by the rule of `token_counting`."""

MOST_ROWS = 3_000
"""Rows of a split that are tokenized: more are sampled, because a plan should take seconds."""
MOST_EXAMPLES = 40_000
"""Examples of a split whose texts are looked at, for the longest one and for a vocabulary: more are sampled."""
_STRETCH = 1_000
"""Of a sample that is looked at: examples side by side, which are read together where a split lies on disk."""
_LONGEST_LOOKED_AT = 64


@dataclass(frozen=True)
class SplitTokens:
    """Tokens in the rows of a split, nothing cut off.

    Attributes:
        rows: of n of the examples.
        num_examples: N that there are.
        largest: where n is not all, the rows of those examples that have the most text of all that were looked at.
        basis: how `rows` were counted.
        is_seen_whole: whether all N were looked at for these.
    """

    rows: UncutRows
    num_examples: int
    basis: Basis
    largest: UncutRows | None = None
    is_seen_whole: bool = True

    def cut(self, cutting: Cutting) -> CutTokens:
        """The same as a run reads them."""
        rows = self.rows.cut(cutting)
        cuts = [rows] if self.largest is None else [rows, self.largest.cut(cutting)]
        longest = max(int(cut.lengths.max()) for cut in cuts)
        return CutTokens(
            rows,
            self.num_examples,
            # What nobody has looked at may be as long as anything may be.
            longest if self.is_seen_whole else cutting.max_length,
            np.sort(np.concatenate([cut.num_rows for cut in cuts]))[::-1],
            self.basis,
        )


@dataclass(frozen=True)
class CutTokens:
    """Tokens in the rows of a split, as a run reads them.

    Attributes:
        rows: of n of the examples.
        num_examples: N that there are.
        longest: tokens of the longest row of all N, or as many as there may be.
        most_rows: how many rows examples have, those that have most first.
        basis: how they were counted.
    """

    rows: CutRows
    num_examples: int
    longest: int
    most_rows: Lengths
    basis: Basis

    @property
    def num_rows(self) -> int:
        """Rows of all N examples, about."""
        return round(len(self.rows.lengths) * self.num_examples / len(self.rows.num_rows))


@dataclass(frozen=True)
class PaddedTokens:
    """Padded tokens of a pass over data.

    Attributes:
        num: of them.
        squares: Σ length · tokens in rows of that length: what attention takes.
    """

    num: float
    squares: float

    @property
    def mean_length(self) -> float:
        """Tokens in the row that the average token stands in."""
        return self.squares / self.num if self.num else 0.0

    def times(self, factor: float) -> PaddedTokens:
        return PaddedTokens(self.num * factor, self.squares * factor)

    def plus(self, other: PaddedTokens) -> PaddedTokens:
        return PaddedTokens(self.num + other.num, self.squares + other.squares)


NO_TOKENS = PaddedTokens(0, 0)


@dataclass
class TokenTables:
    """Counts the tokens of splits; each is counted once for all runs with one tokenizer.

    Args:
        data_dir: folder of published files, as everywhere.
        cache_dir: where tokenizers of ours are kept; None where there is no store.
        examples: where large splits are kept; None reads them into memory, where that has not been done yet.
    """

    data_dir: Path | None = None
    cache_dir: Path | None = None
    examples: ExampleCache | None = None
    _counters: dict[str, tuple[str, TokenCounter]] = field(default_factory=dict, repr=False)
    _splits: dict[tuple[str, str, int | None], SplitTokens] = field(default_factory=dict, repr=False)
    _kept: dict[tuple[str, tuple[str, ...]], int] = field(default_factory=dict, repr=False)

    def split(self, spec: RunSpec, ref: SplitRef, most: int | None = None) -> SplitTokens:
        """Tokens of a split as a run's backbone reads it.

        Args:
            most: only so many examples, the first ones.

        Raises:
            DataError: if the data or the tokenizer cannot be read.
        """
        name, counter = self._counter(spec)
        key = (name, ref.digest, most)
        if key not in self._splits:
            level = TASKS[ref.task].format.label_level
            self._splits[key] = _count(self._examples(ref), most, level, counter)
        return self._splits[key]

    def num_kept(self, spec: RunSpec, refs: Iterable[SplitRef]) -> int:
        """About how many rows of the embedding table the texts of splits need; at least, where one is sampled."""
        name, counter = self._counter(spec)
        distinct = {ref.digest: ref for ref in refs}
        key = (name, tuple(sorted(distinct)))
        if key not in self._kept:
            sets = map(self._examples, distinct.values())
            texts = (text for examples in sets for text in _texts(_looked_at(examples, len(examples))))
            self._kept[key] = counter.num_kept(texts)
        return self._kept[key]

    def _examples(self, ref: SplitRef) -> Sequence[Example]:
        return examples_of(ref, self.data_dir, self.examples).examples

    def _counter(self, spec: RunSpec) -> tuple[str, TokenCounter]:
        """A counter, and a name that is the same for equal tokenizers."""
        if spec.backbone_digest not in self._counters:
            path = tokenizer_file(spec.declaration, texts_digest=spec.texts_digest, cache_dir=self.cache_dir)
            if path is None:
                self._counters[spec.backbone_digest] = ("rule", RuleCounter())
            else:
                name = sha256_file(path)
                same = next((found for found in self._counters.values() if found[0] == name), None)
                self._counters[spec.backbone_digest] = same or (name, FileCounter(path))
        return self._counters[spec.backbone_digest]


def is_seen_whole(ref: SplitRef) -> bool:
    """Whether all texts of a split are looked at."""
    return ref.num_examples <= MOST_EXAMPLES


def _count(examples: Sequence[Example], most: int | None, level: LabelLevel, counter: TokenCounter) -> SplitTokens:
    num = len(examples) if most is None else min(most, len(examples))
    # The rule costs little, so that it takes all of what is looked at.
    is_small = not counter.is_exact and num <= MOST_EXAMPLES
    most_counted = num if is_small else max(1, MOST_ROWS // len(examples[0].rows))
    rows = count_rows(list(_spread(examples, num, most_counted)), level, counter)
    basis: Basis = "bytes" if not counter.is_exact else "tokenizer" if len(rows) == num else "sample"
    if len(rows) == num:
        return SplitTokens(rows, num, basis)
    # The longest row decides on memory, and so small a sample would miss it.
    largest = heapq.nlargest(_LONGEST_LOOKED_AT, _looked_at(examples, num), key=_num_bytes)
    return SplitTokens(rows, num, basis, count_rows(largest, level, counter), num <= MOST_EXAMPLES)


def _spread(examples: Sequence[Example], num: int, most: int) -> Iterator[Example]:
    """All of the first `num` examples, or every so manieth of them."""
    step = -(-num // most)
    return iter(examples[:num]) if step == 1 else (examples[index] for index in range(0, num, step))


def _looked_at(examples: Sequence[Example], num: int) -> Iterator[Example]:
    """All of the first `num` examples, or stretches that lie evenly in them."""
    if num <= MOST_EXAMPLES:
        yield from examples[:num]
        return
    num_stretches = MOST_EXAMPLES // _STRETCH
    for start in (index * num // num_stretches for index in range(num_stretches)):
        yield from examples[start : start + _STRETCH]


def _num_bytes(example: Example) -> int:
    """Of the longest row's text."""
    return max(len(first.encode()) + len((second or "").encode()) for first, second in example.rows)


def _texts(examples: Iterable[Example]) -> Iterator[str]:
    for example in examples:
        for first, second in example.rows:
            yield first
            if second is not None:
                yield second


def training_tokens(split: CutTokens, *, batch_size: int, token_budget: int) -> PaddedTokens:
    """Padded tokens of one epoch, in micro-batches as `batching.micro_batches` cuts them."""
    # Which examples meet in a step is drawn anew for each seed and epoch; one draw stands for all.
    order = np.random.default_rng(0).permutation(len(split.rows.num_rows))
    longest, num_rows = split.rows.longest_rows[order], split.rows.num_rows[order]
    total = NO_TOKENS
    for start in range(0, len(order), batch_size):
        step, rows = longest[start : start + batch_size], num_rows[start : start + batch_size]
        cuts = cut_by_tokens(step, rows, token_budget)
        total = total.plus(_padded([(int(rows[cut].sum()), int(step[cut].max())) for cut in cuts]))
    return total.times(split.num_examples / len(order))


def evaluation_tokens(splits: Sequence[CutTokens], *, token_budget: int) -> PaddedTokens:
    """Padded tokens of one pass over splits together, every row by itself, as `evaluate.predict` cuts them."""
    whole = [split for split in splits if len(split.rows.num_rows) == split.num_examples]
    sampled = [split for split in splits if len(split.rows.num_rows) < split.num_examples]
    total = NO_TOKENS
    for pool in filter(None, [whole, *([split] for split in sampled)]):
        rows = np.concatenate([split.rows.lengths for split in pool])
        part = _padded([(len(cut), int(rows[cut].max())) for cut in cut_by_tokens(rows, 1, token_budget)])
        total = total.plus(part.times(pool[0].num_examples / len(pool[0].rows.num_rows)))
    return total


def _padded(micro_batches: Iterable[tuple[int, int]]) -> PaddedTokens:
    """Of micro-batches: rows of each, and tokens in its longest."""
    sizes = list(micro_batches)
    return PaddedTokens(sum(rows * longest for rows, longest in sizes), sum(n * longest**2 for n, longest in sizes))
