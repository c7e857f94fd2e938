"""What accuracy costs, worked by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapter_transfer.analysis.efficiency import efficiency_table
from adapter_transfer.analysis.summaries import summarise
from adapter_transfer.experiments.results import Result, RunRecord

MakeResult = Callable[..., Result]


def test_points_above_chance_per_million_trained_parameters(result: MakeResult) -> None:
    full = result(0.7, method="full", total_parameters=4_000_000, trained_parameters=4_000_000)
    adapter = result(0.6, method="seq_bn", total_parameters=4_000_000, trained_parameters=200_000)
    table = efficiency_table(summarise([full, adapter]), "micro-copa")
    column = table.headers.index("points above chance per million")
    # 20 points by 4 million, 10 points by 0.2 million.
    assert [row[column].value for row in table.rows] == [pytest.approx(5), pytest.approx(50)]
    assert [row[column].text for row in table.rows] == ["5.00", "50.00"]


def test_seeds_that_trained_different_numbers_have_no_one_price(result: MakeResult) -> None:
    results = [result(0.7, seed=seed, trained_parameters=1000 * seed) for seed in (1, 2)]
    (row,) = efficiency_table(summarise(results), "micro-copa").texts
    assert "1.0 k / 2.0 k" in row
    assert row[-2] == "–"


def test_cells_without_results_are_left_out(result: MakeResult, run: Callable[..., RunRecord]) -> None:
    assert efficiency_table(summarise([], [run(1)]), "micro-copa").rows == ()
    assert len(efficiency_table(summarise([result()], [run(1, backbone="nano")]), "micro-copa").rows) == 1


def test_what_a_pulled_adapter_cost_is_not_counted_and_said_so(result: MakeResult) -> None:
    def notes(intermediate: str) -> str:
        return " ".join(efficiency_table(summarise([result(intermediate=intermediate)]), "micro-copa").notes)

    assert "pulled from the Hub (hub:…) is not counted" in notes("hub:org/name@main")
    assert "pulled" not in notes("next-event")
