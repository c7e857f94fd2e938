"""`adapter-transfer results`: accuracies, a row for each run and language."""

from __future__ import annotations

import typer

from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import Result, read_results, result_to_json
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli import options
from adapter_transfer_cli.configs import read_experiment
from adapter_transfer_cli.output import console, print_json, print_table

_COLUMNS = ("backbone", "precision", "method", "composition", "intermediate", "target", "language")


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer results demo --language qa --json")(results)


def results(
    config: str | None = typer.Argument(None, help="Only the results of this configuration."),
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    backbone: str | None = typer.Option(None, help="Only this backbone."),
    method: str | None = typer.Option(None, help="Only this method."),
    intermediate: str | None = typer.Option(None, help="Only this intermediate."),
    language: str | None = typer.Option(None, help="Only this language."),
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Print the accuracy of every evaluated run in every language, with the number of items and chance."""
    opened = Store.open(store, create=False)
    found = read_results(opened)
    if config is not None:
        ids = {run.spec.id for run in make_plan(read_experiment(config, overrides), opened).runs}
        found = [result for result in found if result.run in ids]
    wanted = {"backbone": backbone, "method": method, "intermediate": intermediate, "language": language}
    found = [r for r in found if all(value is None or getattr(r, key) == value for key, value in wanted.items())]
    if json:
        print_json([result_to_json(result) for result in found])
        return
    if not found:
        console().print(f"no results in {store} that match")
        return
    print_table([*_COLUMNS, "seed", "accuracy", "n", "chance", "run"], [_cells(result) for result in found])


def _cells(result: Result) -> list[str]:
    named = [str(getattr(result, column)) for column in _COLUMNS]
    numbers = [str(result.seed), f"{result.accuracy:.1%}", str(result.num_items), f"{result.chance:.0%}"]
    return [*named, *numbers, result.run[:12]]
