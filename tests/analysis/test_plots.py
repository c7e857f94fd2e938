"""Plots: their data, their words, and that no name is more than a name."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from adapter_transfer.analysis.plots import chart_library, gain_panels, language_panels
from adapter_transfer.analysis.summaries import summarise
from adapter_transfer.experiments.results import Result

TARGET = "micro-copa"
Grid = Callable[..., list[Result]]


def test_a_panel_for_each_intermediate_with_every_seed(grid: Grid) -> None:
    panels = gain_panels(summarise(grid(intermediates=["none", "next-event", "event-nli"])), TARGET)
    assert [panel.title for panel in panels] == ["event-nli", "next-event"]
    rows = panels[1].rows
    assert len(rows) == 3 * 2 * 2  # scales × methods × seeds
    first = {key: rows[0][key] for key in ("scale", "encoder_parameters", "method", "seed")}
    assert first == {"scale": "nano", "encoder_parameters": 100_000, "method": "full", "seed": 1}
    assert rows[0]["gain"] == pytest.approx(2.0)
    assert "full on nano +2.0" in panels[1].description


def test_panels_share_their_scales(grid: Grid) -> None:
    panels = gain_panels(summarise(grid(intermediates=["none", "next-event", "event-nli"])), TARGET)
    domains = {json.dumps(layer["encoding"]["y"]["scale"]) for panel in panels for layer in panel.spec["layer"][1:]}
    assert len(domains) == 1


def test_a_panel_for_each_scale_and_method(grid: Grid) -> None:
    panels = language_panels(summarise(grid()), TARGET)
    assert len(panels) == 6
    assert panels[0].title == "nano · full"
    assert len(panels[0].rows) == 4 * 2 * 2  # languages × intermediates × seeds
    assert "Sandbox A, none: 58.5" in panels[0].description


def test_a_control_is_on_no_line(grid: Grid) -> None:
    (panel,) = gain_panels(summarise(grid()), TARGET, random_backbones=["micro"])
    assert {row["scale"] for row in panel.rows} == {"nano", "mini"}


def test_without_data_there_is_no_plot(grid: Grid) -> None:
    empty = summarise([])
    assert (gain_panels(empty, TARGET), language_panels(empty, TARGET)) == ([], [])
    assert gain_panels(summarise(grid(intermediates=["none"])), TARGET) == []


def test_a_name_stays_a_string_in_vega_expressions(grid: Grid) -> None:
    name = '"})[0] + alert(1) //'
    (panel,) = gain_panels(summarise(grid(scales=[name])), TARGET)
    (expression,) = {
        layer["encoding"]["x"]["axis"]["labelExpr"] for layer in panel.spec["layer"] if "x" in layer["encoding"]
    }
    labels = json.loads(expression.removeprefix("(").removesuffix(")[datum.value]"))
    assert list(labels.values()) == [[name, "0.9 M"]]


def test_the_library_can_stand_in_a_page() -> None:
    library = chart_library()
    assert "</script" not in library
    assert "<!--" not in library
