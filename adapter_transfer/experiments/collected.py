"""From a plan and its store to what is shown: records, and the inputs of the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from adapter_transfer.experiments.collection import Collection, reported_specs
from adapter_transfer.experiments.data import data_notes
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.phase_settings import phase_settings
from adapter_transfer.experiments.plan import Plan, PlannedRun
from adapter_transfer.experiments.records import Result, RunRecord, split_record
from adapter_transfer.experiments.results import read_records, read_runs, without_repeats
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store


def experiment_collection(store: Store, plan: Plan) -> Collection:
    """The results of a plan's runs, a record of each run, and what its target runs answered in other readings."""
    # A run does not depend on what its backbone is called; a store may hold it under a name from elsewhere.
    # So may what it stands on: one pulled adapter is the same by a branch and by its commit.
    names = {run.spec.id: run.spec for run in plan.runs}
    records = read_records(store)
    results = [_called(found, names[found.run]) for found in records.results if found.run in names]
    fields = {"", *(result.question_field for result in results)}
    others: dict[str, list[Result]] = {}
    for found in records.results if results else ():
        if found.run not in names and found.target_run in names and found.question_field not in fields:
            others.setdefault(found.question_field, []).append(_called(found, names[found.target_run]))
    readings = {name: tuple(without_repeats(answered)) for name, answered in others.items()}
    return Collection(tuple(results), tuple(_planned(records.runs, plan)), readings, ())


def _called(result: Result, spec: RunSpec) -> Result:
    """A result under the names that its experiment gives to backbone and intermediate."""
    return replace(result, backbone=spec.backbone, intermediate=spec.intermediate)


def _recalled(run: RunRecord, spec: RunSpec) -> RunRecord:
    return replace(run, backbone=spec.backbone, intermediate=spec.intermediate, task=spec.task)


def run_records(store: Store, plan: Plan) -> list[RunRecord]:
    """A record of each run of a plan, those that are still to do or damaged included."""
    return _planned(read_runs(store), plan)


def _planned(runs: Iterable[RunRecord], plan: Plan) -> list[RunRecord]:
    readable = {record.id: record for record in runs if record.status != "damaged"}
    return [
        _recalled(readable[run.spec.id], run.spec) if run.spec.id in readable else _record_of(run) for run in plan.runs
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
    specs = [run.spec for run in plan.runs if not run.is_trial]
    return {
        "results": results,
        "runs": runs,
        "title": experiment.name,
        "question": experiment.question,
        "impossible": plan.impossible,
        "sandbox_backbones": experiment.sandbox_backbones,
        "random_backbones": experiment.random_backbones,
        "distilled": tuple(dict.fromkeys(spec.backbone for spec in specs if spec.declaration.distilled_from)),
        "data_notes": plan.notes,
        "caveats": plan.warnings,
        "selections": plan.selections,
        "settings": phase_settings(specs, is_tuned=experiment.tune is not None),
    }


def store_inputs(store: Store, found: Collection) -> dict[str, Any]:
    """The arguments of `write_report` for everything in a store."""
    specs = reported_specs(store, found)
    refs = (ref for spec in specs for ref in spec.data)
    return {
        "results": found.results,
        "runs": found.runs,
        "title": store.root.resolve().name,
        "notes": found.notes,
        "sandbox_backbones": tuple(dict.fromkeys(run.backbone for run in found.runs if run.is_sandbox)),
        "random_backbones": tuple(dict.fromkeys(run.backbone for run in found.runs if run.is_random)),
        "distilled": tuple(dict.fromkeys(run.backbone for run in found.runs if run.is_distilled)),
        "data_notes": data_notes(refs),
        "settings": phase_settings(specs),
    }
