"""The schema pass: every published row is checked before anything else sees it, and every fault is told with its place.

A `Form` declares what the rows of a published file look like; `check_rows` turns them into examples and problems.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.columns import Column, quoted
from adapter_transfer.tasks.formats import Example, Format

Row = Mapping[str, Any]

_PROBLEMS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A row and where it stands, for messages that help: `file:line`, or `file: row n` where there are no lines."""

    row: Row
    place: str


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Everything that is wrong with one row.

    Attributes:
        ends_file: what follows it could not be read, or not with certainty: leaving the row out is not enough.
    """

    place: str
    message: str
    ends_file: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class SchemaError(DataError):
    """Published rows are faulty. Holds every problem; the message shows the first 200.

    Args:
        what: whose rows they are, for the message.
        problems: all of them, in the order of the rows.
        hint: what to do; the last line of the message.
    """

    def __init__(self, what: str, problems: Sequence[RowProblem], hint: str = "") -> None:
        # All arguments go to the base class, so that the error can be sent from one process to another.
        super().__init__(what, tuple(problems), hint)
        self.what, self.problems, self.hint = what, tuple(problems), hint

    def __str__(self) -> str:
        number = len(self.problems)
        lines = [f"{self.what}: {number} faulty {'row' if number == 1 else 'rows'}"]
        lines += [f"  {problem}" for problem in self.problems[:_PROBLEMS_SHOWN]]
        if number > _PROBLEMS_SHOWN:
            lines.append(f"  … and {number - _PROBLEMS_SHOWN} more; `adapter-transfer data show` lists all")
        return "\n".join([*lines, self.hint] if self.hint else lines)


@dataclass(frozen=True)
class Form:
    """What the rows of a published file look like, and how one becomes an example.

    Attributes:
        columns: every column that there is; others are a fault.
        read: makes an example of a checked row and its number in the published split (from 0; an id where rows have
            none). Raises `ValueError` for what no single column can tell.
        premise: the column with the text that the answers are about, or what takes it out of a row; texts that two
            splits share are found by it.
        is_unlabelled: tells the rows that the publisher has no label for: they are left out, and are no fault.
        repair: gives the row with known errors of the publisher mended, or the same object where it has none.
    """

    columns: tuple[Column, ...]
    read: Callable[[Row, int], Example]
    premise: str | Callable[[Row], str]
    repair: Callable[[Row], Row] | None = None
    is_unlabelled: Callable[[Row], bool] | None = None

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(column.name for column in self.columns)

    def premise_of(self, row: Row) -> str:
        """The text that the answers of a checked row are about."""
        premise: str = row[self.premise] if isinstance(self.premise, str) else self.premise(row)
        return premise

    def problems(self, row: Row) -> list[str]:
        """Everything that is wrong with the columns of a row."""
        found = []
        for column in self.columns:
            if column.name in row:
                problem = column.problem(row[column.name])
                if problem is not None:
                    found.append(f"column {column.name!r} {problem}")
            elif not column.is_optional:
                found.append(f"column {column.name!r} is missing")
        if not self._names.issuperset(row):
            found += [f"column {quoted(name)} is unknown" for name in row if name not in self._names]
        return found


@dataclass(frozen=True)
class CheckedRows:
    """The examples of sound rows, and the problems of the others.

    Attributes:
        premises: of each example, in order.
        num_repaired: rows in which a known error was mended.
        num_unlabelled: rows without a label, which were left out.
    """

    examples: tuple[Example, ...]
    premises: tuple[str, ...]
    num_repaired: int
    problems: tuple[RowProblem, ...]
    num_unlabelled: int = 0


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A sound row, read.

    Attributes:
        is_repaired: a known error of the publisher was mended.
    """

    example: Example
    premise: str
    is_repaired: bool


class SeenIds(Protocol):
    """The ids of the examples so far."""

    def problem(self, id: str) -> str | None:
        """What is wrong with one more example of this id; None where nothing is."""

    def add(self, id: str, place: str) -> None:
        """Notes an id and where it stands."""


class FirstPlaces:
    """Tells which ids stand somewhere already, and where.

    Args:
        hashes: only of ids with one of these hashes; None is all.
    """

    def __init__(self, hashes: frozenset[int] | None = None) -> None:
        self._hashes, self._places = hashes, dict[str, str]()

    def problem(self, id: str) -> str | None:
        return f"item {id!r} stands already at {self._places[id]}" if id in self._places else None

    def add(self, id: str, place: str) -> None:
        if self._hashes is None or hash(id) in self._hashes:
            self._places[id] = place


class IdHashes:
    """Notes ids as 8 bytes each, and finds nothing wrong until all are there.

    A million ids with their places would take a quarter of a gigabyte, to find a fault that hardly any file has. Where
    a hash does stand twice, the rows are read again with `FirstPlaces`, which compares ids themselves.
    """

    def __init__(self) -> None:
        self._hashes = array("q")

    def problem(self, id: str) -> str | None:
        return None

    def add(self, id: str, place: str) -> None:
        self._hashes.append(hash(id))

    def repeated(self) -> frozenset[int]:
        """The hashes that stand twice."""
        ordered = np.sort(np.frombuffer(self._hashes, dtype=np.int64)) if self._hashes else np.zeros(0, np.int64)
        return frozenset(ordered[1:][ordered[1:] == ordered[:-1]].tolist())


def checked_rows(
    found: Iterable[PlacedRow | RowProblem],
    form: Form,
    format: Format,
    *,
    repairs: bool,
    prefix: str = "",
    ids: SeenIds,
) -> Iterator[CheckedRow | RowProblem | None]:
    """Checks rows against their form and reads them, one by one; None stands for a row without a label.

    Args:
        found: rows in published order, and the problems of what could not be read as a row at all.
        repairs: whether known errors of the publisher are mended.
        prefix: of the examples' ids, where a split has several members that number their rows alike.
        ids: finds those that were there before.
    """
    for number, placed in enumerate(found):
        if isinstance(placed, RowProblem):
            yield placed
            continue
        row, wrong = placed.row, form.problems(placed.row)
        if not wrong and form.is_unlabelled is not None and form.is_unlabelled(row):
            yield None
            continue
        if not wrong:
            if repairs and form.repair is not None:
                row = form.repair(row)
            try:
                example = form.read(row, number)
                if prefix:
                    example = replace(example, id=f"{prefix}{example.id}")
            except ValueError as error:
                wrong = [str(error)]
            else:
                repeated = ids.problem(example.id)
                wrong = [*format.problems(example), *([] if repeated is None else [repeated])]
        if wrong:
            yield RowProblem(placed.place, "; ".join(wrong))
            continue
        ids.add(example.id, placed.place)
        yield CheckedRow(example, form.premise_of(row), row is not placed.row)


def check_rows(
    found: Iterable[PlacedRow | RowProblem], form: Form, format: Format, *, repairs: bool, prefix: str = ""
) -> CheckedRows:
    """All that `checked_rows` gives, in memory; of rows with one id, the first is kept."""
    examples, premises, problems = [], [], []
    num_repaired = num_unlabelled = 0
    for row in checked_rows(found, form, format, repairs=repairs, prefix=prefix, ids=FirstPlaces()):
        if row is None:
            num_unlabelled += 1
        elif isinstance(row, RowProblem):
            problems.append(row)
        else:
            examples.append(row.example)
            premises.append(row.premise)
            num_repaired += row.is_repaired
    return CheckedRows(tuple(examples), tuple(premises), num_repaired, tuple(problems), num_unlabelled)
