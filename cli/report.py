"""`adapter-transfer report CONFIG`: the HTML report from what the store holds; trains nothing."""

from __future__ import annotations

from pathlib import Path

import typer

from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli import options
from adapter_transfer_cli.configs import read_experiment
from adapter_transfer_cli.output import console, print_json
from adapter_transfer_cli.sources import open_sources
from adapter_transfer_cli.summary import experiment_records, report_inputs


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer report demo --output report.html")(report)


def report(
    config: options.Config,
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    data_dir: options.DataDir = None,
    on_bad_row: options.OnBadRow = "fail",
    output: Path | None = typer.Option(None, "--output", "-o", help="File to write. [default: STORE/NAME/report.html]"),
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write the report of an experiment as one self-contained HTML file. Also for experiments that are not finished."""
    from adapter_transfer.analysis.report import write_report  # loads altair: most of a second, and not for --help

    experiment = read_experiment(config, overrides)
    opened = Store.open(store, create=False)
    path = output or store / experiment.name / "report.html"
    plan = make_plan(
        experiment, opened, open_sources(config, experiment, store, data_dir, on_bad_row, quiet=quiet or json)
    )
    write_report(path, **report_inputs(experiment, plan, *experiment_records(opened, plan)))
    if json:
        print_json({"report": str(path)})
    elif not quiet:
        console().print(f"Report: {path}", soft_wrap=True)
