"""The plots, as Vega-Lite specifications with a text alternative and their data. The one file that knows altair.

Colours are CSS variables, so that the page alone decides between light, dark and paper. A plot is one panel as wide as
its place; several panels are laid out by the page, which lets them stand one below the other on a phone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import altair as alt
import vl_convert

from adapter_transfer.analysis.findings import Series, series_name, series_of
from adapter_transfer.analysis.formats import intermediate_text, parameters_text, points
from adapter_transfer.analysis.summaries import NO_INTERMEDIATE, Cell, LanguageSet, Summary, single
from adapter_transfer.tasks.controls import control_of

_HEIGHT = 260
_ROW_HEIGHT = 24
_LABEL_ROOM = 0.3  # of the axis, that a label needs
_LABEL_CHARACTERS = 20
_DODGE = 9  # pixels between methods at one scale
_SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "triangle-right", "triangle-left")
_NUM_COLOURS = 8  # --series-0 (grey, for `none`) to --series-8 in report.css


_Datasets: TypeAlias = dict[str, Sequence[Mapping[str, Any]]]


_LONG_LABEL = 18
"""Characters; two such labels beside each other are too wide for a phone."""


@dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        title: what it shows that its neighbours do not.
        description: the text alternative.
        spec: Vega-Lite.
        rows: the data behind it, a mapping a mark.
    """

    title: str
    description: str
    spec: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]


@lru_cache(maxsize=1)
def chart_library() -> str:
    """The JavaScript of Vega, Vega-Lite and Vega-Embed, about 0.9 MB, to stand inside a page's `<script>`."""
    bundle: str = vl_convert.javascript_bundle(
        "window.vegaEmbed = vegaEmbed;", ".".join(alt.SCHEMA_VERSION.split(".")[:2])
    )
    # In a string or a regular expression, where alone it may occur, the backslash changes nothing.
    return bundle.replace("</script", "<\\/script")


def gain_panels(summary: Summary, target: str, random_backbones: Collection[str] = ()) -> list[Panel]:
    """Gain against scale, a panel for each intermediate (and precision): a line a method, its seeds as points."""
    main = summary.main_set(target)
    series = series_of(summary, target, random_backbones)
    if main is None:
        return []
    names = {one: series_name(one, series) for one in series}
    rows = {one: _gain_rows(summary, one, names[one], main) for one in series}
    every = [row["gain"] for found in rows.values() for row in found]
    if not every:
        return []
    domain = _padded(min(0.0, *every), max(0.0, *every))
    scale = _scale_of(sorted(dict.fromkeys(names.values()), key=list(names.values()).index), first_colour=1)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in series:
        groups.setdefault((one.precision, one.intermediate), []).extend(rows[one])
    shows_precision = len({precision for precision, _ in groups}) > 1
    return [
        _gain_panel(found, _named(intermediate, precision if shows_precision else ""), main, domain, scale)
        for (precision, intermediate), found in groups.items()
        if found
    ]


def _named(intermediate: str, precision: str) -> str:
    control = " (control)" if control_of(intermediate) is not None else ""
    return f"{intermediate}{control}" + (f" · {precision}" if precision else "")


def language_panels(summary: Summary, target: str) -> list[Panel]:
    """Accuracy by language, a panel for each scale and method: a mark an intermediate, its seeds as points."""
    cells = summary.cells_of(target)
    codes = summary.languages(target)
    names = _short_names(cells)
    labels = sorted(dict.fromkeys(names.values()), key=lambda label: label != NO_INTERMEDIATE)
    scale = _scale_of(labels, first_colour=0 if NO_INTERMEDIATE in labels else 1)
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for cell in cells:
        groups.setdefault((cell.backbone, cell.precision, cell.method), []).extend(
            _accuracy_rows(summary, cell, codes, names[cell])
        )
    every = [row["accuracy"] for rows in groups.values() for row in rows]
    if not every:
        return []
    chance = 100 * min(result.chance for cell in cells for result in summary.results_of(cell))
    domain = (max(0.0, min(chance, *every) - 5), 100.0)
    shows_precision = len({precision for _, precision, _ in groups}) > 1
    return [
        _language_panel(
            rows, f"{backbone} · {method}" + (f" · {precision}" if shows_precision else ""), chance, domain, scale
        )
        for (backbone, precision, method), rows in groups.items()
        if rows
    ]


def _gain_rows(summary: Summary, one: Series, name: str, languages: LanguageSet) -> list[dict[str, Any]]:
    rows = []
    for cell in one.cells:
        size, gain = summary.encoder_parameters(cell.backbone), summary.gain(cell, languages)
        where = {"scale": cell.backbone, "encoder_parameters": size, "method": name}
        for seed, value in gain.by_seed.items():
            mean = 100 * (gain.mean or 0.0)
            rows.append({**where, "seed": seed, "gain": 100 * value, "mean_gain": mean, "seeds": gain.num_seeds})
    return rows


