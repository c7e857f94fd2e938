"""COPA and XCOPA: one set of 1,000 numbered items in English, and 600 of them in eleven more languages.

An example's id is the item's number in COPA ("1" to "1000") in every language and every source: XCOPA's validation
`idx` i is item 401+i and its test `idx` i is item 501+i (Ponti et al. 2020, section 3), so that leaks and translations
are found by it. English comes from COPA itself (Roemmele et al. 2011) or from SuperGLUE, which has its items 1 to 500.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.resources import files
from typing import Any

from adapter_transfer.errors import DataError
from adapter_transfer.languages import LANGUAGE_SETS
from adapter_transfer.tasks.asking import Asking
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.columns import Flag, Number, OneOf, Text
from adapter_transfer.tasks.formats import Example
from adapter_transfer.tasks.leaks import VARIANT
from adapter_transfer.tasks.schema import Form, PlacedRow, Row, RowProblem
from adapter_transfer.tasks.sources import FileLayout, HubParquet, OpenedRows, Part, Revisions, Source
from adapter_transfer.tasks.task import ExampleSet, Task
from adapter_transfer.tasks.xml_items import read_xml_items

# The question is asked in English in every language, as in XTREME-R's script (google-research/xtreme@c061466,
# third_party/run_xcopa.py, which asks "What was the effect?").
COPA_PROMPTS = {"cause": "What was the cause?", "effect": "What happened as a result?"}
QUESTIONS = tuple(COPA_PROMPTS)
COPA_ASKING = Asking(words=COPA_PROMPTS)

TRAIN_ITEMS, VAL_ITEMS, TEST_ITEMS = range(1, 401), range(401, 501), range(501, 1001)


def read_copa(row: Row, number: int, first_item: int = 0) -> Example:
    """An example of a row in XCOPA's own fields: rows are (premise + question, choice)."""
    first = f"{row['premise']} {COPA_PROMPTS[row['question']]}"
    return Example(str(first_item + row["idx"]), ((first, row["choice1"]), (first, row["choice2"])), row["label"])


def copa_columns(last_idx: int, labels: tuple[int, ...] = (0, 1)) -> tuple[Text | OneOf | Number, ...]:
    """The columns of SuperGLUE's and XCOPA's rows, without the one that XCOPA adds."""
    texts = (Text("premise"), Text("choice1"), Text("choice2"))
    return (*texts, OneOf("question", QUESTIONS), OneOf("label", labels), Number("idx", 0, last_idx))


@cache
def true_questions() -> Mapping[int, str]:
    """Item → "cause" or "effect", of COPA's items 401 to 1000.

    Upstream's `question` field is wrong in Thai, Turkish, Swahili, Indonesian and Italian (and in their machine
    translations into English): it says `effect` for up to half of the items. These are COPA's own values, with which
    the six other languages agree in all 600 items.
    """
    path = files("adapter_transfer") / "tasks" / "data" / "copa-questions.json"
    letters = "".join(json.loads(path.read_text("utf-8"))[part] for part in ("validation", "test"))
    names = {"c": "cause", "e": "effect"}
    return {VAL_ITEMS.start + position: names[letter] for position, letter in enumerate(letters)}


def _repair(row: Row, item: int, column: str = "question") -> Row:
    true = true_questions().get(item)
    return row if true in (None, row[column]) else {**row, column: true}


def _rows(items: range, *, translated: bool = False) -> Form:
    """SuperGLUE's rows, or with `translated` XCOPA's, of items that are numbered from 0."""
    columns = copa_columns(len(items) - 1)
    return Form(
        # XCOPA's `changed` says that the translator altered the scenario; nothing here needs it.
        columns=(*columns, Flag("changed", is_optional=True)) if translated else columns,
        read=partial(read_copa, first_item=items.start),
        repair=lambda row: _repair(row, items.start + row["idx"]),
        premise="premise",
    )


def _read_xml(row: Row, number: int) -> Example:
    first = f"{row['p']} {COPA_PROMPTS[row['asks-for']]}"
    return Example(row["id"], ((first, row["a1"]), (first, row["a2"])), int(row["most-plausible-alternative"]) - 1)


def _xml(first: int, last: int) -> Form:
    """COPA's own items, with the numbers that are in the file."""
    return Form(
        columns=(
            Number("id", first, last, is_text=True),
            OneOf("asks-for", QUESTIONS),
            OneOf("most-plausible-alternative", ("1", "2")),
            Text("p"),
            Text("a1"),
            Text("a2"),
        ),
        read=_read_xml,
        repair=lambda row: _repair(row, int(row["id"]), "asks-for"),
        premise="p",
    )


def _one_of(items: Iterable[int]) -> Callable[[Row], bool]:
    ids = frozenset(map(str, items))
    return lambda row: row.get("id") in ids


