"""The schema pass: every published row is checked before anything else sees it, and every fault is told with its place.

A `Form` declares what the rows of a published file look like; `check_rows` turns them into examples and problems.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

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
        premise: the column with the text that the answers are about; texts that two splits share are found by it.
        repair: gives the row with known errors of the publisher mended, or the same object where it has none.
    """

    columns: tuple[Column, ...]
    read: Callable[[Row, int], Example]
    premise: str
    repair: Callable[[Row], Row] | None = None

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(column.name for column in self.columns)

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
    """

    examples: tuple[Example, ...]
    premises: tuple[str, ...]
    num_repaired: int
    problems: tuple[RowProblem, ...]


def check_rows(found: Iterable[PlacedRow | RowProblem], form: Form, format: Format, *, repairs: bool) -> CheckedRows:
    """Checks every row against its form and reads it; of rows with one id, the first is kept.

    Args:
        found: rows in published order, and the problems of what could not be read as a row at all.
        repairs: whether known errors of the publisher are mended.
    """
    examples, premises, problems = [], [], []
    places: dict[str, str] = {}
    num_repaired = 0
    for number, placed in enumerate(found):
        if isinstance(placed, RowProblem):
            problems.append(placed)
            continue
        row, wrong = placed.row, form.problems(placed.row)
        if not wrong:
            if repairs and form.repair is not None:
                row = form.repair(row)
            try:
                example = form.read(row, number)
            except ValueError as error:
                wrong = [str(error)]
            else:
                wrong = _example_problems(example, format, places)
        if wrong:
            problems.append(RowProblem(placed.place, "; ".join(wrong)))
            continue
        places[example.id] = placed.place
        examples.append(example)
        premises.append(row[form.premise])
        num_repaired += row is not placed.row
    return CheckedRows(tuple(examples), tuple(premises), num_repaired, tuple(problems))


def _example_problems(example: Example, format: Format, places: Mapping[str, str]) -> list[str]:
    found = []
    if len(example.rows) != format.rows_per_example:
        found.append(f"{len(example.rows)} answers; expected {format.rows_per_example}")
    if not 0 <= example.label < format.num_answers:
        found.append(f"label {example.label}; allowed are 0 to {format.num_answers - 1}")
    if example.id in places:
        found.append(f"item {example.id!r} stands already at {places[example.id]}")
    return found
