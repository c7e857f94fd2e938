"""`adapter-transfer evaluate RUN`: a trained target run in other languages."""

from __future__ import annotations

import typer

from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.evaluation import evaluation_plan
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.results import read_results, result_to_json
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.stored_runs import find_run
from adapter_transfer_cli import options
from adapter_transfer_cli.execution import run_plan
from adapter_transfer_cli.output import print_json, print_table
from adapter_transfer_cli.sources import example_cache


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer evaluate 1f0c3a --language qa --language qb")(evaluate)


def evaluate(
    run: str = typer.Argument(..., help="Id of a target run, or the beginning of it."),
    language: list[str] | None = typer.Option(None, help="Language or set of languages; without it, all."),
    store: options.StoreDir = options.STORE_DEFAULT,
    data_dir: options.DataDir = None,
    on_bad_row: options.OnBadRow = "fail",
    device: options.Device = "auto",
    threads: options.Threads = None,
    token_budget: options.TokenBudget = options.MACHINE.token_budget,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Evaluate a trained target run on its task's test items, in the languages given."""
    opened = Store.open(store, create=False)
    sources = Sources(data_dir, on_bad_row, cache=example_cache(store, quiet=quiet or json))
    plan = evaluation_plan(opened, find_run(opened, run), tuple(language or ()), sources)
    settings = MachineSettings(device, threads, token_budget, log_level=options.log_level(debug), data_dir=data_dir)
    run_plan(plan, store, settings, workers=1, quiet=quiet or json, debug=debug)
    found = [result for result in read_results(opened) if result.run == plan.runs[0].spec.id]
    if json:
        print_json([result_to_json(result) for result in found])
        return
    rows = [[r.language, f"{r.accuracy:.1%}", str(r.num_items), f"{r.chance:.0%}"] for r in found]
    print_table(["language", "accuracy", "n", "chance"], rows, title=f"evaluation {plan.runs[0].spec.id[:12]}")
