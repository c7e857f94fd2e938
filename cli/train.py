"""`adapter-transfer train`: one phase with one seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from adapter_transfer.experiments.adopted import Adopted
from adapter_transfer.experiments.configurations import read_experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.opening import existing_store
from adapter_transfer.experiments.store import Store
from adapter_transfer.training.settings import Phase
from adapter_transfer_cli import options
from adapter_transfer_cli.choice import RunChoice, chosen_plan
from adapter_transfer_cli.execution import run_plan
from adapter_transfer_cli.output import console, print_json
from adapter_transfer_cli.sources import keep_lock, open_sources


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Example: adapter-transfer train demo --backbone micro --method seq_bn --intermediate next-event"
    )(train)


def train(
    config: options.Config,
    backbone: str = typer.Option(..., help="The scale, one of the configuration's."),
    method: str = typer.Option(..., help="The method, one of the configuration's."),
    intermediate: str = typer.Option("none", help="The intermediate task, one of the configuration's, or none."),
    phase: Phase = typer.Option("target", help="Train the `intermediate` alone, or go on to the `target`."),
    seed: int = typer.Option(1, min=0, help="The run seed, one of the configuration's."),
    precision: str | None = typer.Option(None, help="The precision, where the configuration has several."),
    composition: str | None = typer.Option(None, help="The composition, where the configuration has several."),
    target: str | None = typer.Option(None, help="The target that a control adds. [default: the configuration's own]"),
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    data_dir: options.DataDir = None,
    on_bad_row: options.OnBadRow = "fail",
    device: options.Device = "auto",
    threads: options.Threads = None,
    token_budget: options.TokenBudget = options.MACHINE.token_budget,
    checkpoint_steps: options.CheckpointSteps = options.MACHINE.checkpoint_steps,
    tracker: options.Trackers = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train one phase of a configuration with one seed (and the intermediate that it stands on, if that is not done).

    The run is one of those that `plan` lists for the configuration, and is shared with `compare`. Prints the run's id,
    which `evaluate` takes.
    """
    wanted = RunChoice(phase, backbone, method, intermediate, seed, precision, composition, target)
    experiment = read_experiment(config, overrides)
    sources = open_sources(config, experiment, store, data_dir, on_bad_row, quiet=quiet or json)
    plan = chosen_plan(experiment, existing_store(store), sources, wanted)
    keep_lock(sources, config, experiment, store, quiet=quiet or json)
    trackers, log_level = tuple(tracker or ()), options.log_level(debug)
    settings = MachineSettings(device, threads, token_budget, checkpoint_steps, trackers, log_level, data_dir)
    opened = run_plan(plan, store, settings, workers=1, quiet=quiet or json, debug=debug)
    _show(opened, plan.runs[-1].spec.id, json)


def _show(store: Store, run_id: str, json: bool) -> None:
    stored = store.read(run_id)
    metrics = stored.metrics or {}
    if json:
        print_json(
            {"id": run_id, "path": str(stored.path), "description": stored.run["description"], "metrics": metrics}
        )
        return
    console().print(f"{run_id}: {_validation(metrics)}")
    console().print(f"artifact: {stored.path / 'artifact'}", soft_wrap=True)


def _validation(metrics: Mapping[str, Any]) -> str:
    """How the run did on English validation items, in words."""
    adopted = metrics.get("adopted")
    if adopted is not None:
        return f"pulled from {Adopted.from_json(adopted).origin}; nothing was trained"
    # Runs of earlier versions know accuracy only.
    score = metrics.get("validation_score", metrics.get("validation_accuracy"))
    shown = f"{score:.1%}" if isinstance(score, float) else "unknown"
    chance = metrics.get("chance")
    beside = f", chance {chance:.0%}" if isinstance(chance, float) else ""
    metric = metrics.get("validation_metric", "accuracy").replace("_", " ")
    return f"validation {metric} {shown} (n = {metrics.get('num_validation')}{beside})"
