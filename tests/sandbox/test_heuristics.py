"""Guesses that ignore the relation of premise and choice stay at chance on every evaluation split."""

from __future__ import annotations

import json

import pytest

from adapter_transfer.sandbox.files import sandbox_dir
from adapter_transfer.sandbox.heuristics import HEURISTICS, Item, accuracy, items_of, most_overlap, premise_blind

EVALUATIONS = [
    ("micro-copa", "en", "validation", 2),
    *(("micro-copa", language, "test", 2) for language in ("en", "qa", "qb", "qc")),
    ("next-event", "en", "validation", 4),
    ("event-nli", "en", "validation", 3),
]


def read_items(task: str, language: str, split: str) -> list[Item]:
    text = (sandbox_dir() / "data" / task / language / f"{split}.jsonl").read_text(encoding="utf-8")
    return items_of([json.loads(line) for line in text.splitlines()])


@pytest.mark.parametrize("name", HEURISTICS)
@pytest.mark.parametrize(("task", "language", "split", "num_labels"), EVALUATIONS)
def test_heuristic_is_at_chance(name: str, task: str, language: str, split: str, num_labels: int) -> None:
    train, test = read_items(task, "en", "train"), read_items(task, language, split)
    score = accuracy(HEURISTICS[name](train, test, num_labels), test)
    assert abs(score - 1 / num_labels) <= 0.05


@pytest.mark.parametrize(("task", "language", "split", "num_labels"), EVALUATIONS)
def test_premise_blind_guess_gains_nothing_at_all(task: str, language: str, split: str, num_labels: int) -> None:
    """By construction: every set of choices, and every hypothesis, stands under each label equally often."""
    train, test = read_items(task, "en", "train"), read_items(task, language, split)
    right = round(accuracy(premise_blind(train, test, num_labels), test) * len(test))
    assert abs(right - len(test) / num_labels) < 1


def test_heuristics_find_a_leak_where_there_is_one() -> None:
    """The baselines are able to win: a right choice that shares a word, or that always reads alike, is found."""
    leaking = [
        Item((("the cup fell", "the cup broke"), ("the cup fell", "Anna slept")), 0),
        Item((("the dog ran", "Boris slept"), ("the dog ran", "the dog broke")), 1),
    ]
    assert most_overlap([], leaking, 2) == [0, 1]
    assert premise_blind(leaking, leaking, 2) == [0, 1]
