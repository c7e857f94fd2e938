"""Guesses that look at anything but the relation of the two texts. On the sandbox's data they must stay at chance.

Each takes labelled items and returns predictions. An item is a list of (premise, choice) pairs; where the label is a
class and not a choice (event-nli), it is one pair.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from adapter_transfer.sandbox.passages import Row


@dataclass(frozen=True)
class Item:
    """A row of a data set of choices or classes as pairs of texts, and its label."""

    pairs: tuple[tuple[str, str], ...]
    label: int

    @property
    def is_choice(self) -> bool:
        return len(self.pairs) > 1


#: Training items, test items and number of labels -> a prediction for each test item.
Heuristic = Callable[[Sequence[Item], Sequence[Item], int], list[int]]


def items_of(rows: Sequence[Row]) -> list[Item]:
    """Rows of micro-copa, next-event or event-nli as items."""
    return [_item(row) for row in rows]


def accuracy(predictions: Sequence[int], items: Sequence[Item]) -> float:
    """Share of the predictions that are right, 0 to 1."""
    return sum(p == item.label for p, item in zip(predictions, items, strict=True)) / len(items)


def majority(train: Sequence[Item], test: Sequence[Item], num_labels: int) -> list[int]:
    """The most frequent training label (the lowest of equals)."""
    counts = Counter(item.label for item in train)
    best = max(range(num_labels), key=lambda label: (counts[label], -label))
    return [best] * len(test)


def premise_blind(train: Sequence[Item], test: Sequence[Item], num_labels: int) -> list[int]:
    """Naive Bayes over the words of the choices (or of the hypothesis); it never sees a premise."""
    return _naive_bayes(train, test, num_labels, lambda pair: pair[1].split())


def choice_blind(train: Sequence[Item], test: Sequence[Item], num_labels: int) -> list[int]:
    """Naive Bayes over the words of the premise, which never sees a choice: it can only guess a position or class."""
    train = [Item(item.pairs[:1], item.label) for item in train]
    return _naive_bayes(train, [Item(item.pairs[:1], item.label) for item in test], num_labels, lambda p: p[0].split())


def most_overlap(train: Sequence[Item], test: Sequence[Item], num_labels: int) -> list[int]:
    """The choice that shares most words with the premise; for classes, the one most frequent at this overlap."""
    return _by_score(train, test, num_labels, _overlap)


def least_overlap(train: Sequence[Item], test: Sequence[Item], num_labels: int) -> list[int]:
    """The choice that shares fewest words with the premise; for classes, as `most_overlap`."""
    return _by_score(train, test, num_labels, lambda pair: -_overlap(pair))


def longest(train: Sequence[Item], test: Sequence[Item], num_labels: int) -> list[int]:
    """The longest choice in words; for classes, the one most frequent at this length."""
    return _by_score(train, test, num_labels, lambda pair: len(pair[1].split()))


HEURISTICS: Mapping[str, Heuristic] = {
    "majority": majority,
    "premise-blind": premise_blind,
    "choice-blind": choice_blind,
    "most-overlap": most_overlap,
    "least-overlap": least_overlap,
    "longest": longest,
}


def _item(row: Row) -> Item:
    label = int(str(row["label"]))
    if "endings" in row:
        return Item(tuple((str(row["context"]), ending) for ending in row["endings"]), label)  # type: ignore[union-attr]
    if "hypothesis" in row:
        return Item(((str(row["premise"]), str(row["hypothesis"])),), label)
    return Item(tuple((f"{row['premise']} {row['question']}", str(row[c])) for c in ("choice1", "choice2")), label)


def _overlap(pair: tuple[str, str]) -> int:
    premise, choice = (set(text.rstrip(".").lower().split()) for text in pair)
    return len(premise & choice)


def _by_score(
    train: Sequence[Item], test: Sequence[Item], num_labels: int, score: Callable[[tuple[str, str]], int]
) -> list[int]:
    """The choice of highest score, the first of equals; for classes, the most frequent one in training at this score.

    Ties cost nothing here: the positions of the right choices are balanced.
    """
    by_score: dict[int, Counter[int]] = defaultdict(Counter)
    for item in train:
        by_score[score(item.pairs[0])][item.label] += 1
    predictions = []
    for item in test:
        scores = [score(pair) for pair in item.pairs]
        if item.is_choice:
            predictions.append(scores.index(max(scores)))
        else:
            counts = by_score[scores[0]]
            predictions.append(max(range(num_labels), key=lambda label: (counts[label], -label)))
    return predictions


def _naive_bayes(
    train: Sequence[Item],
    test: Sequence[Item],
    num_labels: int,
    words_of: Callable[[tuple[str, str]], list[str]],
) -> list[int]:
    """Multinomial naive Bayes, add-one smoothed: "right" against "wrong" for choices, the label for single pairs."""
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for item in train:
        for position, pair in enumerate(item.pairs):
            counts[int(position == item.label) if item.is_choice else item.label].update(words_of(pair))
    vocabulary = {word for counter in counts.values() for word in counter}
    totals = {label: sum(counter.values()) + len(vocabulary) for label, counter in counts.items()}

    def log_likelihood(label: int, words: list[str]) -> float:
        return sum(math.log((counts[label][word] + 1) / totals[label]) for word in words if word in vocabulary)

    predictions = []
    for item in test:
        if item.is_choice:
            scores = [log_likelihood(1, words_of(pair)) - log_likelihood(0, words_of(pair)) for pair in item.pairs]
        else:
            scores = [log_likelihood(label, words_of(item.pairs[0])) for label in range(num_labels)]
        predictions.append(scores.index(max(scores)))
    return predictions
