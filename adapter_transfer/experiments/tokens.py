"""How many tokens runs will read, at planning: exact where the tokenizer is at hand and that is cheap. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from adapter_transfer.backbones.at_hand import tokenizer_file
from adapter_transfer.backbones.token_counting import FileCounter, Lengths, RuleCounter, TokenCounter
from adapter_transfer.durable import sha256_file
from adapter_transfer.experiments.data import SplitRef, examples_of
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.tasks.formats import Example
from adapter_transfer.training.cutting import cut_by_tokens

Basis = Literal["tokenizer", "sample", "bytes"]
"""How tokens were counted: all of them, those of an even sample of the rows, or by the rule of `token_counting`."""

MOST_ROWS = 3_000
"""Rows of a split that are tokenized: more are sampled, because a plan should take seconds."""
_LONGEST_LOOKED_AT = 64


@dataclass(frozen=True)
class SplitTokens:
    """Tokens in the rows of a split, special tokens included, nothing cut off.

    Attributes:
        lengths: (n, R) of n of the examples.
        num_examples: N that there are.
        longest: the longest row of all N.
    """

    lengths: Lengths
    num_examples: int
    longest: int
    basis: Basis


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


@dataclass
class TokenTables:
    """Counts the tokens of splits; each is counted once for all runs with one tokenizer.

    Args:
        data_dir: folder of published files, as everywhere.
        cache_dir: where tokenizers of ours are kept; None where there is no store.
    """

    data_dir: Path | None = None
    cache_dir: Path | None = None
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
            self._splits[key] = _count(examples_of(ref, self.data_dir).examples[:most], counter)
        return self._splits[key]

    def num_kept(self, spec: RunSpec, refs: Iterable[SplitRef]) -> int:
        """About how many rows of the embedding table the texts of splits need."""
        name, counter = self._counter(spec)
        distinct = {ref.digest: ref for ref in refs}
        key = (name, tuple(sorted(distinct)))
        if key not in self._kept:
            texts = (text for ref in distinct.values() for text in _texts(examples_of(ref, self.data_dir).examples))
            self._kept[key] = counter.num_kept(texts)
        return self._kept[key]

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


def _count(examples: Sequence[Example], counter: TokenCounter) -> SplitTokens:
    rows_each = len(examples[0].rows)
    num_rows = len(examples) * rows_each
    if not counter.is_exact or num_rows <= MOST_ROWS:
        lengths = counter.row_lengths([row for example in examples for row in example.rows])
        basis: Basis = "tokenizer" if counter.is_exact else "bytes"
        return SplitTokens(lengths.reshape(-1, rows_each), len(examples), int(lengths.max()), basis)
    sample = examples[:: -(-num_rows // MOST_ROWS)]
    lengths = counter.row_lengths([row for example in sample for row in example.rows])
    # The longest row decides on memory, and a sample would miss it.
    rows = (row for example in examples for row in example.rows)
    largest = sorted(rows, key=lambda row: len(row[0].encode()) + len((row[1] or "").encode()))[-_LONGEST_LOOKED_AT:]
    longest = max(int(lengths.max()), int(counter.row_lengths(largest).max()))
    return SplitTokens(lengths.reshape(-1, rows_each), len(examples), longest, "sample")


def _texts(examples: Iterable[Example]) -> Iterator[str]:
    for example in examples:
        for first, second in example.rows:
            yield first
            if second is not None:
                yield second


def training_tokens(split: SplitTokens, *, max_length: int, batch_size: int, token_budget: int) -> PaddedTokens:
    """Padded tokens of one epoch, in micro-batches as `batching.micro_batches` cuts them."""
    lengths = np.minimum(split.lengths, max_length)
    rows_each = lengths.shape[1]
    # Which examples meet in a step is drawn anew for each seed and epoch; one draw stands for all.
    longest = np.random.default_rng(0).permutation(lengths.max(axis=1))
    steps = (longest[start : start + batch_size] for start in range(0, len(longest), batch_size))
    cuts = [step[cut] for step in steps for cut in cut_by_tokens(step, rows_each, token_budget)]
    return _padded(cuts, rows_each).times(split.num_examples / len(lengths))


def evaluation_tokens(splits: Sequence[SplitTokens], *, max_length: int, token_budget: int) -> PaddedTokens:
    """Padded tokens of one pass over splits together, every row by itself, as `evaluate.predict` cuts them."""
    whole = [split for split in splits if len(split.lengths) == split.num_examples]
    sampled = [split for split in splits if len(split.lengths) < split.num_examples]
    total = PaddedTokens(0, 0)
    for pool in filter(None, [whole, *([split] for split in sampled)]):
        rows = np.minimum(np.concatenate([split.lengths.reshape(-1) for split in pool]), max_length)
        cuts = [rows[cut] for cut in cut_by_tokens(rows, 1, token_budget)]
        part = _padded(cuts, 1).times(pool[0].num_examples / len(pool[0].lengths))
        total = PaddedTokens(total.num + part.num, total.squares + part.squares)
    return total


def _padded(cuts: Sequence[Lengths], rows_each: int) -> PaddedTokens:
    """Of micro-batches, each as the longest rows of what is in it."""
    sizes = [(len(cut) * rows_each, int(cut.max())) for cut in cuts]
    return PaddedTokens(sum(rows * longest for rows, longest in sizes), sum(n * longest**2 for n, longest in sizes))
