"""Scores of tag sequences against values worked by hand."""

from __future__ import annotations

import subprocess
import sys

import pytest

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.tagging_metric import span_f1, token_accuracy


def _sentences(*lines: str) -> list[list[str]]:
    return [line.split() for line in lines]


def test_token_accuracy_counts_tokens_not_sentences() -> None:
    gold = _sentences("N V", "DET N V ADJ N PUNCT")
    predicted = _sentences("V N", "DET N V ADJ N PUNCT")
    assert token_accuracy(gold, predicted) == 6 / 8
    assert token_accuracy(gold, gold) == 1
    assert token_accuracy(_sentences("N"), _sentences("V")) == 0


def test_token_accuracy_takes_any_tags_and_sequences() -> None:
    assert token_accuracy([(r"(S\NP)/NP", "N/N"), ()], [(r"(S\NP)/NP", "N"), ()]) == 1 / 2


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        (("B-PER I-PER O B-LOC",), ("B-PER I-PER O B-LOC",), 1),
        (("B-PER I-PER O B-LOC",), ("B-PER O O B-LOC",), 1 / 2),
        (("B-PER I-PER O B-LOC",), ("B-PER I-PER O B-ORG",), 1 / 2),
        (("B-PER I-PER O B-LOC",), ("B-PER I-PER O O",), 2 / 3),
        (("B-PER I-PER O O",), ("B-PER B-PER O O",), 0),
        (("B-PER I-PER O B-LOC",), ("O O O O",), 0),
        (("O O",), ("B-PER O",), 0),
        (("O O",), ("O O",), 0),
        (("O I-PER I-PER",), ("O B-PER I-PER",), 1),
        (("B-PER I-LOC",), ("B-PER B-LOC",), 1),
        (("B-PER I-PER",), ("B-PER I-LOC",), 0),
        (("B-PER", "I-PER"), ("B-PER", "B-PER"), 1),
        (("B-PER B-PER B-PER", "B-LOC"), ("B-PER B-PER B-PER", "O"), 6 / 7),
        (("B-PER", ""), ("B-PER", ""), 1),
        (("B-geo-loc I-geo-loc",), ("B-geo-loc I-geo-loc",), 1),
        (("S-PER B-LOC E-LOC",), ("S-PER B-LOC E-LOC",), 1),
        (("S-PER B-LOC E-LOC",), ("S-PER S-LOC S-LOC",), 2 / 5),
    ],
    ids=(
        "the same",
        "a span cut short: 1 right, 2 + 2 spans",
        "another type: 1 right, 2 + 2 spans",
        "one of two: 1 right, 1 + 2 spans",
        "one span is not two: 0 right, 2 + 1 spans",
        "nothing predicted",
        "nothing to find",
        "nothing on either side: 0",
        "I after O begins a span",
        "I of another type begins a span",
        "and so ends the one before: PER is too short",
        "a span does not cross sentences",
        "micro, not macro: 3 right, 3 + 4 spans",
        "an empty sentence",
        "a hyphen in the type",
        "IOBES",
        "IOBES: 1 right, 3 + 2 spans",
    ),
)
def test_span_f1_by_hand(gold: tuple[str, ...], predicted: tuple[str, ...], expected: float) -> None:
    assert span_f1(_sentences(*gold), _sentences(*predicted)) == pytest.approx(expected, rel=1e-15, abs=0)


def test_span_f1_takes_tuples() -> None:
    assert span_f1((("B-PER", "I-PER"),), (("B-PER", "I-PER"),)) == 1


def test_tags_without_a_prefix_are_no_spans() -> None:
    with pytest.raises(DataError, match=r"no spans: 'N/N', 'NOUN', 'b-PER'\. Span F1 needs"):
        span_f1(_sentences("B-PER NOUN N/N"), _sentences("b-PER O O"))
    with pytest.raises(DataError, match=r"'t0', 't1', 't2', 't3', 't4' and 3 more"):
        span_f1([["O"] * 8], [[f"t{number}" for number in range(8)]])


def test_lengths_have_to_fit() -> None:
    for metric in (token_accuracy, span_f1):
        with pytest.raises(ValueError, match="2 sentences have gold tags, but 1 "):
            metric(_sentences("O", "O"), _sentences("O"))
        with pytest.raises(ValueError, match="sentence 1 has 2 gold tags, but 1 "):
            metric(_sentences("O", "O O"), _sentences("O", "O"))
        for nothing in ([], [[]]):
            with pytest.raises(ValueError, match="no token"):
                metric(nothing, nothing)


def test_accuracy_loads_no_seqeval() -> None:
    code = "import sys; from adapter_transfer.tasks import tagging_metric as us\n"
    code += "us.token_accuracy([['O']], [['O']]); print(*{'seqeval', 'sklearn', 'torch'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
