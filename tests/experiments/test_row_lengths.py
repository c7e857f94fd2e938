"""Rows at planning are those that formats encode: as many, and as long."""

from __future__ import annotations

import json

import pytest

from adapter_transfer.backbones.at_hand import tokenizer_file
from adapter_transfer.backbones.token_counting import FileCounter, RuleCounter
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.experiments.row_lengths import count_rows
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.formats import Cutting, Example
from adapter_transfer.tasks.span_format import MAX_QUESTION_TOKENS, SpanExtraction
from adapter_transfer.tasks.tagging_format import Tagging

CUTTINGS = [Cutting(512), Cutting(64, 16), Cutting(40, 128), Cutting(24, 0), Cutting(12, 5)]
SPANS = [
    Example(str(n), (("why " * (n % 9), "rain fell on the old mill " * n),), ()) for n in (0, 1, 2, 3, 7, 11, 40, 41)
]
TAGGED = [
    Example(str(n), ((" ".join(["rain", "unbelievablyunlikely" * (n % 4 + 1)] * n), None),), ("A", "B") * n)
    for n in (1, 2, 5, 30)
]
CHOICES = [Example(str(n), (("it rained " * n, "so"), ("it", "fell " * n)), 0) for n in (1, 9, 60)]


def counter():
    path = tokenizer_file(BACKBONES["nano"])
    assert path is not None
    return FileCounter(path)


@pytest.mark.parametrize("cutting", CUTTINGS, ids=str)
@pytest.mark.parametrize(
    ("task_format", "examples"),
    [(SpanExtraction(), SPANS), (Tagging(("A", "B")), TAGGED), (MultipleChoice(2), CHOICES)],
    ids=["spans", "tags", "choices"],
)
def test_rows_are_those_that_are_encoded(task_format, examples, cutting):
    encoded = task_format.encode(examples, "en", load_tokenizer(BACKBONES["nano"]), cutting)
    found = count_rows(examples, task_format.label_level, counter()).cut(cutting)
    assert found.num_rows.tolist() == encoded.num_rows.tolist()
    assert found.lengths.tolist() == encoded.row_lengths.tolist()
    assert found.longest_rows.tolist() == encoded.longest_rows.tolist()


def test_long_questions_are_counted_as_long_as_they_may_be():
    long = Example("0", (("why " * 2 * MAX_QUESTION_TOKENS, "rain " * 30),), ())
    found = count_rows([long], "row", counter()).cut(Cutting(512))
    assert found.lengths.tolist() == (MAX_QUESTION_TOKENS + counter().text_lengths(["rain " * 30]) + 4).tolist()


def test_by_the_rule():
    spans = count_rows([Example("0", (("a" * 40, "b" * 400),), ())], "row", RuleCounter())
    assert spans.cut(Cutting(200)).lengths.tolist() == [10 + 100 + 4]
    # 26 tokens of a context in a window, of which two share 8.
    assert spans.cut(Cutting(40, 8)).lengths.tolist() == [40, 40, 40, 40, 40, 10 + 4 + 100 - 5 * 18]
    tags = count_rows([Example("0", (("a " * 9 + "b" * 30, None),), ())], "token", RuleCounter())
    assert tags.cut(Cutting(100)).lengths.tolist() == [9 + 8 + 2]
    assert tags.cut(Cutting(14)).lengths.tolist() == [9 + 2, 8 + 2]


def test_real_questions_and_contexts(shared_data):
    """All windows are exact but those of questions that are cut: what is left of these is tokenized anew."""
    data = json.loads((shared_data / "squad" / "dev-v2.0.json").read_text("utf-8"))["data"]
    paragraphs = [paragraph for article in data for paragraph in article["paragraphs"]]
    examples = [Example(p["qas"][0]["id"], ((p["qas"][0]["question"], p["context"]),), ()) for p in paragraphs[::8]]
    cutting = Cutting(384)
    encoded = SpanExtraction(True).encode(examples, "en", load_tokenizer(BACKBONES["nano"]), cutting)
    found = count_rows(examples, "row", counter()).cut(cutting)
    assert found.lengths.sum() == pytest.approx(encoded.row_lengths.sum(), rel=0.01)
    assert found.num_rows.max() == encoded.num_rows.max() > 3
