"""Tasks read published rows into examples, and say file and line of what they cannot read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapter_transfer.backbones.loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DataError
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.encoding import concatenate, encode, require_legible, take
from adapter_transfer.tasks.metrics import score_choices
from adapter_transfer.tasks.sources import PlacedRow, read_jsonl
from adapter_transfer.tasks.task import load_examples


class Rows:
    """A source of given rows."""

    def __init__(self, *rows):
        self.given = rows

    def rows(self, split, language):
        return iter(PlacedRow(row, f"here:{number}") for number, row in enumerate(self.given, start=1))

    def describe(self):
        return "rows of a test"


COPA_ROW = {"premise": "It rained.", "choice1": "It got wet.", "choice2": "It got dry.", "question": "effect"}


def copa(*rows):
    return replace(TASKS["micro-copa"], source=Rows(*rows))


# One row a task: name, rows per example, logits per row, chance, items of each split and language.
DECLARED = [
    ("next-event", 4, 1, 0.25, {("train", "en"): 1500}),
    ("event-nli", 1, 3, 1 / 3, {("train", "en"): 1500}),
    ("micro-copa", 2, 1, 0.5, {("train", "en"): 400, ("test", "en"): 500, ("test", "qc"): 500}),
]


@pytest.mark.parametrize(("name", "rows", "logits", "chance", "counts"), DECLARED)
def test_every_declared_task_reads(name, rows, logits, chance, counts):
    task = TASKS[name]
    assert (task.format.rows_per_example, task.format.logits_per_row) == (rows, logits)
    assert task.format.chance == pytest.approx(chance)
    for split, languages in task.languages.items():
        for language in languages:
            loaded = load_examples(task, split, language)
            assert len({example.id for example in loaded.examples}) == len(loaded.examples)
            assert len(loaded.examples) == counts.get((split, language), len(loaded.examples))


def test_no_task_was_forgotten_above():
    assert {row[0] for row in DECLARED} == set(TASKS)


def test_a_copa_row_becomes_premise_with_question_and_choices():
    example = load_examples(copa({**COPA_ROW, "label": 1, "idx": 7}), "test", "qa").examples[0]
    first = "It rained. What happened as a result?"
    assert example.rows == ((first, "It got wet."), (first, "It got dry."))
    assert (example.id, example.label) == ("7", 1)


def test_test_items_are_parallel_across_languages():
    task = TASKS["micro-copa"]
    languages = {code: load_examples(task, "test", code).examples for code in task.languages["test"]}
    for examples in languages.values():
        assert [(e.id, e.label) for e in examples] == [(e.id, e.label) for e in languages["en"]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**COPA_ROW, "idx": 0}, "here:1: column 'label' is missing"),
        ({**COPA_ROW, "idx": 0, "label": 2}, "here:1: label 2; allowed are 0 to 1"),
        ({**COPA_ROW, "idx": 0, "label": 0, "question": "why"}, "here:1: question 'why'; allowed are cause, effect"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(row, message):
    with pytest.raises(DataError, match=message):
        load_examples(copa(row), "train", "en")


def test_a_missing_split_or_language_is_no_fallback():
    with pytest.raises(DataError, match="no test split"):
        load_examples(TASKS["next-event"], "test", "en")
    with pytest.raises(DataError, match="no test split in 'th'"):
        load_examples(TASKS["micro-copa"], "test", "th")


def test_jsonl_faults_are_placed(tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes('{"a": "x\u2028y"}\r\n{"a": 2}\r\n'.encode())
    assert [placed.row["a"] for placed in read_jsonl(path)] == ["x\u2028y", 2]
    for content, message in (
        (b'{"a": 1}\n{"a": \n', ":2: not JSON"),
        (b'{"a": 1}\n\xff\n', ":2: not UTF-8"),
        (b"[1]", ":1: exp"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            list(read_jsonl(path))
    with pytest.raises(DataError, match="no such file"):
        list(read_jsonl(tmp_path / "missing.jsonl"))


def test_the_digest_is_of_what_the_model_sees():
    row = {**COPA_ROW, "label": 1, "idx": 7}
    digest = load_examples(copa(row), "train", "en").digest
    assert load_examples(copa({**row, "changed": True}), "train", "en").digest == digest
    assert load_examples(copa({**row, "premise": "It snowed."}), "train", "en").digest != digest
    assert load_examples(copa({**row, "label": 0}), "train", "en").digest != digest


def test_encoding_restores_to_the_tokenizers_own_output():
    tokenizer = load_tokenizer(BACKBONES["nano"])
    task = TASKS["micro-copa"]
    parts = [encode(load_examples(task, "test", code), task.format, tokenizer, 96) for code in ("en", "qb")]
    pooled = concatenate(parts)
    example = load_examples(task, "test", "qb").examples[3]
    for choice, (first, second) in enumerate(example.rows):
        expected = tokenizer(first, second)["input_ids"]
        assert pooled.row((500 + 3) * 2 + choice).tolist() == expected
    assert pooled.languages[499:501] == ("en", "qb")
    assert pooled.num_truncated == 0
    few = take(pooled, 3)
    assert len(few) == 3
    assert few.row(5).tolist() == pooled.row(5).tolist()


def test_truncation_is_counted():
    tokenizer = load_tokenizer(BACKBONES["nano"])
    task = TASKS["micro-copa"]
    examples = load_examples(task, "test", "en")
    full = encode(examples, task.format, tokenizer, 96)
    cut = encode(examples, task.format, tokenizer, 16)
    assert cut.row_lengths.max() <= 16
    assert cut.num_truncated == int((full.row_lengths > 16).sum()) > 0


def test_a_tokenizer_that_cannot_read_the_text_is_refused():
    tokenizer = load_tokenizer(BACKBONES["nano"])
    task = TASKS["micro-copa"]
    encoded = encode(load_examples(task, "test", "qc"), task.format, tokenizer, 96)
    require_legible(encoded, tokenizer.unk_token_id, "micro-copa/test/qc")
    with pytest.raises(DataError, match=r"micro-copa/test/qc: .* are unknown"):
        require_legible(encoded, int(np.bincount(encoded.tokens).argmax()), "micro-copa/test/qc")
    row = {**COPA_ROW, "label": 1, "idx": 7, "choice2": COPA_ROW["choice1"]}
    alike = encode(load_examples(copa(row), "test", "en"), task.format, tokenizer, 96)
    with pytest.raises(DataError, match=r"100.0% of the examples have choices that it encodes alike"):
        require_legible(alike, -1, "alike")


def test_scores_by_hand():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0], [3.0, 1.0]], dtype=np.float32)
    score = score_choices(logits, np.array([0, 0, 0, 1]))
    assert (score.num_correct, score.num_items, score.accuracy) == (2, 4, 0.5)
    expected = [np.log1p(np.exp(-2)), np.log1p(np.exp(1)), np.log(2), np.log1p(np.exp(2))]
    assert score.loss == pytest.approx(np.mean(expected))
    assert not score.constant_predictions
    assert score_choices(logits[[0, 2, 3]], np.array([0, 1, 1])).constant_predictions


def test_sandbox_rows_have_the_published_fields(root):
    path = root / "adapter_transfer" / "sandbox" / "data" / "micro-copa" / "qa" / "test.jsonl"
    assert set(json.loads(path.read_text("utf-8").splitlines()[0])) == {
        "premise", "choice1", "choice2", "question", "label", "idx",
    }  # fmt: skip
