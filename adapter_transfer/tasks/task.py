"""What a task is: a declaration of a format, where its rows come from and how a row becomes an example."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from adapter_transfer.canonical import digest
from adapter_transfer.errors import DataError
from adapter_transfer.tasks.formats import Example, Format
from adapter_transfer.tasks.sources import Row, Source

Split = Literal["train", "validation", "test"]
Role = Literal["intermediate", "target"]


@dataclass(frozen=True)
class Task:
    """A data set with everything that is needed to train on it or to be evaluated with it.

    Attributes:
        name: as users write it.
        format: how examples are scored.
        roles: what it may serve as.
        source: where rows are read.
        splits: our split → the published split's name, said explicitly; nothing falls back from one to another.
        read: makes an example of a published row; raises `KeyError` or `ValueError` for a row that it cannot read.
        languages: split → languages in which it exists; training and validation are in English everywhere.
        summary: one line for `ls tasks`.
        licence: of the data.
        reference: the paper or page it comes from.
        is_sandbox: made by this package; says nothing about real languages or real models.
    """

    name: str
    format: Format
    roles: tuple[Role, ...]
    source: Source
    splits: Mapping[Split, str]
    read: Callable[[Row], Example]
    languages: Mapping[Split, tuple[str, ...]]
    summary: str
    licence: str
    reference: str
    is_sandbox: bool = False


@dataclass(frozen=True)
class ExampleSet:
    """The examples of one split in one language.

    Attributes:
        digest: SHA-256 over every example as the model sees it (ids, texts, labels, in order), so that a change of
            the data *or* of how it is read changes the identity of the runs that use it.
    """

    task: str
    split: Split
    language: str
    examples: tuple[Example, ...]
    digest: str = field(repr=False)


def load_examples(task: Task, split: Split, language: str) -> ExampleSet:
    """Every example of a split in one language, in published order.

    Raises:
        DataError: if the task has no such split or language, or a row cannot be read (with its file and line).
    """
    if split not in task.splits:
        raise DataError(f"task {task.name!r} has no {split} split; it has {', '.join(task.splits)}")
    if language not in task.languages[split]:
        have = ", ".join(task.languages[split])
        raise DataError(f"task {task.name!r} has no {split} split in {language!r}; it has {have}")
    examples = []
    for placed in task.source.rows(task.splits[split], language):
        try:
            example = task.read(placed.row)
        except KeyError as error:
            raise DataError(f"{placed.place}: column {error.args[0]!r} is missing") from None
        except ValueError as error:
            raise DataError(f"{placed.place}: {error}") from None
        if len(example.rows) != task.format.rows_per_example:
            raise DataError(
                f"{placed.place}: {len(example.rows)} choices; {task.name} has {task.format.rows_per_example}"
            )
        if not 0 <= example.label < task.format.num_answers:
            raise DataError(f"{placed.place}: label {example.label}; allowed are 0 to {task.format.num_answers - 1}")
        examples.append(example)
    if not examples:
        raise DataError(f"task {task.name!r}: the {split} split in {language!r} is empty")
    content = digest([[e.id, [list(row) for row in e.rows], e.label] for e in examples])
    return ExampleSet(task.name, split, language, tuple(examples), content)
