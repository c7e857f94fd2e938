"""The shipped data: what the generator makes, in XCOPA's fields, balanced, parallel and without leaks."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from adapter_transfer.sandbox.datasets import SPLITS, datasets, write_datasets
from adapter_transfer.sandbox.files import sandbox_dir
from adapter_transfer.sandbox.languages import LANGUAGES
from adapter_transfer.sandbox.passages import Row
from adapter_transfer.sandbox.pretraining_text import pretraining_lines

DATA_DIR = sandbox_dir() / "data"


def rows_of(task: str, language: str, split: str) -> list[Row]:
    text = (DATA_DIR / task / language / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def right_pair(row: Row) -> tuple[object, object]:
    """The premise and the right choice."""
    return row["premise"], row[("choice1", "choice2")[int(str(row["label"]))]]


def test_generator_makes_the_shipped_files_byte_for_byte(tmp_path: Path) -> None:
    made = {path.relative_to(tmp_path): path.read_bytes() for path in write_datasets(tmp_path)}
    shipped = {path.relative_to(DATA_DIR): path.read_bytes() for path in DATA_DIR.rglob("*.jsonl")}
    assert made == shipped
    assert not any(b"\r" in content or not content.endswith(b"\n") for content in made.values())


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: f"{split.task}/{split.name}")
def test_files_have_their_fields_sizes_and_balanced_labels(split) -> None:  # type: ignore[no-untyped-def]
    fields = {
        "micro-copa": ["premise", "choice1", "choice2", "question", "label", "idx"],
        "next-event": ["context", "endings", "label", "idx"],
        "event-nli": ["premise", "hypothesis", "label", "idx"],
        "event-qa": ["context", "question", "answer", "answer_start", "idx"],
        "event-qa2": ["context", "question", "answer", "answer_start", "idx"],
        "event-tags": ["text", "tags", "idx"],
    }[split.task]
    for language in split.languages:
        rows = rows_of(split.task, language.code, split.name)
        assert len(rows) == split.num_items
        assert all(list(row) == [field for field in fields if field in row] for row in rows)
        assert all(set(fields) - set(row) <= {"answer", "answer_start"} for row in rows)
        assert [row["idx"] for row in rows] == list(range(len(rows)))
        if "label" in fields:
            counts = Counter(str(row["label"]) for row in rows).values()
            assert max(counts) - min(counts) <= 1
        if "answer" in fields:
            assert sum("answer" in row for row in rows) == len(rows) // (2 if split.task == "event-qa2" else 1)
        if split.task == "micro-copa":
            assert Counter(row["question"] for row in rows) == {"cause": len(rows) // 2, "effect": len(rows) // 2}


def test_micro_copa_is_parallel_and_its_texts_differ_between_languages() -> None:
    for split in ("validation", "test"):
        english, *others = (rows_of("micro-copa", language.code, split) for language in LANGUAGES)
        for rows in others:
            assert [(r["label"], r["question"]) for r in rows] == [(r["label"], r["question"]) for r in english]
            assert not {r["premise"] for r in rows} & {r["premise"] for r in english}


def test_the_two_choices_of_an_item_are_about_the_same_person_and_thing() -> None:
    for row in rows_of("micro-copa", "en", "test"):
        if row["question"] == "cause":  # a cause names both of them
            first, second = (str(row[field]).split() for field in ("choice1", "choice2"))
            assert first[0] == second[0] and first[2:] == second[2:] and first[1] != second[1]


def test_no_evaluation_item_is_seen_in_any_training_text() -> None:
    """Neither (premise, right choice) of a validation or test item, nor the reverse, stands in a training file."""
    seen: dict[str, set[tuple[object, object]]] = {}
    for split in ("train", "validation", "test"):
        pairs = {right_pair(row) for row in rows_of("micro-copa", "en", split)}
        seen[split] = pairs | {(second, first) for first, second in pairs}
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]
    next_event = {
        (row["context"], list(row["endings"])[int(str(row["label"]))])  # type: ignore[call-overload]
        for row in rows_of("next-event", "en", "train")
    }
    nli = {(row["premise"], row["hypothesis"]) for row in rows_of("event-nli", "en", "train")}
    assert not (next_event | nli) & (seen["test"] | seen["validation"])
    assert not (next_event | nli) & {
        (row["context"], list(row["endings"])[int(str(row["label"]))])  # type: ignore[call-overload]
        for row in rows_of("next-event", "en", "validation")
    }


def test_no_evaluation_item_is_told_in_the_pretraining_text() -> None:
    told = {" ".join(filter(None, line)) for line in pretraining_lines(20_000)}
    for language in LANGUAGES:
        for split in ("validation", "test"):
            for row in rows_of("micro-copa", language.code, split):
                premise, choice = right_pair(row)
                assert f"{premise} {choice}" not in told and f"{choice} {premise}" not in told


def test_every_rule_occurs_in_train_and_test() -> None:
    """Fillers are split, rules are not: the module says so, and a reader of the figures should know."""
    verbs = {
        split: {str(row["premise"]).rstrip(".").split()[1] for row in rows_of("micro-copa", "en", split)}
        for split in ("train", "test")
    }
    assert len([rows for _, _, rows in datasets()]) == 34
    assert len(verbs["train"] & verbs["test"]) > 40
