"""Two published splits of one: for trials with one file of a task, where the other is not at hand.

A configuration names them with `splits`; nothing falls back to them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from adapter_transfer.tasks.schema import Row
from adapter_transfer.tasks.sources import Part


def fifths(part: Part, column: str) -> tuple[Part, Part]:
    """`<published>-four-fifths` and `<published>-fifth` of a split's files, about as large as they say.

    Rows with the same text in `column` stay together, so that nothing that is validated on was trained on. Which part a
    text belongs to is told by its SHA-256 alone, whatever else is in the file.
    """

    def of(name: str, elsewhere: Callable[[Row], bool]) -> Part:
        files = tuple(replace(layout, elsewhere=elsewhere) for layout in part.files)
        whole = (part.published, *part.drawn_from)
        return Part(f"{part.published}-{name}", part.languages, files=files, drawn_from=whole)

    # A row without such a text is faulty; both parts tell.
    four = of("four-fifths", lambda row: isinstance(row.get(column), str) and _is_in_fifth(row[column]))
    one = of("fifth", lambda row: isinstance(row.get(column), str) and not _is_in_fifth(row[column]))
    return four, one


def _is_in_fifth(text: str) -> bool:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] % 5 == 0
