"""Where the rows of a task come from, and how they are read: one record at a time, with the file and line of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from adapter_transfer.errors import DataError

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A row and where it stands, for messages that help."""

    row: Row
    place: str


class Source(Protocol):
    """Where one task's splits are read from."""

    def rows(self, split: str, language: str) -> Iterator[PlacedRow]:
        """The rows of a split in one language, in their published order."""

    def describe(self) -> str:
        """One line for people: what is read, and from where."""


@dataclass(frozen=True)
class PackageFiles:
    """JSONL files that travel with this package.

    Attributes:
        pattern: path inside the package with `{split}` and `{language}` in it.
    """

    pattern: str

    def rows(self, split: str, language: str) -> Iterator[PlacedRow]:
        relative = self.pattern.format(split=split, language=language)
        path = Path(str(files("adapter_transfer"))) / relative
        return read_jsonl(path)

    def describe(self) -> str:
        return f"package data ({self.pattern})"


def read_jsonl(path: Path) -> Iterator[PlacedRow]:
    """The objects of a JSON Lines file in UTF-8, with `file:line` of each; blank lines at the end are ignored.

    Raises:
        DataError: naming file and line, if the file is missing, a line is no JSON object or the text is not UTF-8.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    # Not `splitlines`, which also splits at U+2028 and other characters that are legal inside JSON strings.
    for number, line in enumerate(raw.rstrip(b"\r\n").split(b"\n"), start=1):
        place = f"{path}:{number}"
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(f"{place}: not UTF-8 at byte {error.start} of the line") from None
        except json.JSONDecodeError as error:
            raise DataError(f"{place}: not JSON ({error.msg}, column {error.colno})") from None
        if not isinstance(row, dict):
            raise DataError(f"{place}: expected a JSON object, found {type(row).__name__}")
        yield PlacedRow(row, place)
