"""The finding in words: correct, and no more than the records say."""

from __future__ import annotations

from collections.abc import Callable

from adapter_transfer.analysis.findings import find
from adapter_transfer.analysis.summaries import summarise
from adapter_transfer.experiments.results import Result, RunRecord

TARGET = "micro-copa"
Grid = Callable[..., list[Result]]


def test_gains_by_method_and_scale(grid: Grid) -> None:
    finding = find(summarise(grid()), TARGET)
    assert "3 languages never fine-tuned on (qa, qb, qc)" in finding.lead
    assert finding.items[0] == (
        "full after next-event: +2.0 on nano, +5.0 on micro, +8.0 on mini (points). "
        "In these runs the gain is larger at each larger scale."
    )
    assert "mean over 2 seeds" in finding.caveat
    assert "no interval and no test" in finding.caveat


def test_a_gain_that_goes_up_and_down_is_no_trend(result: Callable[..., Result]) -> None:
    results = []
    for scale, gain in (("nano", 0.02), ("micro", 0.09), ("mini", 0.03)):
        results += [result(0.6, backbone=scale, language="qa")]
        results += [result(0.6 + gain, backbone=scale, language="qa", intermediate="next-event")]
    (item,) = find(summarise(results), TARGET).items
    assert "does not go one way with scale; it is largest on micro" in item


def test_one_scale_says_nothing_about_scale(grid: Grid) -> None:
    finding = find(summarise(grid(scales=["nano"], seeds=[1])), TARGET)
    assert all("nothing can be said about scale" in item for item in finding.items)
    assert "mean over 1 seed," in finding.caveat


def test_a_control_stands_on_no_line(grid: Grid) -> None:
    finding = find(summarise(grid()), TARGET, random_backbones=["mini"])
    assert not any("mini" in item for item in finding.items)


def test_without_pairs_there_is_no_gain(grid: Grid, run: Callable[..., RunRecord]) -> None:
    assert "no intermediate to compare" in find(summarise(grid(intermediates=["none"])), TARGET).lead
    lone = [found for found in grid() if found.intermediate != "none"]
    assert "no seed with and without" in find(summarise(lone), TARGET).lead
    assert "no finding" in find(summarise([], [run(status="todo")]), TARGET).lead


def test_missing_scales_are_named(grid: Grid) -> None:
    results = [found for found in grid() if (found.backbone, found.intermediate) != ("micro", "none")]
    assert find(summarise(results), TARGET).items[0].endswith("No gain yet on micro.")


def test_controls_alone_give_no_finding(grid: Grid) -> None:
    finding = find(summarise(grid(scales=["nano"])), TARGET, random_backbones=["nano"])
    assert "control with random weights" in finding.lead
    assert not finding.items
