"""XML files of items, as COPA is published: attributes and child elements of each `<item>` are the columns of a row.

Parsed by expat, which knows the line of everything. Nothing outside the file is read: the DTD that COPA names is not
fetched (expat reads neither that nor parameter entities unless it is told to), and a file that declares entities of its
own (the way to blow up a parser) is refused. Nor does a DTD inside the file add to the items.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.schema import PlacedRow, RowProblem

_CHUNK_BYTES = 1 << 16


def read_xml_items(path: Path, name: str) -> Iterator[PlacedRow | RowProblem]:
    """A row for each `<item>` of the root element, placed at the line where it begins.

    Outer blanks of a text are layout and are stripped (four of COPA's have stray ones); inside, texts are as they are.
    Whatever has no place in such a file (an element in a text, a text between elements, an element that stands twice)
    is a problem of its item. A file that is not well-formed ends there.

    Raises:
        DataError: if the file cannot be read at all.
    """
    items = _Items(name)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                items.parser.Parse(chunk, False)
                yield from items.take()
            items.parser.Parse(b"", True)
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror})") from None
    except expat.ExpatError as error:
        yield from items.take()
        reason = expat.ErrorString(error.code)
        yield RowProblem(f"{name}:{error.lineno}", f"not XML ({reason}, column {error.offset + 1})", ends_file=True)
    except _EntityDeclared as error:
        yield from items.take()
        yield RowProblem(f"{name}:{error.line}", "declares an entity, which is not allowed", ends_file=True)
    else:
        yield from items.take()


class _EntityDeclared(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Items:
    """What expat calls: collects one item after the other.

    The depth of an element is the number of those around it: 0 the root, 1 an item, 2 one of its columns.
    """

    def __init__(self, name: str) -> None:
        self.parser = expat.ParserCreate()
        # A default of the DTD would stand in for a label that is missing.
        self.parser.specified_attributes = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = self._entity_declared
        # Where a DTD is named and not read, expat leaves out entities that it does not know, and says so only here.
        self.parser.SkippedEntityHandler = self._entity_skipped
        self._name = name
        self._found: list[PlacedRow | RowProblem] = []
        self._depth = 0
        self._row: dict[str, str] = {}
        self._line = 0
        self._wrong: list[str] = []
        self._texts: list[str] = []

    def take(self) -> list[PlacedRow | RowProblem]:
        """What was collected since the last call."""
        found, self._found = self._found, []
        return found

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth == 1:
            self._line, self._row, self._texts = self.parser.CurrentLineNumber, dict(attributes), []
            self._wrong = [] if tag == "item" else [f"expected <item>, found <{tag}>"]
        elif self._depth == 2:
            self._no_text_between()
            if tag in self._row:
                self._wrong.append(f"<{tag}> stands twice")
            self._wrong += [f"<{tag}> has an unknown attribute {key!r}" for key in attributes]
        elif self._depth > 2:
            self._wrong.append(f"<{tag}> inside a text")
        self._depth += 1

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if self._depth == 2:
            self._row.setdefault(tag, "".join(self._texts).strip())
            self._texts = []
        elif self._depth == 1:
            self._no_text_between()
            place = f"{self._name}:{self._line}"
            whole = RowProblem(place, "; ".join(self._wrong)) if self._wrong else PlacedRow(self._row, place)
            self._found.append(whole)

    def _text(self, text: str) -> None:
        if self._depth > 1:
            self._texts.append(text)
        elif text.strip():
            place = f"{self._name}:{self.parser.CurrentLineNumber}"
            self._found.append(RowProblem(place, f"text outside of an item: {text.strip()[:40]!r}"))

    def _no_text_between(self) -> None:
        between = "".join(self._texts).strip()
        if between:
            self._wrong.append(f"text outside of an element: {between[:40]!r}")
        self._texts = []

    def _entity_declared(self, *declaration: object) -> None:
        raise _EntityDeclared(self.parser.CurrentLineNumber)

    def _entity_skipped(self, entity: str, *_: object) -> None:
        message = f"entity &{entity}; is not defined"
        if self._depth > 1:
            self._wrong.append(message)
        else:
            self._found.append(RowProblem(f"{self._name}:{self.parser.CurrentLineNumber}", message))
