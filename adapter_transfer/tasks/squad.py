"""SQuAD 1.1 (Rajpurkar et al. 2016) and 2.0 with questions that have no answer (Rajpurkar et al. 2018).

Published splits are named as the files of the release (`train`, `dev`); the test sets were never published. Two more
are offered for trials, whole and in `fifths`, and are never taken for these:

- `xquad-en` of `squad1`: the English file of XQuAD (Artetxe et al. 2020), 1,190 questions of SQuAD 1.1's dev set under
  their own ids.
- `dev-half` of `squad2`: half of SQuAD 2.0's dev set as a Stanford course redistributes it (chrischute/squad), under
  the release's file name, with other ids. That file is expected in `squad/`, the release's own in `squad2/` or at the
  top, so that the half is not read for the whole. 78 of XQuAD's paragraphs occur in it.

Contexts are never stripped: answers are placed by their characters. (TFDS did, and had 19 misplaced answers from it.)
Questions are: some hundreds begin or end in blanks.
"""

from __future__ import annotations

from dataclasses import replace

from adapter_transfer.tasks.columns import Flag, ListOf, Number, Object, Text, Texts, Unused
from adapter_transfer.tasks.fifths import fifths
from adapter_transfer.tasks.formats import Answer, Example
from adapter_transfer.tasks.schema import Form, Row
from adapter_transfer.tasks.sources import FileLayout, HubParquet, Part, Source
from adapter_transfer.tasks.span_format import SpanExtraction
from adapter_transfer.tasks.squad_json import read_squad_json
from adapter_transfer.tasks.task import Task

_LAST_CHARACTER = 10**6
_START = Number("answer_start", 0, _LAST_CHARACTER)
_ANSWER = Object("answer", (Text("text"), _START))


def _read_release(row: Row, number: int) -> Example:
    answers = tuple((answer["text"], answer["answer_start"]) for answer in row["answers"])
    if row.get("is_impossible", not answers) == bool(answers):
        raise ValueError(f"'is_impossible' is {row['is_impossible']}, but there are {len(answers)} answers")
    return _example(row, answers)


def _read_hub(row: Row, number: int) -> Example:
    texts, starts = row["answers"]["text"], row["answers"]["answer_start"]
    if len(texts) != len(starts):
        raise ValueError(f"'answers' has {len(texts)} texts, but {len(starts)} places where they start")
    return _example(row, tuple(zip(texts, starts, strict=True)))


def _example(row: Row, answers: tuple[Answer, ...]) -> Example:
    return Example(row["id"], ((row["question"].strip(), row["context"]),), answers)


_TEXTS = (Unused("title", is_optional=True), Text("context"), Text("question"), Text("id"))
_ANSWERS = ListOf("answers", _ANSWER)
_V1 = Form((*_TEXTS, _ANSWERS), _read_release, "context")
# What a question without an answer could be taken to ask for; nothing is trained on it or measured by it.
_PLAUSIBLE = ListOf("plausible_answers", _ANSWER, is_optional=True)
_V2 = replace(_V1, columns=(*_TEXTS, _ANSWERS, Flag("is_impossible"), _PLAUSIBLE))
_ANSWERS_ON_HUB = Object("answers", (Texts("text"), ListOf("answer_start", _START)))
_ON_HUB = replace(_V1, columns=(*_TEXTS, _ANSWERS_ON_HUB), read=_read_hub)


def _part(published: str, version: str, folders: tuple[str, ...], num_rows: int, on_hub: tuple[str, str]) -> Part:
    file, form = f"{published}-v{version}.json", _V1 if version == "1.1" else _V2
    layouts = tuple(FileLayout(f"{folder}{file}", form, read_squad_json) for folder in folders)
    return Part(published, ("en",), num_rows=num_rows, files=layouts, hub=HubParquet(*on_hub, _ON_HUB))


_XQUAD_EN = Part(
    "xquad-en",
    ("en",),
    num_rows=1_190,
    files=(FileLayout("xquad/xquad.en.json", _V1, read_squad_json),),
    hub=HubParquet("google/xquad", "xquad.en/validation-*.parquet", _ON_HUB),
    drawn_from=("dev",),
)
_DEV_HALF = Part(
    "dev-half",
    ("en",),
    num_rows=6_078,
    files=(FileLayout("squad/dev-v2.0.json", _V2, read_squad_json),),
    drawn_from=("dev",),
)

_HUB1, _HUB2 = "rajpurkar/squad", "rajpurkar/squad_v2"
_FOLDERS1, _FOLDERS2 = ("squad1/", "squad/", ""), ("squad2/", "squad/", "")

SQUAD1 = Task(
    name="squad1",
    format=SpanExtraction(),
    roles=("intermediate",),
    source=Source(
        (
            _part("train", "1.1", _FOLDERS1, 87_599, (_HUB1, "plain_text/train-*.parquet")),
            _part("dev", "1.1", _FOLDERS1, 10_570, (_HUB1, "plain_text/validation-*.parquet")),
            _XQUAD_EN,
            *fifths(_XQUAD_EN, "context"),
        )
    ),
    splits={"train": "train", "validation": "dev"},
    summary="a question about a paragraph of Wikipedia, answered by a span of it",
    licence="CC BY-SA 4.0",
    reference="Rajpurkar et al. 2016, arXiv 1606.05250",
    item_family="squad",
)

SQUAD2 = Task(
    name="squad2",
    format=SpanExtraction(has_unanswerable=True),
    roles=("intermediate",),
    source=Source(
        (
            _part("train", "2.0", _FOLDERS2, 130_319, (_HUB2, "squad_v2/train-*.parquet")),
            # Not in `squad/`: what lies there under this name is `dev-half`.
            _part("dev", "2.0", ("squad2/", ""), 11_873, (_HUB2, "squad_v2/validation-*.parquet")),
            _DEV_HALF,
            *fifths(_DEV_HALF, "context"),
        )
    ),
    splits={"train": "train", "validation": "dev"},
    summary="a question about a paragraph of Wikipedia, answered by a span of it or not at all",
    licence="CC BY-SA 4.0",
    reference="Rajpurkar et al. 2018, arXiv 1806.03822",
    item_family="squad",
)