def _short_names(cells: Sequence[Cell]) -> dict[Cell, str]:
    """Each cell's intermediate, with the composition only where its method was run with several."""
    compositions: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        compositions.setdefault((cell.method, cell.intermediate), set()).add(cell.composition)
    several = {key for key, found in compositions.items() if len(found) > 1}
    return {
        cell: intermediate_text(cell) if (cell.method, cell.intermediate) in several else cell.intermediate
        for cell in cells
    }


def _accuracy_rows(summary: Summary, cell: Cell, codes: Sequence[str], name: str) -> list[dict[str, Any]]:
    rows = []
    for code in codes:
        estimate = summary.accuracy(cell, single(code))
        for seed, value in estimate.by_seed.items():
            rows.append(
                {
                    "language": single(code).label,
                    "intermediate": name,
                    "seed": seed,
                    "accuracy": 100 * value,
                    "mean_accuracy": 100 * (estimate.mean or 0.0),
                    "seeds": estimate.num_seeds,
                }
            )
    return rows


def _gain_panel(
    rows: list[dict[str, Any]], intermediate: str, main: LanguageSet, domain: list[float], scale: _Scale
) -> Panel:
    means = list({(row["method"], row["scale"]): row for row in rows}.values())
    sizes: dict[int, list[str]] = {}
    for row in means:
        sizes.setdefault(row["encoder_parameters"], [])
        if row["scale"] not in sizes[row["encoder_parameters"]]:
            sizes[row["encoder_parameters"]].append(row["scale"])
    x = alt.X("encoder_parameters:Q", scale=alt.Scale(type="log", nice=False, padding=28), axis=_size_axis(sizes))
    y_axis = alt.Axis(title="gain, points", tickCount=6, format="+~f")
    y_scale = alt.Scale(domain=domain, nice=False, zero=False)
    colour, shape = scale.encodings("method")
    tooltip = ["method:N", "scale:N", alt.Tooltip("seed:O"), alt.Tooltip("gain:Q", format="+.1f")]
    mean_tooltip = ["method:N", "scale:N", alt.Tooltip("mean_gain:Q", format="+.1f", title="mean gain"), "seeds:Q"]
    datasets: _Datasets = {"zero": [{"zero": 0}]}
    layers = [_chart("zero").mark_rule(color="var(--ink-soft)").encode(y=alt.Y("zero:Q", axis=y_axis))]
    methods = [name for name in scale.names if any(row["method"] == name for row in rows)]
    for number, name in enumerate(methods):
        # Side by side, or the seeds of one method hide those of the other.
        aside = _DODGE * (number - (len(methods) - 1) / 2)
        datasets[f"seeds-{number}"] = [row for row in rows if row["method"] == name]
        datasets[f"means-{number}"] = [row for row in means if row["method"] == name]
        mean_chart = _chart(f"means-{number}").encode(
            x=x, y=alt.Y("mean_gain:Q", scale=y_scale, axis=y_axis), color=colour
        )
        seeds = _chart(f"seeds-{number}")
        layers += [
            mean_chart.mark_line(strokeWidth=2.5, xOffset=aside),
            seeds.mark_point(filled=False, size=42, opacity=0.75, strokeWidth=1.5, xOffset=aside).encode(
                x=x, y=alt.Y("gain:Q", scale=y_scale, axis=y_axis), color=colour, shape=shape, tooltip=tooltip
            ),
            mean_chart.mark_point(filled=True, size=100, opacity=1, xOffset=aside).encode(
                shape=shape, tooltip=mean_tooltip
            ),
        ]
    told = "; ".join(f"{row['method']} on {row['scale']} {points(row['mean_gain'] / 100)}" for row in means)
    description = f"Gain of {intermediate} over none, {main.label}, in points, mean over seeds: {told}."
    return Panel(intermediate, description, _filled(_spec(layers, _HEIGHT), description, datasets), tuple(rows))


def _language_panel(
    rows: list[Mapping[str, Any]], title: str, chance: float, domain: tuple[float, float], scale: _Scale
) -> Panel:
    means = list({(row["intermediate"], row["language"]): row for row in rows}.values())
    languages = tuple(dict.fromkeys(row["language"] for row in rows))
    series = tuple(dict.fromkeys(row["intermediate"] for row in rows))
    datasets: _Datasets = {"chance": [{"chance": chance}], "seeds": rows, "means": means}
    told = "; ".join(f"{row['language']}, {row['intermediate']}: {row['mean_accuracy']:.1f}" for row in means)
    description = f"Accuracy of {title} by language, in percent, mean over seeds; chance is {chance:.0f}. {told}."
    return Panel(
        title,
        description,
        _filled(_language_spec(languages, series, domain, scale), description, datasets),
        tuple(rows),
    )


