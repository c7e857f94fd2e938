"""The report: one self-contained HTML file, computed from records alone. It asks the network for nothing.

The page forbids itself every request by a content security policy; its plots are drawn by Vega's interpreter, which
needs no `eval`. Whatever the records hold is escaped, so a name cannot become markup.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from adapter_transfer.analysis.control_tables import control_table
from adapter_transfer.analysis.findings import CONTROLS_LEAD, Finding, find
from adapter_transfer.analysis.learning import learning_table
from adapter_transfer.analysis.plots import Panel, chart_library, gain_panels, language_panels
from adapter_transfer.analysis.run_tables import (
    data_table,
    problem_table,
    run_table,
    selection_table,
    settings_table,
    version_table,
)
from adapter_transfer.analysis.summaries import ALONE, Summary, count, summarise
from adapter_transfer.analysis.tables import Table, accuracy_table, cost_table, gain_table, language_table
from adapter_transfer.durable import storage_errors, write_atomic
from adapter_transfer.experiments.results import Result, RunRecord, result_to_json

if TYPE_CHECKING:
    from adapter_transfer.experiments.phase_settings import PhaseSettings
    from adapter_transfer.experiments.plan import ImpossibleCell
    from adapter_transfer.experiments.tuning import Selection

_TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Download:
    """A file inside the page, as a link that saves it."""

    name: str
    label: str
    url: str


@dataclass(frozen=True)
class TargetSection:
    """Everything about one target task."""

    target: str
    main: str
    finding: Finding
    gains: Sequence[Panel]
    languages: Sequence[Panel]
    accuracy_table: Table
    gain_table: Table
    cost_table: Table
    language_table: Table
    has_only_random: bool
    has_only_alone: bool


def render_report(
    results: Sequence[Result],
    runs: Sequence[RunRecord],
    *,
    title: str,
    question: str = "",
    notes: Sequence[str] = (),
    impossible: Sequence[ImpossibleCell] = (),
    sandbox_backbones: Collection[str] = (),
    random_backbones: Collection[str] = (),
    data_notes: Sequence[str] = (),
    caveats: Sequence[str] = (),
    selections: Sequence[Selection] = (),
    settings: Sequence[PhaseSettings] = (),
) -> str:
    """The page as HTML text.

    Args:
        results: what is reported, best of one experiment: two runs of one cell and seed contradict each other.
        runs: done or not, planned ones too; cells that are planned but have no result are shown as missing.
        title: usually the experiment's name.
        question: what the experiment asks, in a sentence.
        notes: paragraphs of plain text by the experiment's author.
        impossible: cells of the grid that cannot be run.
        sandbox_backbones: names whose figures are no evidence about published models; a banner says so.
        random_backbones: backbones with random weights: in every table, but on no line over scales.
        data_notes: what was mapped, repaired or left out in the data.
        caveats: what spoils the answer although every run is sound.
        selections: searches for hyper-parameters.
        settings: hyper-parameters of the trainings.
    """
    summary = summarise(results, runs)
    sections = [_section(summary, target, random_backbones) for target in summary.targets]
    seen = {cell.backbone for cell in summary.cells} | {run.backbone for run in runs if run.backbone}
    sandbox = sorted(seen.intersection(sandbox_backbones))
    panels = [panel for section in sections for panel in (*section.gains, *section.languages)]
    template = _environment().get_template(_TEMPLATE)
    return template.render(
        title=title,
        question=question,
        notes=notes,
        sections=sections,
        controls_lead=CONTROLS_LEAD,
        controls=control_table(summary),
        sandbox=sandbox,
        all_sandbox=len(sandbox) == len(seen),
        counts=_counts(results, runs),
        learning=learning_table(runs),
        problems=problem_table(summary, runs, impossible),
        runs=run_table(runs),
        versions=version_table(runs),
        data=data_table(runs),
        data_notes=data_notes,
        caveats=caveats,
        conditions=(selection_table(selections), settings_table(settings)),
        downloads=_downloads(results),
        specs=[panel.spec for panel in panels],
        chart_library=Markup(chart_library()) if panels else "",
    )


def write_report(path: Path, results: Sequence[Result], runs: Sequence[RunRecord], **options: Any) -> None:
    """Writes the page to `path`, whole or not at all; folders above it are made where they are missing.

    Args:
        options: those of `render_report`.

    Raises:
        StoreError: if it cannot be written.
    """
    page = render_report(results, runs, **options).encode()
    with storage_errors("make", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, page)


def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("adapter_transfer.analysis")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Compact, and NaN must not reach a browser's JSON.parse.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _section(summary: Summary, target: str, random_backbones: Collection[str]) -> TargetSection:
    main = summary.main_set(target)
    return TargetSection(
        target=target,
        main=main.label if main is not None else "",
        finding=find(summary, target, random_backbones),
        gains=gain_panels(summary, target, random_backbones),
        languages=language_panels(summary, target),
        accuracy_table=accuracy_table(summary, target),
        gain_table=gain_table(summary, target),
        cost_table=cost_table(summary, target),
        language_table=language_table(summary, target),
        has_only_random=all(cell.backbone in random_backbones for cell in summary.cells_of(target)),
        has_only_alone=all(cell.composition == ALONE for cell in summary.cells_of(target)),
    )


def _counts(results: Sequence[Result], runs: Sequence[RunRecord]) -> str:
    done = sum(run.status == "done" for run in runs)
    evaluated = len({result.run for result in results})
    scales = len({result.backbone for result in results})
    seeds = len({result.seed for result in results})
    parts = [f"{done} of {count(len(runs), 'run')} done", f"{evaluated} evaluated"]
    if results:
        parts += [count(scales, "scale"), count(seeds, "seed")]
    return " · ".join(parts)


def _downloads(results: Sequence[Result]) -> list[Download]:
    if not results:
        return []
    rows = [result_to_json(result) for result in results]
    as_json = json.dumps(rows, ensure_ascii=False, indent=1).encode()
    return [
        Download("results.csv", "results.csv", _data_url("text/csv", _csv(rows))),
        Download("results.json", "results.json", _data_url("application/json", as_json)),
    ]


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows({key: _no_formula(value) for key, value in row.items()} for row in rows)
    return text.getvalue().encode()


def _no_formula(value: object) -> object:
    # A spreadsheet would run a text that starts like a formula; no name that we register does.
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
