"""`adapter-transfer status`: how far the runs of a store, or of one experiment, are."""

from __future__ import annotations

from collections import Counter

import typer

from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import read_runs
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli import options
from adapter_transfer_cli.configs import read_experiment
from adapter_transfer_cli.output import console, print_json, print_table


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer status demo")(status)


def status(
    config: str | None = typer.Argument(None, help="Only the runs of this configuration; without it, of the store."),
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show how many runs are done, in progress, failed or still to do, and why runs failed."""
    opened = Store.open(store, create=False)
    if config is None:
        phases = {run.id: (run.phase, run.status) for run in read_runs(opened)}
    else:
        plan = make_plan(read_experiment(config, overrides), opened)
        phases = {run.spec.id: (run.spec.phase, run.status) for run in plan.runs}
    failures = {id: opened.read(id).failure or {} for id, (_, state) in phases.items() if state == "failed"}
    counts: Counter[tuple[str, str]] = Counter(phases.values())
    if json:
        print_json(
            {
                "store": str(store),
                "runs": [{"id": id, "phase": phase, "status": state} for id, (phase, state) in phases.items()],
                "failures": failures,
            }
        )
        return
    states = ("done", "partial", "failed", "todo")
    if not quiet:
        rows = [
            [phase, *(str(counts[phase, state]) for state in states)]
            for phase in ("intermediate", "target", "evaluation")
        ]
        print_table(["phase", "done", "in progress", "failed", "to do"], rows)
    for id, failure in failures.items():
        console().print(f"failed {id[:12]}: {failure.get('error', 'unknown')}", markup=False, soft_wrap=True)
    num_done = sum(count for (_, state), count in counts.items() if state == "done")
    console().print(f"{num_done} of {len(phases)} runs done in {store}")
