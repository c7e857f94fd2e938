"""Readers of tables: CSV with quoted fields, and TSV without quoting; the first line names the columns.

Both stream: they hold one row, or `_MOST_BYTES` where they look for the end of one. As in `readers`, faults are told
with their line, and read past where that is possible.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path

from adapter_transfer.tasks.columns import quoted
from adapter_transfer.tasks.readers import numbered_lines
from adapter_transfer.tasks.schema import PlacedRow, RowProblem

_MOST_BYTES = 1 << 20
"""In which a quoted field has to end; beyond, it is taken for one that is not closed."""

_CUT_OFF = "the last line is cut off: "


def read_tsv(path: Path, name: str, columns: Collection[str] | None = None) -> Iterator[PlacedRow | RowProblem]:
    r"""The rows of a table in UTF-8, a line each, fields between tabs; LF or CRLF; blank lines at the end are ignored.

    There is no quoting, as in GLUE's files: a quote is a character like any other (some fields hold one alone).

    Args:
        columns: the names that the first line must give, in any order; None takes what it gives.

    Raises:
        DataError: if the file cannot be read at all.
    """
    header: list[str] | None = None
    blanks: list[int] = []
    for number, line in numbered_lines(path, name):
        place, text = f"{name}:{number}", _without_end(line)
        if header is None:
            header, problem = _header(text.split(b"\t"), columns)
            if problem is not None:
                yield RowProblem(place, problem, ends_file=True)
                return
            continue
        if not text.strip():
            blanks.append(number)
            continue
        yield from (RowProblem(f"{name}:{blank}", "a blank line") for blank in blanks)
        blanks.clear()
        yield _table_row(header, text.split(b"\t"), place, is_cut=not line.endswith(b"\n"))
    if header is None:
        yield _no_header(name)


def read_csv(path: Path, name: str, columns: Collection[str] | None = None) -> Iterator[PlacedRow | RowProblem]:
    """The rows of a CSV file in UTF-8 (RFC 4180), LF or CRLF, each placed at the line where it begins.

    A field in quotes may hold commas, line ends and doubled quotes. A quote that is missing or too many shows where
    text stands before or behind a quoted field, at the latest in the next row that has quotes; it is told of the row in
    which the field began, and reading goes on with the line after that. What is a row and what is the inside of a field
    is then uncertain: such a fault cannot be left out.

    Args:
        columns: the names that the first line must give, in any order; None takes what it gives.

    Raises:
        DataError: if the file cannot be read at all.
    """
    header: list[str] | None = None
    blanks: list[int] = []
    lines = _Lines(numbered_lines(path, name))
    for number, line in lines:
        place, fault = f"{name}:{number}", None
        record = [line]
        try:
            while (fields := _fields(_without_end(b"".join(record)))) is None:
                record += lines.until_quote(_MOST_BYTES - sum(map(len, record)))
        except _MalformedError as error:
            fault = RowProblem(place, str(error), ends_file=True)
            lines.put_back(number + 1, record[1:])
        if header is None:
            header, problem = ([], fault.message) if fault else _header(fields or [], columns)
            if problem is not None:
                yield RowProblem(place, problem, ends_file=True)
                return
            continue
        if not line.strip():
            blanks.append(number)
            continue
        yield from (RowProblem(f"{name}:{blank}", "a blank line") for blank in blanks)
        blanks.clear()
        yield fault or _table_row(header, fields or [], place, is_cut=not record[-1].endswith(b"\n"))
    if header is None:
        yield _no_header(name)


def _no_header(name: str) -> RowProblem:
    return RowProblem(f"{name}:1", "the file is empty; its first line should name the columns", ends_file=True)


def _without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r") if line.endswith(b"\n") else line


def _header(fields: list[bytes], columns: Collection[str] | None) -> tuple[list[str], str | None]:
    """The names of the columns, and what is wrong with them."""
    try:
        names = [field.decode("utf-8") for field in fields]
    except UnicodeDecodeError:
        return [], "the first line, which should name the columns, is not UTF-8"
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    wrong = [f"{quoted(name)} stands twice" for name in repeated]
    if columns is not None:
        wrong += [f"{quoted(name)} is missing" for name in columns if name not in names]
        wrong += [f"{quoted(name)} is unknown" for name in dict.fromkeys(names) if name not in columns]
    return names, f"the first line should name the columns: {'; '.join(wrong)}" if wrong else None


def _table_row(header: list[str], fields: list[bytes], place: str, *, is_cut: bool) -> PlacedRow | RowProblem:
    if len(fields) != len(header):
        cut = _CUT_OFF if is_cut and len(fields) < len(header) else ""
        return RowProblem(place, f"{cut}{len(fields)} fields; the first line names {len(header)} columns")
    row = {}
    for column, field in zip(header, fields, strict=True):
        # No text has one; files that went through a wrong encoding, or were never written to their end, do.
        if b"\0" in field:
            return RowProblem(place, f"column {quoted(column)} holds a NUL byte")
        try:
            row[column] = field.decode("utf-8")
        except UnicodeDecodeError as error:
            cut = _CUT_OFF if is_cut and column == header[-1] else ""
            return RowProblem(place, f"{cut}column {quoted(column)} is not UTF-8 at its byte {error.start + 1}")
    return PlacedRow(row, place)


class _MalformedError(Exception):
    """A record of a CSV file cannot be split into fields."""


# Possessive: a quote that is doubled is never taken for one that closes the field, so there is nothing to try again.
_QUOTED_FIELD = re.compile(rb'"([^"]*+(?:""[^"]*+)*+)"')


def _fields(record: bytes) -> list[bytes] | None:
    """The fields of a record without its line end; None where a quoted field is still open.

    Raises:
        _MalformedError: if there is text beside a quoted field.
    """
    if b'"' not in record:
        return record.split(b",")
    fields: list[bytes] = []
    start = 0
    while True:
        number = len(fields) + 1
        if record.startswith(b'"', start):
            match = _QUOTED_FIELD.match(record, start)
            if match is None:
                return None
            fields.append(match[1].replace(b'""', b'"'))
            end = match.end()
            if end < len(record) and record[end : end + 1] != b",":
                raise _MalformedError(f"text behind the closing quote of field {number}, or the quote is missing")
        else:
            end = record.find(b",", start)
            end = len(record) if end < 0 else end
            fields.append(record[start:end])
            if b'"' in fields[-1]:
                raise _MalformedError(f"a quote inside of field {number}, which does not begin with one")
        if end == len(record):
            return fields
        start = end + 1


class _Lines:
    """Numbered lines, of which some can be put back."""

    def __init__(self, lines: Iterator[tuple[int, bytes]]) -> None:
        self._lines = lines
        self._back: deque[tuple[int, bytes]] = deque()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self

    def __next__(self) -> tuple[int, bytes]:
        return self._back.popleft() if self._back else next(self._lines)

    def put_back(self, first: int, lines: list[bytes]) -> None:
        """Gives lines again, numbered from `first`."""
        self._back.extendleft(reversed(list(enumerate(lines, start=first))))

    def until_quote(self, most: int) -> list[bytes]:
        """Lines up to the next that has a quote; what stands before that cannot end a quoted field.

        Raises:
            _MalformedError: if there is none within `most` bytes; the lines are put back.
        """
        found: list[bytes] = []
        first = 0
        for number, line in self:
            first = first or number
            found.append(line)
            most -= len(line)
            if b'"' in line and most >= 0:
                return found
            if most < 0:
                break
        self.put_back(first, found)
        if most < 0:
            raise _MalformedError(f"a quoted field is not closed within {_MOST_BYTES:,} bytes")
        raise _MalformedError("a quoted field is not closed before the file ends")
