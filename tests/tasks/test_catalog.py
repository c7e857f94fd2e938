"""The declarations: what each task reads, and that one row of each table here is all that a new task adds."""

from __future__ import annotations

import re

import pytest

from adapter_transfer.languages import LANGUAGE_SETS, LANGUAGES
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.task import load_examples

XCOPA = LANGUAGE_SETS["xcopa"]

# One row a task: name, rows per example, logits per row, chance, published items by our split and language.
DECLARED = [
    ("next-event", 4, 1, 0.25, {("train", "en"): 1500}),
    ("event-nli", 1, 3, 1 / 3, {("train", "en"): 1500}),
    ("event-qa", None, 2, None, {("train", "en"): 1536}),
    ("event-qa2", None, 2, None, {("train", "en"): 1536}),
    ("event-tags", None, 5, None, {("train", "en"): 1536}),
    ("micro-copa", 2, 1, 0.5, {("train", "en"): 400, ("test", "en"): 500, ("test", "qc"): 500}),
    ("anli", 1, 3, 1 / 3, {("validation", "en"): 3198}),
    ("mnli", 1, 3, 1 / 3, {("validation", "en"): 9815}),
    ("qqp", 1, 2, None, {}),
    ("squad1", None, 2, None, {}),
    ("squad2", None, 2, None, {}),
    ("hellaswag", 4, 1, 0.25, {}),
    ("cosmosqa", 4, 1, 0.25, {("validation", "en"): 2985}),
    ("commonsenseqa", 5, 1, 0.2, {("train", "en"): 9741, ("validation", "en"): 1221}),
    ("ccg", None, 0, None, {}),
    ("socialiqa", 3, 1, 1 / 3, {("validation", "en"): 1954}),
    (
        "xcopa", 2, 1, 0.5,
        {("train", "en"): 400, ("validation", "en"): 100, ("test", "en"): 500}
        | {("validation", code): 100 for code in XCOPA} | {("test", code): 500 for code in XCOPA},
    ),
    (
        "xcopa-translate-test", 2, 1, 0.5,
        {("train", "en"): 400, ("validation", "en"): 100, ("test", "en"): 500}
        | {("test", code): 500 for code in XCOPA if code != "qu"},
    ),
    (
        "xcopa-balanced-copa", 2, 1, 0.5,
        {("train", "en"): 800, ("validation", "en"): 100, ("test", "en"): 500, ("test", "et"): 500},
    ),
]  # fmt: skip
each_task = pytest.mark.parametrize(
    ("name", "rows", "logits", "chance", "counts"), DECLARED, ids=[row[0] for row in DECLARED]
)


@each_task
def test_a_task_knows_how_it_is_scored(name, rows, logits, chance, counts):
    task = TASKS[name]
    assert (task.format.rows_per_example, task.format.logits_per_row) == (rows, logits)
    assert task.format.chance == pytest.approx(chance)
    assert all(code in LANGUAGES for codes in task.languages.values() for code in codes)
    assert task.languages["train"] == ("en",)
    task.check_splits(task.splits)


@each_task
def test_small_files_of_a_task_are_read(name, rows, logits, chance, counts, data_dir):
    for split, languages in TASKS[name].languages.items():
        for language in languages:
            loaded = load_examples(TASKS[name], split, language, data_dir=data_dir)
            assert len({example.id for example in loaded.examples}) == len(loaded.examples) >= 8
            assert len(loaded.premises) == len(loaded.examples)


@each_task
def test_published_files_of_a_task_are_read_whole(name, rows, logits, chance, counts, shared_data):
    for (split, language), number in counts.items():
        loaded = load_examples(TASKS[name], split, language, data_dir=shared_data)
        assert len(loaded.examples) == number
        assert TASKS[name].source.find(loaded.published, language).num_rows in (number, None)
        assert loaded.problems == ()


def test_no_task_was_forgotten_above():
    assert [row[0] for row in DECLARED] == list(TASKS)


@each_task
def test_everything_in_a_declaration_is_said(name, rows, logits, chance, counts):
    task = TASKS[name]
    assert all((task.summary, task.licence, task.reference, task.source.describe()))
    for part in (single for whole in task.source.parts for single in whole.single_parts):
        assert part.package or part.files
        assert part.languages
        for layout in part.files:
            assert re.fullmatch(r"[\w./{}-]+", layout.pattern)
            assert callable(layout.form.premise) or layout.form.premise in {each.name for each in layout.form.columns}


def test_where_rows_come_from_in_one_line():
    assert TASKS["micro-copa"].source.describe() == "package data"
    where = "Hub: aps/super_glue, cambridgeltl/xcopa or published files (--data-dir)"
    assert TASKS["xcopa"].source.describe() == where
