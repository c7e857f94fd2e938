"""Cosmos QA: questions about what lies between the lines of a story, four answers (Huang et al. 2019).

Published splits are named as the authors' files (`train`, `valid`); the third, `test`, has no labels and is not
offered. They are read from these files alone: the dataset on the Hub (`allenai/cosmos_qa`) is a script, which
`datasets` runs no more. In two rows of three one answer is "None of the above choices .", which is an answer like
others. With `valid` alone, trials can be made of its `fifths`.
"""

from __future__ import annotations

from functools import partial

from adapter_transfer.tasks.asking import Asking
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.choice_rows import choice_example
from adapter_transfer.tasks.columns import OneOf, Text
from adapter_transfer.tasks.fifths import fifths
from adapter_transfer.tasks.formats import Example
from adapter_transfer.tasks.schema import Form, Row
from adapter_transfer.tasks.sources import FileLayout, Part, Source
from adapter_transfer.tasks.table_readers import read_csv
from adapter_transfer.tasks.task import Task

_ANSWERS = ("answer0", "answer1", "answer2", "answer3")


def _read(row: Row, number: int) -> Example:
    answers = [row[answer] for answer in _ANSWERS]
    return choice_example(row["id"], f"{row['context']} {row['question']}", answers, int(row["label"]))


_FORM = Form(
    (
        Text("id"),
        Text("context"),
        Text("question"),
        *(Text(answer) for answer in _ANSWERS),
        OneOf("label", ("0", "1", "2", "3")),
    ),
    _read,
    "context",
)


def _part(published: str, num_rows: int) -> Part:
    folders = ("cosmosqa/", "cosmosqa/data/")
    read = partial(read_csv, columns=tuple(column.name for column in _FORM.columns))
    layouts = tuple(FileLayout(f"{folder}{published}.csv", _FORM, read) for folder in folders)
    return Part(published, ("en",), num_rows=num_rows, files=layouts)


_VALID = _part("valid", 2_985)

COSMOSQA = Task(
    name="cosmosqa",
    format=MultipleChoice(num_choices=len(_ANSWERS)),
    roles=("intermediate",),
    source=Source((_part("train", 25_262), _VALID, *fifths(_VALID, "context"))),
    splits={"train": "train", "validation": "valid"},
    summary="causes, effects and what people are like, between the lines of a blog: a question and four answers",
    licence="CC BY 4.0",
    reference="Huang et al. 2019, arXiv 1909.00277",
    asking=Asking(),
)
