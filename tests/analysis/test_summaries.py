"""Means, averages and gains, against values worked by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapter_transfer.analysis.summaries import Cell, LanguageSet, Summary, single, summarise
from adapter_transfer.experiments.results import Result, RunRecord

NONE = Cell("micro", "fp32", "seq_bn", "none", "none", "micro-copa")
WITH = Cell("micro", "fp32", "seq_bn", "stack", "next-event", "micro-copa")
Make = Callable[..., Result]


def zero_shot(summary: Summary) -> LanguageSet:
    found = summary.zero_shot("micro-copa")
    assert found is not None
    return found


def test_an_average_weighs_languages_equally_and_then_seeds(result: Make) -> None:
    accuracies = {(1, "qa"): 0.60, (1, "qb"): 0.70, (2, "qa"): 0.66, (2, "qb"): 0.74, (1, "en"): 0.9, (2, "en"): 0.8}
    results = [result(value, seed=seed, language=language) for (seed, language), value in accuracies.items()]
    results[0] = result(0.60, seed=1, language="qa", num_items=100)  # fewer items do not weigh less
    summary = summarise(results)
    estimate = summary.accuracy(NONE, zero_shot(summary))
    assert estimate.by_seed == pytest.approx({1: 0.65, 2: 0.70})
    assert estimate.mean == pytest.approx(0.675)
    assert estimate.sd == pytest.approx(0.035355339)  # |.70 − .65| / √2
    assert summary.accuracy(NONE, single("en")).mean == pytest.approx(0.85)


def test_gain_is_paired_by_seed(result: Make) -> None:
    without = {1: 0.60, 2: 0.70, 3: 0.50}
    with_ = {1: 0.66, 2: 0.72, 4: 0.99}
    results = [result(value, seed=seed, language="qa") for seed, value in without.items()]
    results += [result(value, seed=seed, language="qa", intermediate="next-event") for seed, value in with_.items()]
    gain = summarise(results).gain(WITH, single("qa"))
    assert gain.by_seed == pytest.approx({1: 0.06, 2: 0.02})
    assert gain.mean == pytest.approx(0.04)  # the unpaired difference of means would be .19
    assert gain.sd == pytest.approx(0.0282842712)
    assert gain.left_out == (3, 4)


def test_gain_needs_the_same_items(result: Make) -> None:
    results = [result(0.6, num_items=500), result(0.7, intermediate="next-event", num_items=400)]
    gain = summarise(results).gain(WITH, single("en"))
    assert (gain.mean, gain.left_out) == (None, (1,))


def test_gain_stays_within_scale_precision_and_method(result: Make) -> None:
    results = [result(0.7, intermediate="next-event")]
    for other in ({"backbone": "mini"}, {"precision": "bf16"}, {"method": "full"}, {"target": "xcopa"}):
        results.append(result(0.6, **other))
    assert summarise(results).gain(WITH, single("en")).mean is None


def test_one_baseline_serves_every_composition(result: Make) -> None:
    lifted = [
        result(0.7, intermediate="next-event", composition="stack"),
        result(0.8, intermediate="next-event", composition="sequential"),
    ]
    summary = summarise([result(0.6), *lifted])
    gains = [summary.gain(cell, single("en")).mean for cell in summary.cells if cell.intermediate != "none"]
    assert gains == pytest.approx([0.2, 0.1])  # sequential, then stack


def test_a_baseline_has_no_gain(result: Make) -> None:
    with pytest.raises(ValueError, match="baseline"):
        summarise([result()]).gain(NONE, single("en"))


def test_nothing_is_imputed(result: Make) -> None:
    results = [result(0.6, language=code, seed=1) for code in ("qa", "qb")] + [result(0.8, language="qa", seed=2)]
    summary = summarise(results)
    estimate = summary.accuracy(NONE, zero_shot(summary))
    assert estimate.by_seed == pytest.approx({1: 0.6})
    assert (estimate.left_out, estimate.sd) == ((2,), None)
    assert summary.accuracy(WITH, zero_shot(summary)).mean is None


def test_language_sets_need_two_languages_and_say_something_new(result: Make) -> None:
    def keys(*codes: str) -> list[str]:
        return [found.key for found in summarise([result(language=code) for code in codes]).sets("micro-copa")]

    assert keys("en", "qa", "qb", "qc") == ["en", "zero-shot"]
    assert keys("en", "ht", "it", "tr") == ["en", "zero-shot", "xcopa-seen"]  # of the unseen there is one only
    assert keys("en", "ht", "qu", "it", "tr") == ["en", "zero-shot", "xcopa-seen", "xcopa-unseen"]
    assert keys("qa") == ["zero-shot"]
    assert keys("en") == ["en"]
    summary = summarise([result(language=code) for code in ("ht", "it", "tr")])
    assert summary.sets("micro-copa")[1].label == "xcopa-seen (2 of 9)"


def test_an_unknown_language_is_shown_by_its_code(result: Make) -> None:
    summary = summarise([result(language="xx"), result(language="en")])
    assert summary.languages("micro-copa") == ("en", "xx")
    assert single("xx").label == "xx"


def test_degenerate_runs_are_flagged_and_kept(result: Make) -> None:
    summary = summarise([result(0.51, seed=1), result(0.8, seed=2), result(0.4, seed=1, language="qa")])
    assert list(summary.degenerate(NONE)) == [1]
    assert summary.accuracy(NONE, single("en")).mean == pytest.approx(0.655)


def test_contradicting_runs_are_left_out_and_named(result: Make) -> None:
    results = [result(0.6, run="a", target_run="x"), result(0.9, run="b", target_run="y"), result(0.7, seed=2)]
    summary = summarise(results)
    assert [(conflict.seed, conflict.runs) for conflict in summary.conflicts] == [(1, ("a", "b"))]
    assert summary.accuracy(NONE, single("en")).by_seed == {2: 0.7}


def test_a_run_evaluated_twice_is_one_run(result: Make) -> None:
    results = [result(0.6, run="a"), result(0.6, run="b"), result(0.5, run="b", language="qa")]
    summary = summarise(results)
    assert not summary.conflicts
    assert summary.languages("micro-copa") == ("en", "qa")


def test_planned_cells_without_results_are_there(result: Make, run: Callable[..., RunRecord]) -> None:
    planned = run(status="todo", intermediate="next-event", composition="stack")
    summary = summarise([result()], [planned, run(phase="intermediate", intermediate="next-event", task="next-event")])
    assert summary.cells == (NONE, WITH)


def test_order_is_by_size_then_method_then_none_first(grid: Callable[..., list[Result]]) -> None:
    cells = summarise(grid()[::-1]).cells
    assert list(dict.fromkeys(cell.backbone for cell in cells)) == ["nano", "micro", "mini"]
    first = [(cell.method, cell.intermediate) for cell in cells[:4]]
    assert first == [("full", "none"), ("full", "next-event"), ("seq_bn", "none"), ("seq_bn", "next-event")]
