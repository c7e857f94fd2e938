"""HellaSwag: how a scene goes on, one ending of four (Zellers et al. 2019).

Published splits are named as in the files of the release (`train`, `val`); the third, `test`, has no labels and is not
offered. `val-1000` is a sample of 1,000 rows of `val` in a file of its own: not a random one, so that it serves for
trials (see `fifths`, too) and no scores are told of it. `ind` counts anew for each of the data's two sources,
ActivityNet and WikiHow: an example's id is its row's number.
"""

from __future__ import annotations

from functools import partial

from adapter_transfer.tasks.asking import Asking
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.choice_rows import choice_example
from adapter_transfer.tasks.columns import Column, Number, OneOf, Text, Texts, Unused
from adapter_transfer.tasks.fifths import fifths
from adapter_transfer.tasks.formats import Example
from adapter_transfer.tasks.schema import Form, Row
from adapter_transfer.tasks.sources import FileLayout, HubParquet, Part, Source
from adapter_transfer.tasks.task import Task

_LABELS = (0, 1, 2, 3)
_LAST_IND = 10**6


def _read(row: Row, number: int, label: OneOf) -> Example:
    # `ctx` ends in the first words of the ending where there are some (`ctx_b`): it is all that is given.
    return choice_example(str(number), row["ctx"], row["endings"], label.allowed.index(row["label"]))


def _form(label: OneOf, split: Column) -> Form:
    columns = (
        Number("ind", 0, _LAST_IND),
        Unused("activity_label"),
        Unused("ctx_a"),
        Unused("ctx_b"),
        Text("ctx"),
        split,
        Unused("split_type"),
        Texts("endings", len(_LABELS)),
        Unused("source_id"),
        label,
    )
    return Form(columns, partial(_read, label=label), "ctx")


def _release(split: str) -> Form:
    """Rows of the release; a file of another split in the place of one is told by every row."""
    return _form(OneOf("label", _LABELS), OneOf("split", (split,)))


_ON_HUB = _form(OneOf("label", tuple(map(str, _LABELS))), Unused("split"))


def _part(split: str, num_rows: int, on_hub: str) -> Part:
    file = f"hellaswag_{split}.jsonl"
    return Part(
        split,
        ("en",),
        num_rows=num_rows,
        files=tuple(FileLayout(f"{folder}{file}", _release(split)) for folder in ("hellaswag/", "hellaswag/data/", "")),
        hub=HubParquet("Rowan/hellaswag", f"data/{on_hub}-*.parquet", _ON_HUB),
    )


_SAMPLE = Part(
    "val-1000",
    ("en",),
    num_rows=1_000,
    files=(FileLayout("hellaswag/hellaswag_val_1000.jsonl", _release("val")),),
    drawn_from=("val",),
)

HELLASWAG = Task(
    name="hellaswag",
    format=MultipleChoice(num_choices=len(_LABELS)),
    roles=("intermediate",),
    source=Source(
        (
            _part("train", 39_905, "train"),
            _part("val", 10_042, "validation"),
            _SAMPLE,
            *fifths(_SAMPLE, "source_id"),
        )
    ),
    splits={"train": "train", "validation": "val"},
    summary="how a scene from a video or an instruction goes on, and four endings",
    licence="MIT",
    reference="Zellers et al. 2019, arXiv 1905.07830",
    asking=Asking(has_question=False),
)
