"""Parquet files, as the Hub keeps data sets; rows are counted from 1. Owns `datasets`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapter_transfer.tasks.schema import PlacedRow, RowProblem

_BATCH_ROWS = 1000


def read_parquet(path: Path, name: str) -> Iterator[PlacedRow | RowProblem]:
    """The rows of a parquet file; where it cannot be read on, a problem ends them."""
    # Loading takes seconds and is needed for data of the Hub only.
    import datasets

    # Streamed: nothing is converted and cached a second time, and no progress bar is drawn.
    number = 0
    try:
        rows = datasets.load_dataset("parquet", data_files=str(path), split="train", streaming=True)
        for batch in rows.with_format("arrow").iter(_BATCH_ROWS):
            for row in _arrow_rows(batch):
                number += 1
                place = f"{name}: row {number}"
                yield RowProblem(place, row) if isinstance(row, str) else PlacedRow(row, place)
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"cannot be read on ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else '–'})"
        yield RowProblem(f"{name}: row {number + 1}", message, ends_file=True)


def _arrow_rows(batch: Any) -> Iterator[dict[str, Any] | str]:
    """The rows of an Arrow table; in place of one that cannot be decoded, what is wrong with it."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(len(batch)):
            try:
                yield from batch.slice(index, 1).to_pylist()
            except UnicodeDecodeError as error:
                yield f"not UTF-8 ({error.reason} at byte {error.start + 1} of a text)"
