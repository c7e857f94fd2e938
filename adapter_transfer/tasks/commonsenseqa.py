"""CommonsenseQA 1.11, random split: a question and five answers from everyday knowledge (Talmor et al. 2019).

Published splits are named as in the release (`train`, `dev`); the third has no labels and is not offered.

A choice that stands twice in a row is a fault, but for the rows where the publisher has it so: 122 of `train` and 24 of
`dev`, named in `data/commonsenseqa-repeats.json`. In 42 and 6 of them it is the right answer that stands twice, and the
other one counts as wrong. They are kept as published, since published scores count them too: of `dev`, 0.5 % of the
questions cannot be told but by chance.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from adapter_transfer.tasks.asking import Asking
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.choice_rows import choice_example
from adapter_transfer.tasks.columns import ListOf, Object, OneOf, Text, Texts, Unused
from adapter_transfer.tasks.formats import Example
from adapter_transfer.tasks.schema import Form, Row
from adapter_transfer.tasks.sources import FileLayout, HubParquet, Part, Source
from adapter_transfer.tasks.task import Task

KEYS = ("A", "B", "C", "D", "E")


@cache
def known_repeats() -> frozenset[str]:
    """Ids of the items in which the publisher repeats a choice."""
    path = files("adapter_transfer") / "tasks" / "data" / "commonsenseqa-repeats.json"
    known = json.loads(path.read_text("utf-8"))
    return frozenset([*known["train"], *known["dev"]])


def _example(row: Row, question: str, keys: list[str], choices: list[str]) -> Example:
    if tuple(keys) != KEYS:
        raise ValueError(f"the choices are labelled {', '.join(keys)}; expected {', '.join(KEYS)}")
    return choice_example(row["id"], question, choices, KEYS.index(row["answerKey"]), known_repeats())


def _read_release(row: Row, number: int) -> Example:
    question = row["question"]
    choices = question["choices"]
    keys, texts = ([choice[key] for choice in choices] for key in ("label", "text"))
    return _example(row, question["stem"], keys, texts)


def _read_hub(row: Row, number: int) -> Example:
    return _example(row, row["question"], row["choices"]["label"], row["choices"]["text"])


_ID, _ANSWER, _CONCEPT, _KEY = Text("id"), OneOf("answerKey", KEYS), Unused("question_concept"), OneOf("label", KEYS)
_CHOICES = ListOf("choices", Object("choice", (_KEY, Text("text"))), len(KEYS))
_RELEASE = Form(
    (_ID, _ANSWER, Object("question", (_CONCEPT, Text("stem"), _CHOICES))),
    _read_release,
    lambda row: str(row["question"]["stem"]),
)
_COLUMNS = Object("choices", (ListOf("label", _KEY, len(KEYS)), Texts("text", len(KEYS))))
_ON_HUB = Form((_ID, _ANSWER, Text("question"), _CONCEPT, _COLUMNS), _read_hub, "question")


def _part(published: str, num_rows: int, on_hub: str) -> Part:
    file = f"{published}_rand_split.jsonl"
    return Part(
        published,
        ("en",),
        num_rows=num_rows,
        files=tuple(FileLayout(f"{folder}{file}", _RELEASE) for folder in ("commonsenseqa/", "")),
        hub=HubParquet("tau/commonsense_qa", f"data/{on_hub}-*.parquet", _ON_HUB),
    )


COMMONSENSEQA = Task(
    name="commonsenseqa",
    format=MultipleChoice(num_choices=len(KEYS)),
    roles=("intermediate",),
    source=Source((_part("train", 9_741, "train"), _part("dev", 1_221, "validation"))),
    splits={"train": "train", "validation": "dev"},
    summary="what everybody knows about a thing or a place: a question and five answers",
    licence="MIT",
    reference="Talmor et al. 2019, arXiv 1811.00937",
    asking=Asking(has_premise=False),
)
