"""Where output goes: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from rich.console import Console
from rich.table import Table


@cache
def console() -> Console:
    """For results; where they go to a file or a pipe, nothing is folded to the width of a screen."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=240)


@cache
def errors() -> Console:
    """For progress, notes and errors."""
    return Console(stderr=True, highlight=False)


def configure_logs(debug: bool) -> None:
    """Logs to standard error: warnings, or with --debug everything of ours."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("adapter_transfer").setLevel(logging.DEBUG if debug else logging.NOTSET)


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
) -> None:
    """A table on standard output, with notes below.

    Args:
        numeric: for each column, whether it holds numbers and is set flush right; empty sets all flush left.
    """
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for index, (header, is_number) in enumerate(zip(headers, numeric or [False] * len(headers), strict=True)):
        # Names and numbers stay whole; only prose is wrapped.
        is_prose = any(cell.count(" ") > 3 for cell in (row[index] for row in rows))
        table.add_column(header, justify="right" if is_number else "left", no_wrap=not is_prose)
    for row in rows:
        table.add_row(*row)
    console().print(table)
    for note in notes:
        console().print(note, style="dim", markup=False)
