"""Plants one fault in a published file and says what the schema pass tells of it."""

from __future__ import annotations

import re
from pathlib import Path

from seeded_faults import Fault, Parts, write_with_faults

from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.schema import RowProblem, SchemaError
from adapter_transfer.tasks.task import load_examples


def problems_of(task: str, published: str, folder: Path) -> tuple[RowProblem, ...]:
    """The problems of a published split; none where it is sound."""
    try:
        return load_examples(TASKS[task], "train", "en", Reading(published), folder).problems
    except SchemaError as error:
        return error.problems


def require_found_alone(task: str, published: str, folder: Path, file: str, parts: Parts, fault: Fault) -> None:
    """The fault is the one problem of the file, at its line, in the first row, in the middle and in the last.

    Args:
        file: path inside the folder; it is written anew.
        parts: of the sound file.
    """
    last = len(parts[1]) - 1
    for index in {last} if fault.is_last else {0, last // 2, last}:
        lines = write_with_faults(folder / file, parts, {index: fault})
        (problem,) = problems_of(task, published, folder)
        place = re.fullmatch(rf"{re.escape(file)}:(\d+)", problem.place)
        expected = lines[index]
        assert place is not None, problem
        assert int(place[1]) in ([expected] if isinstance(expected, int) else expected), (fault.name, problem)
        assert re.search(fault.message, problem.message), (fault.name, problem)
        assert problem.ends_file == fault.ends_file