def _english_layouts(items: range, name: str, xml: str, elsewhere: range | None = None) -> tuple[FileLayout, ...]:
    """SuperGLUE's archive, the few-shot collection's names for the same rows, and COPA's own files."""
    of_superglue = (f"COPA/{name}.jsonl", f"copa/superglue-form/{name}-en.jsonl") if elsewhere is not None else ()
    form = _xml(1, 500) if elsewhere is not None else _xml(501, 1000)
    others = _one_of(elsewhere) if elsewhere is not None else None
    of_copa = (f"copa/{xml}", f"COPA-resources/datasets/{xml}", xml)
    return (
        *(FileLayout(pattern, _rows(items)) for pattern in of_superglue),
        *(FileLayout(pattern, form, read_xml_items, others) for pattern in of_copa),
    )


@dataclass(frozen=True)
class EnglishTestOnHub:
    """COPA's test items from the Hub: SuperGLUE's texts, whose labels are withheld, with the labels of XCOPA.

    Labels are those of COPA in all eleven languages of XCOPA, which are parallel by `idx`. That both sides are in
    COPA's order is not taken on trust: the `question` of every row must be the true one.
    """

    texts: HubParquet
    labels: HubParquet
    labels_language: str

    @property
    def datasets(self) -> Revisions:
        return (*self.texts.datasets, *self.labels.datasets)

    def open(self, language: str, commits: Mapping[str, str]) -> OpenedRows:
        texts = self.texts.open(language, commits)
        labelled = self.labels.open(self.labels_language, commits)
        labels = {row["idx"]: row["label"] for row in _in_order(labelled)}
        rows = (self._labelled(placed, labels, texts.source) for placed in texts.rows)
        return OpenedRows(rows, texts.form, f"{texts.source}, labels of {labelled.source}")

    def _labelled(
        self, placed: PlacedRow | RowProblem, labels: Mapping[int, int], source: str
    ) -> PlacedRow | RowProblem:
        if isinstance(placed, RowProblem) or self.texts.form.problems(placed.row):
            return placed
        _require_question(placed, source)
        idx = placed.row["idx"]
        if idx not in labels:
            raise DataError(f"{placed.place}: item {idx} has no label in {self.labels.repo}")
        return PlacedRow({**placed.row, "label": labels[idx]}, placed.place)


def _in_order(opened: OpenedRows) -> Iterator[Row]:
    """The rows that labels are taken from; every one must be sound."""
    for placed in opened.rows:
        if isinstance(placed, RowProblem):
            raise DataError(str(placed))
        problems = opened.form.problems(placed.row)
        if problems:
            raise DataError(f"{placed.place}: {'; '.join(problems)}")
        _require_question(placed, opened.source)
        yield placed.row


def _require_question(placed: PlacedRow, source: str) -> None:
    item = TEST_ITEMS.start + placed.row["idx"]
    if placed.row["question"] != true_questions()[item]:
        raise DataError(
            f"{placed.place}: the question is {placed.row['question']!r}, but COPA's item {item} asks for the "
            f"{true_questions()[item]}. {source} is not in COPA's order, so its labels cannot be joined; read the test "
            "items from COPA's own files (--data-dir)."
        )


_XCOPA_REPO, _SUPERGLUE_REPO = "cambridgeltl/xcopa", "aps/super_glue"
_XCOPA_ROWS = {"val": _rows(VAL_ITEMS, translated=True), "test": _rows(TEST_ITEMS, translated=True)}
_WITHHELD = replace(_rows(TEST_ITEMS), columns=copa_columns(len(TEST_ITEMS) - 1, labels=(-1, 0, 1)))

_ENGLISH = (
    Part(
        "train",
        ("en",),
        num_rows=len(TRAIN_ITEMS),
        files=_english_layouts(TRAIN_ITEMS, "train", "copa-dev.xml", elsewhere=VAL_ITEMS),
        hub=HubParquet(_SUPERGLUE_REPO, "copa/train-*.parquet", _rows(TRAIN_ITEMS)),
    ),
    Part(
        "val",
        ("en",),
        num_rows=len(VAL_ITEMS),
        files=_english_layouts(VAL_ITEMS, "val", "copa-dev.xml", elsewhere=TRAIN_ITEMS),
        hub=HubParquet(_SUPERGLUE_REPO, "copa/validation-*.parquet", _rows(VAL_ITEMS)),
    ),
    Part(
        "test",
        ("en",),
        num_rows=len(TEST_ITEMS),
        files=_english_layouts(TEST_ITEMS, "test", "copa-test.xml"),
        hub=EnglishTestOnHub(
            HubParquet(_SUPERGLUE_REPO, "copa/test-*.parquet", _WITHHELD),
            HubParquet(_XCOPA_REPO, "{language}/test-*.parquet", _XCOPA_ROWS["test"]),
            labels_language="et",
        ),
    ),
)


