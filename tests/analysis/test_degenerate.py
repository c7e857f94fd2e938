"""The cut-off above chance, and what counts as a run that learned nothing."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import pytest

from adapter_transfer.analysis.degenerate import chance_cutoff, degenerate_reason
from adapter_transfer.experiments.results import Result


@pytest.mark.parametrize(
    ("num_items", "chance", "cutoff"),
    [
        (500, 0.5, 269),  # shared/library-facts.md
        (100, 0.5, 59),
        (5, 0.5, 5),  # 1/32 = .03125
        (4, 0.5, None),  # even 4 of 4 has 1/16 = .0625
        (1, 0.04, 1),
    ],
)
def test_cutoff(num_items: int, chance: float, cutoff: int | None) -> None:
    assert chance_cutoff(num_items, chance) == cutoff


@pytest.mark.parametrize("num_items", [7, 60, 333])
def test_cutoff_is_the_smallest_that_guessing_rarely_reaches(num_items: int) -> None:
    def tail(k: int) -> float:  # P(X ≥ k) of four choices, in exact integers
        ways: int = sum(comb(num_items, i) * 3 ** (num_items - i) for i in range(k, num_items + 1))
        return float(ways / 4**num_items)

    cutoff = chance_cutoff(num_items, 0.25)
    assert cutoff is not None
    assert tail(cutoff) <= 0.05 < tail(cutoff - 1)


def test_cutoff_refuses_what_is_no_chance() -> None:
    for num_items, chance in ((0, 0.5), (10, 0.0), (10, 1.0)):
        with pytest.raises(ValueError, match="cut-off"):
            chance_cutoff(num_items, chance)


def test_a_run_at_the_cutoff_is_not_degenerate(result: Callable[..., Result]) -> None:
    assert degenerate_reason(result(269 / 500)) is None
    assert "268/500" in (degenerate_reason(result(268 / 500)) or "")


def test_constant_predictions_are_degenerate_at_any_accuracy(result: Callable[..., Result]) -> None:
    assert "same answer" in (degenerate_reason(result(0.9, constant_predictions=True)) or "")
