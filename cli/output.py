"""Where output goes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text


class _Console(Console):
    """A console whose reader may go away (`adapter-transfer results | head`): that ends the program, and well."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)


@cache
def console() -> Console:
    """For results; where they go to a file or a pipe, nothing is folded to the width of a screen."""
    plain = _Console(highlight=False)
    return plain if plain.is_terminal else _Console(highlight=False, width=240)


@cache
def errors() -> Console:
    """For progress, notes and errors."""
    return Console(stderr=True, highlight=False)


def tell_wait(doing: str, *, quiet: bool = False) -> None:
    """A line for people at a terminal before some seconds of silence, in which torch is loaded."""
    if not quiet and errors().is_terminal:
        errors().print(f"{doing} …", markup=False, style="dim")


def configure_logs(debug: bool) -> None:
    """Logs to standard error: warnings, or with --debug everything of ours."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("adapter_transfer").setLevel(logging.DEBUG if debug else logging.NOTSET)


def printable(text: str) -> str:
    """`text` without the control and direction characters that could act on a terminal; line ends stay."""
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)


def print_json(value: Any) -> None:
    """One JSON document on standard output, and nothing else there."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    notes: Sequence[str] = (),
    numeric: Sequence[bool] = (),
    droppable: Collection[str] = (),
) -> None:
    """A table on standard output, with notes below. Names and numbers are never cut; only prose is wrapped.

    On a screen that is too narrow, columns that say the same in every row become a note, then `droppable` ones go.

    Args:
        numeric: for each column, whether it holds numbers and is set flush right; empty sets all flush left.
        droppable: headers of columns that follow from others.
    """
    columns: list[Column] = [
        (header, [row[index] for row in rows], bool(numeric) and numeric[index]) for index, header in enumerate(headers)
    ]
    width, notes = console().width, list(notes)
    if _width(columns) > width and len(rows) > 1:
        same = [
            f"{header}: {cells[0] or '–'}" if header else cells[0] for header, cells, _ in columns if _is_one(cells)
        ]
        columns = [column for column in columns if not _is_one(column[1])]
        notes = [f"In every row: {' · '.join(same)}.", *notes] if same else notes
    if _width(columns) > width:
        columns = [column for column in columns if column[0] not in droppable]
    # What is still too wide runs over the edge, where the terminal wraps it.
    fits = _width(columns) <= width
    (console() if fits else _Console(highlight=False, width=_width(columns))).print(_table(title, columns))
    for note in notes:
        console().print(note, style="dim", markup=False)


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    lines = [headers, ["---"] * len(headers), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


_PROSE_WIDTH = 24
_GAP = 2

Column = tuple[str, Sequence[str], bool]
"""Header, cells, and whether they are numbers."""


def _is_one(cells: Sequence[str]) -> bool:
    return len(set(cells)) == 1


def _is_prose(cells: Sequence[str]) -> bool:
    return any(cell.count(" ") > 3 for cell in cells)


def _table(title: str, columns: Sequence[Column]) -> Table:
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for header, cells, is_number in columns:
        justify: JustifyMethod = "right" if is_number else "left"
        least = _least_width((header, cells, is_number))
        table.add_column(header, justify=justify, no_wrap=not _is_prose(cells), min_width=least)
    for row in zip(*(cells for _, cells, _ in columns), strict=True):
        table.add_row(*(Text(cell) for cell in row))
    return table


def _least_width(column: Column) -> int:
    """The least width at which no name or number of a column is cut."""
    header, cells, _ = column
    return _PROSE_WIDTH if _is_prose(cells) else max(map(cell_len, [header, *cells]))


def _width(columns: Sequence[Column]) -> int:
    """The least width at which nothing of a table is cut.

    One more than is drawn: with exactly so much room, rich cuts the last letter of lines in a last column of prose.
    """
    return sum(map(_least_width, columns)) + _GAP * (len(columns) - 1) + 1
