"""`adapter-transfer plan CONFIG`: what an experiment would run, before anything is trained."""

from __future__ import annotations

from collections import Counter

import typer

from adapter_transfer.experiments.plan import Plan, PlannedRun, make_plan
from adapter_transfer_cli import options
from adapter_transfer_cli.configs import read_experiment
from adapter_transfer_cli.output import console, print_json, print_table
from adapter_transfer_cli.progress import print_notes, title
from adapter_transfer_cli.sources import open_sources
from adapter_transfer_cli.stores import existing_store


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer plan demo --set seeds=[1,2,3] --json")(plan)


def plan(
    config: options.Config,
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    data_dir: options.DataDir = None,
    on_bad_row: options.OnBadRow = "fail",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show the runs of an experiment: what is done, what is to be done, what is impossible and why."""
    experiment = read_experiment(config, overrides)
    sources = open_sources(config, experiment, store, data_dir, on_bad_row)
    made = make_plan(experiment, existing_store(store), sources)
    if json:
        print_json(made.as_json())
        return
    if not quiet:
        _print_runs(made)
    counts = Counter(run.status for run in made.runs)
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    pending = f", {made.num_pending} more after the search" if made.num_pending else ""
    console().print(f"{made.name}: {len(made.runs)} runs ({summary}){pending}, {len(made.impossible)} impossible cells")
    print_notes(made)


def _status(run: PlannedRun) -> str:
    return f"{run.status}, trial: {run.trial}" if run.trial else f"{run.status}, trial" if run.is_trial else run.status


def _print_runs(made: Plan) -> None:
    print_table(
        ["run", "phase", "backbone", "", "method", "intermediate", "composition", "task", "seed", "status"],
        [
            [
                run.spec.id[:8],
                run.spec.phase,
                run.spec.backbone,
                run.spec.precision,
                run.spec.method,
                run.spec.intermediate,
                run.spec.composition,
                run.spec.task,
                str(run.spec.seed),
                _status(run),
            ]
            for run in made.runs
        ],
    )
    for run in made.runs:
        if run.reason:
            text = f"{run.status} {run.spec.id[:8]}, {title(run.spec)}: {run.reason}"
            console().print(text, markup=False, soft_wrap=True)
    if made.impossible:
        print_table(
            ["impossible", "precision", "method", "intermediate", "composition", "reason"],
            [[c.backbone, c.precision, c.method, c.intermediate, c.composition, c.reason] for c in made.impossible],
        )
