"""What accuracy costs in trained parameters: full fine-tuning beside adapters, a row a cell."""

from __future__ import annotations

import statistics

from adapter_transfer.analysis.formats import (
    MISSING,
    accuracy_text,
    intermediate_text,
    parameters_text,
    seconds_text,
    set_title,
)
from adapter_transfer.analysis.summaries import Cell, Summary
from adapter_transfer.analysis.tables import SPREAD_NOTE, Entry, Table
from adapter_transfer.sharing.references import is_hub_adapter

_MILLION = 1e6
_PULLED_NOTE = (
    "What it cost to train an adapter that was pulled from the Hub (hub:…) is not counted: it was not trained here. "
    "Time of one that was evaluated alone is that of taking it over."
)


def efficiency_table(summary: Summary, target: str) -> Table:
    """Accuracy, what was trained for it and for how long, and the points above chance that a million of them bring."""
    main = summary.main_set(target)
    cells = [cell for cell in summary.cells_of(target) if summary.results_of(cell)]
    title = f"Full fine-tuning against adapters on {target}"
    if main is None or not cells:
        return Table(title, (), ())
    rows = []
    for cell in cells:
        accuracy = summary.accuracy(cell, main)
        rows.append(
            (
                Entry(cell.backbone, tone="name"),
                Entry(cell.precision),
                Entry(cell.method),
                Entry(intermediate_text(cell)),
                Entry(accuracy_text(accuracy), 100 * accuracy.mean) if accuracy.mean is not None else _missing(),
                *_costs(summary, cell, accuracy.mean),
            )
        )
    headers = (
        *("scale", "precision", "method", "intermediate", set_title(main)),
        *("trained parameters", "share of backbone, %", "points above chance per million", "training time, mean"),
    )
    is_pulled = any(is_hub_adapter(cell.intermediate) for cell in cells)
    notes = (
        "Trained parameters and training time are those of the target phase (of the intermediate, where it was "
        "evaluated alone), the head included, so that full fine-tuning comes to a little over 100 %. Time depends on "
        "the machine and its load.",
        "Points above chance per million: accuracy minus chance, in points, divided by millions of trained parameters.",
        *([_PULLED_NOTE] if is_pulled else []),
        SPREAD_NOTE,
    )
    return Table(title, headers, tuple(rows), notes)


def _costs(summary: Summary, cell: Cell, accuracy: float | None) -> tuple[Entry, ...]:
    results = summary.results_of(cell)
    trained = {result.trained_parameters for result in results}
    number = next(iter(trained))
    share = number / results[0].total_parameters
    seconds = statistics.fmean({result.target_run: result.train_seconds for result in results}.values())
    chances = summary.chances(cell)
    # Seeds of one cell that trained different numbers have no one price; each is named instead.
    is_one = len(trained) == 1 and len(chances) == 1 and number > 0
    above = accuracy - min(chances) if accuracy is not None and is_one else None
    price = above / (number / _MILLION) if above is not None else None
    return (
        Entry(" / ".join(parameters_text(each) for each in sorted(trained)), float(min(trained))),
        Entry(f"{100 * share:.1f}", 100 * share) if len(trained) == 1 else _missing(),
        Entry(f"{100 * price:,.2f}", 100 * price) if price is not None else _missing(),
        Entry(seconds_text(seconds), seconds),
    )


def _missing() -> Entry:
    return Entry(MISSING, None, "missing")
