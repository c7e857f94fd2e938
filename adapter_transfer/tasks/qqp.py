"""Quora Question Pairs: do two questions ask the same? As in GLUE (Wang et al. 2018), measured by F1 of `duplicate`.

An example's id is the publisher's (`id`), the number of the Hub's row, or the key in the text-pair sample. The script
that made the Hub's rows of GLUE's left out those with a field too few; here they are faults of `train.tsv`, told by
their lines, which `on_bad_row: skip` leaves out and counts.

In two of GLUE's training rows the second question is empty (huggingface/datasets, issue 277, which found no others in
any split). They are kept as published, since published scores count them; anywhere else it is a fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from adapter_transfer.tasks.choice_formats import Classification
from adapter_transfer.tasks.columns import Column, Number, OneOf, Text
from adapter_transfer.tasks.formats import Example
from adapter_transfer.tasks.json_rows import read_json_rows
from adapter_transfer.tasks.schema import Form, Row
from adapter_transfer.tasks.sources import FileLayout, HubParquet, Part, Source
from adapter_transfer.tasks.table_readers import read_tsv
from adapter_transfer.tasks.task import Task

LABELS = ("not_duplicate", "duplicate")
_LAST_ID = 10**6


_WITHOUT_SECOND = ("How can I create an Android app?", "How can I develop android app?")


@dataclass(frozen=True)
class _SecondQuestion(Text):
    """A text, or none; whether it may be none is told by the first question."""

    def problem(self, value: object) -> str | None:
        return None if value == "" else super().problem(value)


def _read(row: Row, number: int, first: str, second: str, label: OneOf, item: str) -> Example:
    if not row[second] and row[first] not in _WITHOUT_SECOND:
        raise ValueError(f"column {second!r} is blank")
    return Example(str(row[item]), ((row[first], row[second]),), label.allowed.index(row[label.name]))


def _form(first: str, second: str, label: OneOf, item: Number, *others: Column) -> Form:
    read = partial(_read, first=first, second=second, label=label, item=item.name)
    return Form((Text(first), _SecondQuestion(second), label, item, *others), read, first)


_GLUE = _form(
    "question1",
    "question2",
    OneOf("is_duplicate", ("0", "1")),
    *(Number(name, 0, _LAST_ID, is_text=True) for name in ("id", "qid1", "qid2")),
)
_READ_GLUE = partial(read_tsv, columns=tuple(column.name for column in _GLUE.columns))
_HUB = _form("question1", "question2", OneOf("label", (0, 1)), Number("idx", 0, _LAST_ID))
_TEXT_PAIRS = _form("text_a", "text_b", OneOf("label", ("0", "1")), Number("key", 0, _LAST_ID, is_text=True))


def _part(published: str, num_rows: int, on_hub: str) -> Part:
    path = f"QQP/{published}.tsv"
    return Part(
        published,
        ("en",),
        num_rows=num_rows,
        files=tuple(FileLayout(f"{before}{path}", _GLUE, _READ_GLUE) for before in ("", "qqp/")),
        hub=HubParquet("nyu-mll/glue", f"qqp/{on_hub}-*.parquet", _HUB),
    )


def _text_pairs(half: str, num_rows: int) -> Part:
    """About 10,000 of GLUE's training and development pairs in a layout of somebody else's."""
    layout = FileLayout(f"qqp/textpair-sample/{half}.json", _TEXT_PAIRS, read_json_rows)
    # Of the pairs of `glue-sample-train`, 8 stand here, too, and 2 of those of `glue-sample-dev`.
    drawn_from = ("train", "dev", "glue-sample-train", "glue-sample-dev")
    return Part(f"textpair-{half}", ("en",), num_rows=num_rows, files=(layout,), drawn_from=drawn_from)


def _glue_sample(half: str) -> Part:
    """Five draws of 16 rows a label from GLUE's training rows (none drawn twice), 160 rows in one half of them."""

    def draw(seed: int) -> Part:
        layout = FileLayout(f"qqp/glue-tsv-sample/16-{seed}/{half}.tsv", _GLUE, _READ_GLUE)
        return Part(f"glue-sample-{half}", ("en",), num_rows=32, files=(layout,))

    members = tuple((f"16-{seed}/", draw(seed)) for seed in (13, 21, 42, 87, 100))
    return Part(f"glue-sample-{half}", ("en",), members=members, drawn_from=("train",))


QQP = Task(
    name="qqp",
    format=Classification(LABELS, positive="duplicate"),
    roles=("intermediate",),
    source=Source(
        (
            _part("train", 363_846, "train"),
            _part("dev", 40_430, "validation"),
            _text_pairs("train", 8_999),
            _text_pairs("dev", 1_000),
            _glue_sample("train"),
            _glue_sample("dev"),
        )
    ),
    splits={"train": "train", "validation": "dev"},
    summary="do two questions that people asked on Quora ask the same",
    licence="Quora's terms: non-commercial use",
    reference="Iyer et al. 2017 (First Quora Dataset Release), as in GLUE: Wang et al. 2018, arXiv 1804.07461",
)
