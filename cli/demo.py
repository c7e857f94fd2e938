"""`adapter-transfer demo`: the main job on the embedded sandbox."""

from __future__ import annotations

import typer

from adapter_transfer.experiments.configurations import read_experiment
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.machine import MachineSettings, available_cores
from adapter_transfer.experiments.opening import existing_store
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer_cli import options
from adapter_transfer_cli.compare import run_comparison

_QUICK = ("name=demo-quick", "backbones=[nano]", "seeds=[1]")


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer demo --quick")(demo)


def demo(
    quick: bool = typer.Option(False, "--quick", help="Smallest scale, one seed: shows that the installation works."),
    store: options.StoreDir = options.STORE_DEFAULT,
    workers: int | None = typer.Option(None, min=1, help="Processes side by side. [default: cores, at most 2]"),
    device: options.Device = "cpu",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Run the main job on the embedded sandbox: tiny XLM-R scales, made-up languages, no download.

    Intermediate → target → zero-shot evaluation, full fine-tuning against adapters, across three scales; ends with a
    table and an HTML report. At most 6 minutes on two cores.
    """
    experiment = read_experiment("demo", _QUICK if quick else ())
    # One thread each: two single-thread workers beat one with two threads at this size.
    settings = MachineSettings(device, threads=1, log_level=options.log_level(debug))
    num_workers = workers or min(2, available_cores())
    sources = Sources()
    plan = make_plan(experiment, existing_store(store), sources)
    run_comparison(experiment, plan, store, sources, settings, workers=num_workers, json=json, quiet=quiet, debug=debug)
