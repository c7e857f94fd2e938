"""`adapter-transfer validate CONFIG`: every problem of a configuration at once."""

from __future__ import annotations

import typer

from adapter_transfer.experiments.plan import make_plan
from adapter_transfer_cli import options
from adapter_transfer_cli.configs import read_experiment
from adapter_transfer_cli.output import console, print_json
from adapter_transfer_cli.progress import cell_title


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer validate configs/demo.yaml")(validate)


def validate(
    config: options.Config,
    overrides: options.Overrides = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Check a configuration and the data that it names; list the cells that cannot be run. Trains nothing."""
    made = make_plan(read_experiment(config, overrides))
    if json:
        print_json({"valid": True, "runs": len(made.runs), "impossible": [vars(cell) for cell in made.impossible]})
        return
    if quiet:
        return
    for cell in made.impossible:
        console().print(f"impossible: {cell_title(cell)}: {cell.reason}", markup=False, soft_wrap=True)
    console().print(f"{config}: valid; {len(made.runs)} runs, {len(made.impossible)} impossible cells")