def _xcopa(name: str, languages: tuple[str, ...], folder: str, config: str, **words: Any) -> Task:
    """XCOPA's task over one of its two sets of files.

    Args:
        folder: of the files in XCOPA's repository.
        config: on the Hub, with `{language}` in it.
    """

    def translated(published: str, on_hub: str, items: range) -> Part:
        path = f"{folder}/{{language}}/{published}.{{language}}.jsonl"
        form = _XCOPA_ROWS[published]
        return Part(
            published,
            languages,
            num_rows=len(items),
            files=(FileLayout(path, form), FileLayout(f"xcopa/{path}", form)),
            hub=HubParquet(_XCOPA_REPO, f"{config}/{on_hub}-*.parquet", form),
        )

    others = (translated("val", "validation", VAL_ITEMS), translated("test", "test", TEST_ITEMS))
    return Task(
        name=name,
        format=MultipleChoice(num_choices=2),
        roles=("target",),
        source=Source((*_ENGLISH, *others)),
        splits={"train": "train", "validation": "val", "test": "test"},
        licence="BSD 2-Clause (COPA), CC BY 4.0 (XCOPA)",
        item_family="copa",
        asking=COPA_ASKING,
        **words,
    )


XCOPA = _xcopa(
    "xcopa",
    LANGUAGE_SETS["xcopa"],
    "data",
    "{language}",
    summary="COPA in English, and 500 of its items in eleven languages: cause or effect of a premise, two choices",
    reference="Ponti et al. 2020, arXiv 2005.00333; Roemmele et al. 2011 (COPA)",
)

XCOPA_TRANSLATE_TEST = _xcopa(
    "xcopa-translate-test",
    tuple(code for code in LANGUAGE_SETS["xcopa"] if code != "qu"),  # Google's translator did not know Quechua
    "data-gmt",
    "translation-{language}",
    summary="XCOPA's ten languages translated into English by machine (translate-test), no Quechua",
    reference="Ponti et al. 2020, section 4, data-gmt",
)


MIRRORED_IDS = 1000
"""What Balanced COPA adds to an item's number for its mirrored item, of which the other alternative is right."""


def _read_balanced(row: Row, number: int) -> Example:
    item = int(row["id"])
    if item in TEST_ITEMS:
        raise ValueError(f"item {item} is one of COPA's test items; Balanced COPA has 1 to 500 and 1001 to 1500")
    example = _read_xml(row, number)
    # Both alternatives are the original's, so it is the same item to whoever looks for leaks (`leaks.item_of`).
    return example if item < MIRRORED_IDS else replace(example, id=f"{item - MIRRORED_IDS}{VARIANT}mirrored")


_BALANCED_FORM = replace(_xml(1, MIRRORED_IDS + VAL_ITEMS.stop - 1), read=_read_balanced, repair=None)
_VAL_AND_MIRRORED = (*VAL_ITEMS, *(MIRRORED_IDS + item for item in VAL_ITEMS))
_BALANCED_PART = Part(
    "balanced-copa",
    ("en",),
    num_rows=2 * len(TRAIN_ITEMS),
    files=tuple(
        FileLayout(pattern, _BALANCED_FORM, read_xml_items, _one_of(_VAL_AND_MIRRORED))
        for pattern in ("balanced-copa/balacopa-dev-all.xml", "balacopa-dev-all.xml")
    ),
)


@dataclass(frozen=True)
class OtherTraining:
    """The examples of a task as they are, where it is trained on another published split than it declares."""

    origin: Task

    def derive(self, examples: ExampleSet, task: Task) -> ExampleSet:
        return replace(examples, task=task.name)


# What is declared, and what an experiment's rules say, for XCOPA holds for this control of it; the set that it trains
# on takes the place of COPA's own.
_WITH_BALANCED = Source((_BALANCED_PART, *(part for part in XCOPA.source.parts if part.published != "train")))

XCOPA_BALANCED_COPA = replace(
    XCOPA,
    name="xcopa-balanced-copa",
    source=_WITH_BALANCED,
    splits={**XCOPA.splits, "train": _BALANCED_PART.published},
    summary="control: XCOPA after training on Balanced COPA, where words of the alternatives alone tell nothing",
    licence=f"{XCOPA.licence}, MIT (Balanced COPA)",
    reference="Kavumba et al. 2019, arXiv 1911.00225 (Balanced COPA); Ponti et al. 2020, arXiv 2005.00333",
    derivation=OtherTraining(replace(XCOPA, source=_WITH_BALANCED)),
)
