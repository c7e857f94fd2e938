"""`adapter-transfer validate CONFIG`: every problem of a configuration at once."""

from __future__ import annotations

import typer

from adapter_transfer.experiments.configurations import read_experiment
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, print_json
from adapter_transfer_cli.progress import cell_title, print_notes
from adapter_transfer_cli.sources import open_sources


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer validate configs/demo.yaml")(validate)


def validate(
    config: options.Config,
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    data_dir: options.DataDir = None,
    on_bad_row: options.OnBadRow = "fail",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Check a configuration and the data that it names; list the cells that cannot be run. Trains nothing."""
    experiment = read_experiment(config, overrides)
    sources = open_sources(config, experiment, store, data_dir, on_bad_row, quiet=quiet or json)
    made = make_plan(experiment, sources=sources)
    if json:
        cells = [vars(cell) for cell in made.impossible]
        counts = {"runs": len(made.runs), "pending_runs": made.num_pending}
        print_json({"valid": True, **counts, "impossible": cells, "notes": made.notes, "warnings": made.warnings})
        return
    if quiet:
        return
    for cell in made.impossible:
        console().print(f"impossible: {cell_title(cell)}: {cell.reason}", markup=False, soft_wrap=True)
    pending = f", {made.num_pending} more after the search" if made.num_pending else ""
    console().print(f"{config}: valid; {len(made.runs)} runs{pending}, {len(made.impossible)} impossible cells")
    print_notes(made)
