"""`adapter-transfer compare CONFIG`: run an experiment to its end and show what it found."""

from __future__ import annotations

from pathlib import Path

import typer

from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import result_to_json
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli import options
from adapter_transfer_cli.configs import read_experiment
from adapter_transfer_cli.execution import run_plan
from adapter_transfer_cli.output import console, errors, print_json
from adapter_transfer_cli.stores import existing_store
from adapter_transfer_cli.summary import experiment_records, print_summary, report_inputs


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer compare configs/demo.yaml --workers 2")(compare)


def compare(
    config: options.Config,
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    workers: options.Workers = 1,
    device: options.Device = "auto",
    threads: options.Threads = None,
    token_budget: options.TokenBudget = options.MACHINE.token_budget,
    checkpoint_steps: options.CheckpointSteps = options.MACHINE.checkpoint_steps,
    tracker: options.Trackers = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Run an experiment: train what is not trained yet, evaluate, compare, write the report.

    Calling it again trains nothing that is done; one more seed runs only that seed's runs. After an interruption, the
    same command goes on where it stopped.
    """
    experiment = read_experiment(config, overrides)
    trackers, log_level = tuple(tracker or ()), options.log_level(debug)
    settings = MachineSettings(device, threads, token_budget, checkpoint_steps, trackers, log_level)
    run_comparison(experiment, store, settings, workers=workers, json=json, quiet=quiet, debug=debug)


def run_comparison(
    experiment: Experiment,
    store_dir: Path,
    settings: MachineSettings,
    *,
    workers: int,
    json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Plans, runs, prints the tables and writes the report; what failed is told after what went well."""
    plan = make_plan(experiment, existing_store(store_dir))
    try:
        run_plan(plan, store_dir, settings, workers=workers, quiet=quiet or json, debug=debug)
    finally:
        # Also after failures and interruptions: what is done is shown.
        _show(experiment, existing_store(store_dir), json=json, quiet=quiet)


def _show(experiment: Experiment, store: Store | None, *, json: bool, quiet: bool) -> None:
    plan = make_plan(experiment, store)
    results, runs = experiment_records(store, plan) if store is not None else ([], [])
    if store is None or not results:
        if json:
            print_json({"experiment": experiment.name, "report": None, "results": []})
        elif store is not None and not quiet:
            errors().print("No run is finished yet, so there is nothing to show.")
        return
    from adapter_transfer.analysis.report import write_report  # loads altair: most of a second, and not for --help

    path = store.root / experiment.name / "report.html"
    write_report(path, **report_inputs(experiment, plan, results, runs))
    if json:
        print_json({"experiment": experiment.name, "report": str(path), "results": list(map(result_to_json, results))})
        return
    if not quiet:
        print_summary(experiment, results, runs)
    console().print(f"Report: {path}", soft_wrap=True)
