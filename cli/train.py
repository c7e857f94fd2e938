"""`adapter-transfer train`: one phase with one seed."""

from __future__ import annotations

import typer

from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import Plan, make_plan
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli import options
from adapter_transfer_cli.configs import read_experiment
from adapter_transfer_cli.execution import run_plan
from adapter_transfer_cli.output import console, print_json


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Example: adapter-transfer train demo --backbone micro --method seq_bn --intermediate next-event"
    )(train)


def train(
    config: options.Config,
    backbone: str = typer.Option(..., help="The scale (one of the configuration's, or any other)."),
    method: str = typer.Option(..., help="The method."),
    intermediate: str = typer.Option("none", help="The intermediate task, or none."),
    phase: str = typer.Option("target", help="Train the `intermediate` alone, or go on to the `target`."),
    seed: int = typer.Option(1, min=0, help="The run seed."),
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
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

    The run is the same as in `compare`, and is shared with it. Prints the run's id, which `evaluate` takes.
    """
    if phase not in ("intermediate", "target"):
        raise ConfigError(f"--phase {phase!r}: allowed are intermediate and target")
    if phase == "intermediate" and intermediate == "none":
        raise ConfigError("--phase intermediate needs a task: give one with --intermediate")
    opened = Store.open(store)
    single = [f"backbones=[{backbone}]", f"intermediates=[{intermediate}]", f"seeds=[{seed}]"]
    experiment = read_experiment(config, [*(overrides or ()), *single])
    chosen = [choice for choice in experiment.methods if choice.name == method]
    if not chosen:
        names = ", ".join(choice.name for choice in experiment.methods)
        raise ConfigError(f"--method {method!r} is not in {config}; it has {names}. Add it with --set methods=[…].")
    made = make_plan(experiment.model_copy(update={"methods": tuple(chosen)}), opened)
    phases = ("intermediate",) if phase == "intermediate" else ("intermediate", "target")
    wanted = Plan(made.name, tuple(run for run in made.runs if run.spec.phase in phases), made.impossible)
    settings = MachineSettings(device, threads, token_budget, checkpoint_steps, tuple(tracker or ()))
    run_plan(wanted, opened, settings, workers=1, quiet=quiet or json, debug=debug)
    for run in wanted.runs:
        if run.spec.phase == phase:
            _show(opened, run.spec.id, json)


def _show(store: Store, run_id: str, json: bool) -> None:
    stored = store.read(run_id)
    metrics = stored.metrics or {}
    if json:
        print_json(
            {"id": run_id, "path": str(stored.path), "description": stored.run["description"], "metrics": metrics}
        )
        return
    accuracy = metrics.get("validation_accuracy")
    shown = f"{accuracy:.1%}" if isinstance(accuracy, float) else "unknown"
    details = f"n = {metrics.get('num_validation')}, chance {metrics.get('chance'):.0%}"
    console().print(f"{run_id}: validation accuracy {shown} ({details})")
    console().print(f"artifact: {stored.path / 'artifact'}", soft_wrap=True)
