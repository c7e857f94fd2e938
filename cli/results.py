"""`adapter-transfer results`: accuracies, a row for each run and language, or for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from adapter_transfer.analysis.degenerate import degenerate_reason
from adapter_transfer.analysis.summaries import TRAINING_LANGUAGE, count
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.configurations import read_experiment
from adapter_transfer.experiments.filters import chosen_results
from adapter_transfer.experiments.opening import existing_store
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import Result, read_results, without_repeats
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli import options
from adapter_transfer_cli.output import errors, print_json, print_table
from adapter_transfer_cli.result_rows import NUMERIC, By, Row, cell_rows, column_order, in_order, run_rows
from adapter_transfer_cli.sources import open_sources


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer results demo --language qa --sort -accuracy --limit 5")(results)


def results(
    config: str | None = typer.Argument(None, help="Only the results of this configuration."),
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    data_dir: options.DataDir = None,
    on_bad_row: options.OnBadRow = "fail",
    backbone: list[str] | None = typer.Option(None, help="Only this backbone; like all filters, may be repeated."),
    precision: list[str] | None = typer.Option(None, help="Only this precision."),
    method: list[str] | None = typer.Option(None, help="Only this method."),
    composition: list[str] | None = typer.Option(None, help="Only this composition; none is without intermediate."),
    intermediate: list[str] | None = typer.Option(None, help="Only this intermediate; none is the baseline."),
    target: list[str] | None = typer.Option(None, help="Only this target task."),
    language: list[str] | None = typer.Option(None, help="Only this language or set of languages."),
    seed: list[int] | None = typer.Option(None, min=0, help="Only this seed."),
    min_accuracy: float | None = typer.Option(
        None, min=0, max=100, help="Only rows with at least this accuracy, in %."
    ),
    max_accuracy: float | None = typer.Option(None, min=0, max=100, help="Only rows with at most this accuracy, in %."),
    degenerate: bool | None = typer.Option(
        None,
        "--degenerate/--no-degenerate",
        help="Only runs that learned nothing by their English items, or all but those. [default: both]",
    ),
    by: By = typer.Option("run", help="A row a run and language, or a cell and set of languages."),
    sort: list[str] | None = typer.Option(
        None, metavar="COLUMN", help="Order by a shown column, -COLUMN from high to low; may be repeated."
    ),
    limit: int | None = typer.Option(None, min=1, help="At most so many rows."),
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Print the accuracy of every evaluated run in every language, with the number of items and chance.

    With --by cell, the mean and standard deviation over the seeds of each cell, averaged over languages.
    """
    named = {
        "backbone": backbone,
        "precision": precision,
        "method": method,
        "composition": composition,
        "intermediate": intermediate,
        "target": target,
    }
    options.require_config(config, overrides)
    order = column_order(sort or (), by=by)
    if min_accuracy is not None and max_accuracy is not None and min_accuracy > max_accuracy:
        raise ConfigError(f"no accuracy is at least {min_accuracy:g} % and at most {max_accuracy:g} %")
    experiment = None if config is None else read_experiment(config, overrides)
    existing = existing_store(store)
    there = read_results(existing) if existing is not None else []
    found = chosen_results(there, named, language or (), seed or ())
    opened = Store.open(store, create=False)  # says that there is none, after what is wrong with the call
    if config is not None and experiment is not None:
        sources = open_sources(config, experiment, store, data_dir, on_bad_row, quiet=quiet or json)
        ids = {run.spec.id for run in make_plan(experiment, opened, sources).runs}
        found = [result for result in found if result.run in ids]
    if degenerate is not None:
        # Judged before any filter: the English items of a run tell, whatever languages are shown.
        failed = _degenerate_runs(there)
        found = [result for result in found if (result.target_run in failed) == degenerate]
    rows, notes = cell_rows(found) if by == "cell" else (run_rows(without_repeats(found)), ())
    rows = [row for row in rows if _is_between(row.accuracy, min_accuracy, max_accuracy)]
    _show(in_order(rows, order)[:limit], len(rows), notes, store, json=json, quiet=quiet)


def _show(rows: Sequence[Row], num_found: int, notes: Sequence[str], store: Path, *, json: bool, quiet: bool) -> None:
    if json:
        print_json([row.record for row in rows])
        return
    if not rows:
        if not quiet:
            for line in (f"No results in {store} match.", *notes):
                errors().print(line, markup=False, soft_wrap=True)
        return
    cut = [f"{len(rows)} of {count(num_found, 'row')}; --limit N shows more."] if len(rows) < num_found else []
    headers = list(rows[0].cells)
    numeric = [header in NUMERIC for header in headers]
    print_table(
        headers, [list(row.cells.values()) for row in rows], numeric=numeric, notes=() if quiet else [*notes, *cut]
    )


def _degenerate_runs(there: Sequence[Result]) -> set[str]:
    """Ids of the target runs that their English items give away; one without such items cannot be judged."""
    english = (result for result in there if result.language == TRAINING_LANGUAGE)
    return {result.target_run for result in english if degenerate_reason(result) is not None}


def _is_between(accuracy: float | None, least: float | None, most: float | None) -> bool:
    """Whether a row's accuracy is within bounds in percent; one that has none is within no bounds."""
    if accuracy is None:
        return least is None and most is None
    # 62.2 % of 500 is 311 right answers, whatever the last bit of 62.2 / 100 is.
    share = round(100 * accuracy, 9)
    return (least is None or share >= least) and (most is None or share <= most)
