"""What a task's splits hold, for people: what is there, labels, token lengths, and what two splits have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from typing import Protocol

import numpy as np

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.encoding import encode
from adapter_transfer.tasks.formats import Format, Tokenizer
from adapter_transfer.tasks.leaks import shared_items, shared_premises, text_overlap
from adapter_transfer.tasks.schema import SchemaError
from adapter_transfer.tasks.task import ExampleSet

# Longer than any row that is read: nothing is cut, and the tokenizer does not warn that it should be.
_NO_LIMIT = 1_000_000


class DecodingTokenizer(Tokenizer, Protocol):
    """One that gives text back, too."""

    def decode(self, token_ids: list[int]) -> str: ...


@dataclass(frozen=True)
class ReadSplits:
    """What could be read, what is faulty, and what is not there.

    Attributes:
        faulty: an error for each faulty split, with all its problems.
        missing: reason → the splits, as `split (language)`, that it is the reason for.
    """

    sets: list[ExampleSet] = field(default_factory=list)
    faulty: list[SchemaError] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenLengths:
    """Tokens of the rows of a split, special tokens included, before anything is cut.

    Attributes:
        num_truncated: rows that are longer than the maximum length.
    """

    mean: float
    p95: int
    max: int
    num_truncated: int


@dataclass(frozen=True)
class Overlap:
    """What a split that is evaluated has in common with an earlier one; numbers of the examples of `evaluated`.

    Attributes:
        num_items: examples with the same id in the same family of items: translations of each other, too.
        num_texts: examples with the same texts.
        num_premises: examples with the same premise, whatever is asked about it.
    """

    trained: str
    evaluated: str
    language: str
    num_items: int
    num_texts: int
    num_premises: int


def read_splits(wanted: Iterable[tuple[str, str]], read: Callable[[str, str], ExampleSet]) -> ReadSplits:
    """Reads splits and goes on where one is faulty or missing.

    Args:
        wanted: published splits and languages.
        read: reads one of them.
    """
    found = ReadSplits()
    for published, language in wanted:
        try:
            found.sets.append(read(published, language))
        except SchemaError as error:
            found.faulty.append(error)
        except DataError as error:
            found.missing.setdefault(str(error), []).append(f"{published} ({language})")
    return found


def token_lengths(examples: ExampleSet, format: Format, tokenizer: Tokenizer, max_length: int) -> TokenLengths:
    """How long the rows of a split are; p95 is the length that 95 % of them do not exceed."""
    lengths = encode(examples, format, tokenizer, _NO_LIMIT).row_lengths
    return TokenLengths(
        mean=float(lengths.mean()),
        p95=int(np.percentile(lengths, 95, method="higher")),
        max=int(lengths.max()),
        num_truncated=int((lengths > max_length).sum()),
    )


def overlaps(sets: Sequence[ExampleSet], trained_language: str) -> Iterator[Overlap]:
    """What each split has in common with those before it.

    Args:
        sets: in the order of the published splits, training first.
        trained_language: the language in which the earlier split of a pair is read.
    """
    for one, other in combinations(sets, 2):
        if one.language == trained_language and one.published != other.published:
            yield Overlap(
                one.published,
                other.published,
                other.language,
                len(shared_items(one, other)),
                text_overlap(one, other),
                shared_premises(one, other),
            )


def as_the_model_sees(
    examples: ExampleSet, format: Format, tokenizer: DecodingTokenizer, max_length: int, number: int
) -> list[list[str]]:
    """The rows of the first `number` examples, decoded from their tokens: special tokens shown, cut where they are."""
    if number == 0:  # tokenizers refuse an empty list
        return []
    few = encode(replace(examples, examples=examples.examples[:number]), format, tokenizer, max_length)
    texts = [tokenizer.decode(few.row(row).tolist()) for row in range(len(few.row_lengths))]
    return [texts[first:last] for first, last in pairwise(few.first_rows.tolist())]
