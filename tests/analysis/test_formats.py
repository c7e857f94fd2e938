"""How numbers are written."""

from __future__ import annotations

import pytest

from adapter_transfer.analysis import formats
from adapter_transfer.analysis.summaries import Estimate


def test_accuracies_and_gains() -> None:
    assert formats.percent(0.71349) == "71.3"
    assert [formats.points(value) for value in (0.0321, -0.004, 0.0002, -0.0002)] == ["+3.2", "−0.4", "0.0", "0.0"]
    assert formats.accuracy_text(Estimate({1: 0.7, 2: 0.72})) == "71.0 ± 1.4"
    assert formats.gain_text(Estimate({1: -0.02})) == "−2.0"
    assert formats.gain_text(Estimate({})) == formats.MISSING


@pytest.mark.parametrize(
    ("number", "text"),
    [(640, "640"), (5_120, "5.1 k"), (234_000, "0.2 M"), (86_000_000, "86 M"), (3_200_000_000, "3.2 B")],
)
def test_parameters(number: int, text: str) -> None:
    assert formats.parameters_text(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(6.04, "6.0 s"), (59.4, "59 s"), (59.7, "1 min 00 s"), (7_500, "2 h 05 min")]
)
def test_seconds(seconds: float, text: str) -> None:
    assert formats.seconds_text(seconds) == text


def test_items() -> None:
    assert formats.items_text([500], 3) == "500 × 3"
    assert formats.items_text([500, 400], 3) == "400–500 × 3"
    assert formats.items_text([], 0) == formats.MISSING
