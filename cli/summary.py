"""From a plan and its store to what is shown: records, tables in the terminal, and the inputs of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from adapter_transfer.analysis.control_tables import control_table
from adapter_transfer.analysis.findings import CONTROLS_LEAD, find
from adapter_transfer.analysis.learning import learning_table
from adapter_transfer.analysis.run_tables import selection_table
from adapter_transfer.analysis.summaries import summarise
from adapter_transfer.analysis.tables import Table, accuracy_table, gain_table
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.phase_settings import phase_settings
from adapter_transfer.experiments.plan import Plan, PlannedRun
from adapter_transfer.experiments.results import Result, RunRecord, read_results, read_runs, split_record
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.tuning import Selection
from adapter_transfer_cli.output import console, print_table

SANDBOX_WARNING = "These are sandbox figures: they show that the tool works, and are no evidence about XLM-R."


def experiment_records(store: Store, plan: Plan) -> tuple[list[Result], list[RunRecord]]:
    """The results of a plan's runs, and a record of each run."""
    # A run does not depend on what its backbone is called; a store may hold it under a name from elsewhere.
    names = {run.spec.id: run.spec.backbone for run in plan.runs}
    results = [replace(found, backbone=names[found.run]) for found in read_results(store) if found.run in names]
    return results, run_records(store, plan)


def run_records(store: Store, plan: Plan) -> list[RunRecord]:
    """A record of each run of a plan, those that are still to do or damaged included."""
    readable = {record.id: record for record in read_runs(store) if record.status != "damaged"}
    return [
        replace(readable[run.spec.id], backbone=run.spec.backbone) if run.spec.id in readable else _record_of(run)
        for run in plan.runs
    ]


def _record_of(run: PlannedRun) -> RunRecord:
    # What the plan knows of a run that the store cannot tell of.
    spec = run.spec
    return RunRecord(
        id=spec.id,
        phase=spec.phase,
        status=run.status,
        backbone=spec.backbone,
        precision=spec.precision,
        method=spec.method,
        composition=spec.composition,
        intermediate=spec.intermediate,
        task=spec.task,
        seed=spec.seed,
        reason=run.reason,
        parents=tuple(spec.parents.values()),
        seconds=None,
        metrics={},
        versions={},
        data={ref.name: split_record(ref) for ref in spec.data},
    )


def report_inputs(
    experiment: Experiment, plan: Plan, results: Sequence[Result], runs: Sequence[RunRecord]
) -> dict[str, Any]:
    """The arguments of `write_report` for an experiment."""
    return {
        "results": results,
        "runs": runs,
        "title": experiment.name,
        "question": experiment.question,
        "impossible": plan.impossible,
        "sandbox_backbones": experiment.sandbox_backbones,
        "random_backbones": experiment.random_backbones,
        "data_notes": plan.notes,
        "caveats": plan.warnings,
        "selections": plan.selections,
        "settings": phase_settings(
            (run.spec for run in plan.runs if not run.is_trial), is_tuned=experiment.tune is not None
        ),
    }


def print_summary(
    experiment: Experiment, results: Sequence[Result], runs: Sequence[RunRecord], selections: Sequence[Selection] = ()
) -> None:
    """What a search chose, accuracies and gains as tables, then the finding in words."""
    summary = summarise(results, runs)
    target = experiment.evaluated_task.name
    _print(selection_table(selections))
    for table in (
        learning_table(runs),
        accuracy_table(summary, target),
        gain_table(summary, target),
        control_table(summary),
    ):
        _print(table)
    finding = find(summary, target, experiment.random_backbones)
    console().print(finding.lead, markup=False)
    for item in finding.items:
        console().print(f"  - {item}", markup=False)
    if finding.controls:
        console().print(CONTROLS_LEAD, markup=False)
    for item in finding.controls:
        console().print(f"  - {item}", markup=False)
    if finding.caveat:
        console().print(finding.caveat, markup=False, style="dim")
    if experiment.uses_sandbox:
        console().print(SANDBOX_WARNING, style="yellow")


def _print(table: Table) -> None:
    if not table.rows:
        return
    numeric = [table.is_numeric(column) for column in range(len(table.headers))]
    print_table(
        table.headers,
        table.texts,
        title=table.title,
        notes=table.notes,
        numeric=numeric,
        droppable=("encoder parameters",),
    )
    console().print()
