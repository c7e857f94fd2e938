"""Where output goes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from rich.console import Console
from rich.table import Table


@cache
def console() -> Console:
    """For results."""
    return Console(highlight=False)


@cache
def errors() -> Console:
    """For progress, notes and errors."""
    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output, and nothing else there."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "", notes: Sequence[str] = ()
) -> None:
    """A table; what is a number stands right."""
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for index, header in enumerate(headers):
        cells = [row[index] for row in rows]
        is_number = bool(cells) and all(cell[:1].isdigit() or cell[:1] in "+-−–" for cell in cells)
        table.add_column(header, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)
    for note in notes:
        console().print(note, style="dim", markup=False)
