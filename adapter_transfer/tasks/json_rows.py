"""One JSON object whose values are rows, `{"0": {…}, "1": {…}}`, read as a stream: a row at a time, with its line."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.columns import kind_of, quoted
from adapter_transfer.tasks.schema import PlacedRow, RowProblem

_CHUNK_BYTES = 1 << 16
_MOST_CHARACTERS = 1 << 20
"""In which a value has to end; beyond, it is taken for one that is not closed."""


def read_json_rows(path: Path, name: str, key_column: str = "key") -> Iterator[PlacedRow | RowProblem]:
    """The objects inside of one JSON object in UTF-8, each placed at the line of its key, which becomes a column.

    A fault of the file's structure (a value that is no JSON, a comma too few, an end too early) ends it: what follows
    cannot be told from the inside of the faulty row.

    Raises:
        DataError: if the file cannot be read at all.
    """
    scanner = _Scanner(_read_text(path, name))
    lines: dict[str, int] = {}
    try:
        scanner.expect("{")
        more = not scanner.accept("}")
        while more:
            line = scanner.next_line()
            place = f"{name}:{line}"
            key, wrong = scanner.value()
            if not isinstance(key, str):
                raise _BrokenError(line, f"expected the key of a row, found {kind_of(key)}")
            scanner.expect(":")
            row, more_wrong = scanner.value()
            wrong += more_wrong
            if not isinstance(row, dict):
                wrong.append(f"expected a JSON object, found {kind_of(row)}")
            elif key_column in row:
                wrong.append(f"column {key_column!r} is unknown")
            if key in lines:
                wrong.append(f"the key {quoted(key)} stands already in line {lines[key]}")
            lines.setdefault(key, line)
            yield RowProblem(place, "; ".join(wrong)) if wrong else PlacedRow({key_column: key, **row}, place)
            more = not scanner.accept("}")
            if more:
                scanner.expect(",")
        scanner.expect_end()
    except _BrokenError as error:
        yield RowProblem(f"{name}:{error.line}", error.message, ends_file=True)


def _read_text(path: Path, name: str) -> Iterator[str]:
    """The text of a file in chunks; bytes that are no UTF-8 become U+DC80 to U+DCFF, which UTF-8 cannot hold."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror})") from None


_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_BLANKS = re.compile(r"[ \t\r\n]*")


class _BrokenError(Exception):
    """The file cannot be read on; `line` is where."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(line, message)
        self.line, self.message = line, message


class _Scanner:
    """Reads JSON from chunks of text, one token or value after the other."""

    def __init__(self, chunks: Iterator[str]) -> None:
        self._chunks = chunks
        self._text, self._at, self._line = "", 0, 1
        self._is_whole = False  # whether all of the file was taken
        self._repeated: list[str] = []
        self._decoder = json.JSONDecoder(object_pairs_hook=self._fields)

    def next_line(self) -> int:
        """The line of what comes next, blanks passed over."""
        while True:
            match = _BLANKS.match(self._text, self._at)
            assert match is not None
            self._go_to(match.end())
            if self._at < len(self._text) or not self._take():
                return self._line

    def accept(self, token: str) -> bool:
        """Whether this character comes next; if so, it is passed over."""
        self.next_line()
        found = self._text.startswith(token, self._at)
        if found:
            self._go_to(self._at + 1)
        return found

    def expect(self, token: str) -> None:
        """Passes over a character that has to come next."""
        if not self.accept(token):
            raise _BrokenError(self._line, f"expected {token!r}, found {self._found()}")

    def expect_end(self) -> None:
        """Makes sure that nothing comes any more."""
        line = self.next_line()
        if self._at < len(self._text):
            raise _BrokenError(line, f"expected the end of the file, found {self._found()}")

    def value(self) -> tuple[Any, list[str]]:
        """The value that comes next, and what is wrong with it though it can be read past."""
        line = self.next_line()
        while True:
            self._repeated.clear()
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > _MOST_CHARACTERS:
                    raise _BrokenError(
                        line, f"not JSON, or not closed within {_MOST_CHARACTERS:,} characters"
                    ) from None
                if not self._take():
                    inside = self._text.count("\n", self._at, error.pos)
                    what = f"not JSON ({error.msg}, line {line + inside})" if self._at < len(self._text) else ""
                    raise _BrokenError(line, what or f"expected a value, found {self._found()}") from None
            except (ValueError, RecursionError) as error:
                raise _BrokenError(line, f"not JSON that can be used ({error})") from None
            else:
                # A number may go on in the next chunk.
                if end < len(self._text) or not self._take():
                    break
        bad = _NOT_UTF8.search(self._text, self._at, end)
        wrong = [f"{quoted(name)} stands twice in an object" for name in dict.fromkeys(self._repeated)]
        if bad is not None:
            inside = self._text.count("\n", self._at, bad.start())
            wrong.append(f"not UTF-8 in line {line + inside}")
        self._go_to(end)
        return value, wrong

    def _fields(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """A JSON object; of two values of one key Python would silently keep the last."""
        fields = dict(pairs)
        if len(fields) < len(pairs):
            names = [name for name, _ in pairs]
            self._repeated += [name for name in names if names.count(name) > 1]
        return fields

    def _found(self) -> str:
        return quoted(self._text[self._at]) if self._at < len(self._text) else "the end of the file, which is cut off"

    def _go_to(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _take(self) -> bool:
        """Appends the next chunk and drops what was passed over; whether there was one."""
        while not self._is_whole:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._is_whole = True
            elif chunk:
                self._text, self._at = self._text[self._at :] + chunk, 0
                return True
        return False
