"""`adapter-transfer status`: how far the runs of a store, or of one experiment, are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import typer

from adapter_transfer.experiments.collected import run_records
from adapter_transfer.experiments.configurations import read_experiment
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import RecordStatus, RunRecord, read_runs
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, print_json, print_table
from adapter_transfer_cli.sources import open_sources

_NAMES = ("id", "phase", "status", "backbone", "precision", "method", "composition", "intermediate", "task")
_PHASES = ("intermediate", "target", "evaluation", "")
_STATUSES: dict[RecordStatus, str] = {
    "done": "done",
    "partial": "partial",
    "failed": "failed",
    "damaged": "damaged",
    "todo": "to do",
}


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer status demo")(status)


def status(
    config: str | None = typer.Argument(None, help="Only the runs of this configuration; without it, of the store."),
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    data_dir: options.DataDir = None,
    on_bad_row: options.OnBadRow = "fail",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show how many runs are done, in progress, failed, damaged or still to do, and why."""
    options.require_config(config, overrides)
    experiment = None if config is None else read_experiment(config, overrides)
    opened = Store.open(store, create=False)
    if config is None or experiment is None:
        runs = read_runs(opened)
    else:
        sources = open_sources(config, experiment, store, data_dir, on_bad_row, quiet=quiet or json)
        runs = run_records(opened, make_plan(experiment, opened, sources))
    if json:
        print_json({"store": str(store), "runs": [_row(run) for run in runs]})
        return
    if not quiet:
        _print_counts(runs)
    for run in runs:
        if run.status in ("failed", "damaged"):
            console().print(f"{run.status} {run.id[:12]}: {run.reason}", markup=False, soft_wrap=True)
    num_done = sum(run.status == "done" for run in runs)
    console().print(f"{num_done} of {len(runs)} runs done in {store}")


def _row(run: RunRecord) -> dict[str, Any]:
    # Of a damaged run nothing may be known but its id: empty names and no seed, as JSON has it.
    known = {name: getattr(run, name) or None for name in _NAMES}
    return {**known, "seed": run.seed if run.seed >= 0 else None, "reason": run.reason or None}


def _print_counts(runs: Sequence[RunRecord]) -> None:
    counts = Counter((run.phase, run.status) for run in runs)
    phases = [phase for phase in _PHASES if phase or any(not run.phase for run in runs)]
    rows = [[phase or "unknown", *(str(counts[phase, status]) for status in _STATUSES)] for phase in phases]
    print_table(["phase", *_STATUSES.values()], rows)