# Panels differ in their data alone, and altair takes a tenth of a second for each.
@lru_cache(maxsize=16)
def _language_spec(
    languages: tuple[str, ...], series: tuple[str, ...], domain: tuple[float, float], scale: _Scale
) -> dict[str, Any]:
    y = alt.Y("language:N", sort=languages, axis=alt.Axis(title=None, domain=False, ticks=False, labelLimit=170))
    offset = alt.YOffset("intermediate:N", sort=series)
    x_axis = alt.Axis(title="accuracy, %", tickCount=5, labelOverlap="greedy", labelSeparation=6)
    x_scale = alt.Scale(domain=domain, nice=False, zero=False)
    colour, shape = scale.encodings("intermediate")
    tooltip = ["language:N", "intermediate:N", "seed:O", alt.Tooltip("accuracy:Q", format=".1f")]
    mean = alt.Tooltip("mean_accuracy:Q", format=".1f", title="mean accuracy")
    by_name = {"y": y, "yOffset": offset, "color": colour, "shape": shape}
    layers = [
        _chart("chance")
        .mark_rule(color="var(--ink-soft)", strokeDash=[4, 4])
        .encode(x=alt.X("chance:Q", scale=x_scale, axis=x_axis)),
        _chart("seeds")
        .mark_point(filled=False, size=36, opacity=0.75, strokeWidth=1.5)
        .encode(x=alt.X("accuracy:Q", scale=x_scale, axis=x_axis), tooltip=tooltip, **by_name),
        _chart("means")
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=alt.X("mean_accuracy:Q", scale=x_scale, axis=x_axis),
            tooltip=["language:N", "intermediate:N", mean, "seeds:Q"],
            **by_name,
        ),
    ]
    return _spec(layers, round(_ROW_HEIGHT * len(languages) * max(1.5, len(series))))


@dataclass(frozen=True)
class _Scale:
    """The colour and shape that each name has in every panel of a figure."""

    names: tuple[str, ...]
    first_colour: int

    def encodings(self, field: str) -> tuple[alt.Color, alt.Shape]:
        """Both, sharing one legend above the plot."""
        numbers = [self.first_colour + index for index in range(len(self.names))]
        colours = [f"var(--series-{(n - 1) % _NUM_COLOURS + 1 if n else 0})" for n in numbers]
        shapes = [_SHAPES[n % len(_SHAPES)] for n in numbers]
        columns = 1 if max(map(len, self.names), default=0) > _LONG_LABEL else 2
        legend = alt.Legend(title=None, orient="top", columns=columns, labelLimit=0, symbolOpacity=1)
        domain = list(self.names)
        colour = alt.Color(f"{field}:N", scale=alt.Scale(domain=domain, range=colours), legend=legend)
        return colour, alt.Shape(f"{field}:N", scale=alt.Scale(domain=domain, range=shapes), legend=legend)


def _scale_of(names: Sequence[str], first_colour: int) -> _Scale:
    return _Scale(tuple(names), first_colour)


def _size_axis(sizes: Mapping[int, Sequence[str]]) -> alt.Axis:
    """Ticks at the scales that were run, labelled with their names; a name is a JSON string, so it stays a string."""
    labels = {}
    is_low = False
    for before, size in zip([None, *sorted(sizes)], sorted(sizes), strict=False):
        # Of two labels that would touch on a phone, the second stands below the first.
        room = math.log(size / before) / math.log(max(sizes) / min(sizes)) if before else 1.0
        is_low = room < _LABEL_ROOM and not is_low
        names = ", ".join(sizes[size])
        names = names if len(names) <= _LABEL_CHARACTERS else f"{names[: _LABEL_CHARACTERS - 1]}…"
        labels[str(size)] = [*(["", ""] if is_low else []), names, parameters_text(size)]
    return alt.Axis(
        title="encoder parameters (log scale)",
        values=sorted(sizes),
        labelExpr=f"({json.dumps(labels)})[datum.value]",
        labelOverlap=False,
        labelAngle=0,
        grid=False,
    )


def _padded(low: float, high: float) -> list[float]:
    room = max(1.0, 0.08 * (high - low))
    return [low - room, high + room]


def _chart(dataset: str) -> alt.Chart:
    """A chart of a dataset that `_filled` puts in; altair would copy and check inline data again and again."""
    return alt.Chart(alt.NamedData(name=dataset))


def _filled(spec: Mapping[str, Any], description: str, datasets: _Datasets) -> dict[str, Any]:
    return {**spec, "description": description, "datasets": {name: list(rows) for name, rows in datasets.items()}}


def _spec(layers: Sequence[alt.Chart], height: int) -> dict[str, Any]:
    chart = (
        alt.layer(*layers)
        .properties(width="container", height=height, background="transparent")
        .configure(font="system-ui, sans-serif", autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
        .configure_axis(
            labelColor="var(--ink)",
            titleColor="var(--ink-soft)",
            titleFontWeight="normal",
            gridColor="var(--line)",
            domainColor="var(--line)",
            tickColor="var(--line)",
            labelFontSize=12,
            titleFontSize=12,
        )
        .configure_legend(labelColor="var(--ink)", labelFontSize=12, symbolSize=90)
        .configure_view(stroke=None)
    )
    spec: dict[str, Any] = chart.to_dict()
    return spec
