"""`adapter-transfer plan CONFIG`: what an experiment would run and what that costs, before anything is trained."""

from __future__ import annotations

from typing import Annotated

import typer

from adapter_transfer.experiments.configurations import read_experiment
from adapter_transfer.experiments.opening import existing_store
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer_cli import options
from adapter_transfer_cli.quantities import parse_bytes, parse_rate
from adapter_transfer_cli.sources import open_sources

Memory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Of the card, for example 8GiB. [default: of the card here]")
]
Rate = Annotated[
    str | None,
    typer.Option(
        metavar="RATE",
        help="How fast it computes, for example 30TFLOP/s; `measure` multiplies matrices here. [default: as finished "
        "trainings in the store]",
    ),
]
MEASURE = "measure"


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer plan demo --memory 8GiB --rate 30TFLOP/s")(plan)


def plan(
    config: options.Config,
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    data_dir: options.DataDir = None,
    on_bad_row: options.OnBadRow = "fail",
    memory: Memory = None,
    rate: Rate = None,
    token_budget: options.TokenBudget = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show the runs of an experiment and what they cost: memory, time, disk, and what to change so that they fit.

    Says what is done, what is to be done, what is impossible and why, and how small a gain it could see. Downloads no
    weights and trains nothing.
    """
    # Loads NumPy and tokenizers, a tenth of a second that no other verb's --help needs.
    from adapter_transfer_cli.plan_costs import Asked, tell

    asked = Asked(
        memory_bytes=None if memory is None else parse_bytes(memory, "--memory"),
        rate=None if rate in (None, MEASURE) else parse_rate(str(rate), "--rate"),
        measures=rate == MEASURE,
        token_budget=token_budget,
        data_dir=data_dir,
    )
    experiment = read_experiment(config, overrides)
    sources = open_sources(config, experiment, store, data_dir, on_bad_row, quiet=quiet or json)
    opened = existing_store(store)
    tell(make_plan(experiment, opened, sources), opened, asked, json=json, quiet=quiet)
