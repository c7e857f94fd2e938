"""`adapter-transfer compare CONFIG`: run an experiment to its end and show what it found."""

from __future__ import annotations

from pathlib import Path

import typer

from adapter_transfer.experiments.collected import experiment_collection, report_inputs
from adapter_transfer.experiments.configurations import read_experiment
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.opening import existing_store
from adapter_transfer.experiments.outcomes import run_stages
from adapter_transfer.experiments.plan import Plan, make_plan
from adapter_transfer.experiments.results import result_to_json
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli import options
from adapter_transfer_cli.execution import run_plan
from adapter_transfer_cli.output import console, errors, print_json
from adapter_transfer_cli.sources import keep_lock, open_sources


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer compare configs/demo.yaml --workers 2")(compare)


def compare(
    config: options.Config,
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    data_dir: options.DataDir = None,
    on_bad_row: options.OnBadRow = "fail",
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
    sources = open_sources(config, experiment, store, data_dir, on_bad_row, quiet=quiet or json)
    plan = make_plan(experiment, existing_store(store), sources)
    keep_lock(sources, config, experiment, store, quiet=quiet or json)
    trackers, log_level = tuple(tracker or ()), options.log_level(debug)
    settings = MachineSettings(device, threads, token_budget, checkpoint_steps, trackers, log_level, data_dir)
    run_comparison(experiment, plan, store, sources, settings, workers=workers, json=json, quiet=quiet, debug=debug)


def run_comparison(
    experiment: Experiment,
    plan: Plan,
    store_dir: Path,
    sources: Sources,
    settings: MachineSettings,
    *,
    workers: int,
    json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Runs a plan, prints the tables and writes the report; what failed is told after what went well."""
    try:
        run_stages(
            plan,
            lambda stage: run_plan(stage, store_dir, settings, workers=workers, quiet=quiet or json, debug=debug),
            lambda: make_plan(experiment, existing_store(store_dir), sources),
        )
    finally:
        # Also after failures and interruptions: what is done is shown.
        store = existing_store(store_dir)
        _show(experiment, make_plan(experiment, store, sources), store, json=json, quiet=quiet)


def _show(experiment: Experiment, plan: Plan, store: Store | None, *, json: bool, quiet: bool) -> None:
    found = experiment_collection(store, plan) if store is not None else None
    if store is None or found is None or not found.results:
        if json:
            print_json({"experiment": experiment.name, "report": None, "results": []})
        elif store is not None and not quiet:
            errors().print("No run is finished yet, so there is nothing to show.")
        return
    # These load SciPy, and not for --help.
    from adapter_transfer.analysis.page.report import write_report
    from adapter_transfer_cli.answer import print_answer

    path = store.root / experiment.name / "report.html"
    inputs = report_inputs(experiment, plan, found.results, found.runs)
    write_report(path, **inputs, store=store, other_readings=found.other_readings)
    if json:
        results = list(map(result_to_json, found.results))
        print_json({"experiment": experiment.name, "report": str(path), "results": results})
        return
    if not quiet:
        print_answer(experiment, found.results, found.runs, plan.selections, store, inputs["distilled"])
    console().print(f"Report: {path}", soft_wrap=True)
