"""Readers of published file formats: the rows of a file with the line of each, and what is no row as a problem.

A reader never stops at a fault that it can read past. What the rows must hold is not its business: see `schema`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.columns import kind_of
from adapter_transfer.tasks.schema import PlacedRow, RowProblem

Reader = Callable[[Path, str], Iterator[PlacedRow | RowProblem]]
"""Reads a file, given its path and the name that it has in messages."""


def read_jsonl(path: Path, name: str) -> Iterator[PlacedRow | RowProblem]:
    """The objects of a JSON Lines file in UTF-8, LF or CRLF; blank lines at the end are ignored.

    Raises:
        DataError: if the file cannot be read at all.
    """
    blanks: list[int] = []
    for number, line in numbered_lines(path, name):
        if not line.strip():
            blanks.append(number)
            continue
        yield from (RowProblem(f"{name}:{blank}", "a blank line") for blank in blanks)
        blanks.clear()
        yield _json_row(line, f"{name}:{number}")


def numbered_lines(path: Path, name: str) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, counted from 1, with their ends.

    Only LF ends a line: `str.splitlines` would also split at U+2028 and others that are legal inside JSON strings.

    Raises:
        DataError: if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from enumerate(file, start=1)
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror})") from None


def _json_row(line: bytes, place: str) -> PlacedRow | RowProblem:
    try:
        row = json.loads(line.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        return RowProblem(place, f"{_cut_off(line)}not UTF-8 at byte {error.start + 1} of the line")
    except json.JSONDecodeError as error:
        return RowProblem(place, f"{_cut_off(line)}not JSON ({error.msg}, column {error.colno})")
    except (ValueError, RecursionError) as error:
        return RowProblem(place, f"not JSON that can be used ({error})")
    if not isinstance(row, dict):
        return RowProblem(place, f"expected a JSON object, found {kind_of(row)}")
    return PlacedRow(row, place)


def _cut_off(line: bytes) -> str:
    """Who writes JSON Lines ends each with a line feed: a broken one without is where the file was cut."""
    return "" if line.endswith(b"\n") else "the last line is cut off: "


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; Python would silently keep the last of two values of one key."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{', '.join(map(repr, repeated))} stands twice in an object")
    return fields
