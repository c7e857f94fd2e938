"""Small files in the formats of the published data sets, their quirks included; for tests, wherever they run.

CRLF (XCOPA's files) and LF (all others), quotes, double blanks, outer blanks in XML, scripts that are not Latin,
right-to-left marks, zero-width spaces, line separators inside of texts, and the wrong `question` of Thai.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from published_pairs import pair_datasets, pair_files
from published_questions import write_question_datasets, write_question_files

from adapter_transfer.languages import LANGUAGE_SETS
from adapter_transfer.tasks.copa import true_questions

Row = dict[str, Any]

NUM_ITEMS = 8
"""Items of each published split, but for `NUM_TRAIN` of the training sets."""
NUM_TRAIN = 24

_WORDS = {
    "en": ("The dog", "barked", "slept", "was  fed"),
    "ta": ("நாய்", "குரைத்தது", "தூங்கியது", "உணவு  பெற்றது"),
    "th": ("สุนัข", "เห่า", "หลับ", "ได้กิน\u200bอาหาร"),
    "zh": ("狗", "叫了", "睡着了", "吃饱了"),
    "ht": ("Chyen an", "te jape", "t ap dòmi", 'te di "wi"'),
    "et": ("Koer", "haukus", "magas", "ütles \u200f«ei»\u200f"),
}
"""Language → a subject and three things that it did; others are told in the words of `ht`."""


def copa_row(language: str, item: int, idx: int, question: str) -> Row:
    """An item in SuperGLUE's fields; items differ in their number, labels alternate."""
    subject, *did = _WORDS.get(language, _WORDS["ht"])
    texts = [f"{subject} {item} {did[(idx + shift) % 3]}." for shift in range(3)]
    premise, choice1, choice2 = texts
    return {
        "premise": premise,
        "choice1": choice1,
        "choice2": choice2,
        "question": question,
        "label": idx % 2,
        "idx": idx,
    }


def copa_rows(first_item: int, language: str = "en") -> list[Row]:
    """Items from `first_item` (1, 401 or 501) on; train, whose `question` nothing checks, alternates."""
    number = NUM_TRAIN if first_item == 1 else NUM_ITEMS
    asked = true_questions()
    items = range(first_item, first_item + number)
    own = {item: asked.get(item, ("cause", "effect")[item // 2 % 2]) for item in items}
    return [copa_row(language, item, idx, own[item]) for idx, item in enumerate(items)]


def xcopa_rows(first_item: int, language: str) -> list[Row]:
    """As upstream publishes them: with `changed`, and in Thai with `effect` in every row."""
    rows = [{**row, "changed": False} for row in copa_rows(first_item, language)]
    return [{**row, "question": "effect"} if language == "th" else row for row in rows]


def socialiqa_rows(number: int, first: int = 0) -> list[Row]:
    return [
        {
            "context": f'Kai{item} gave Sasha{item} a "present"\u2028in the park.',
            "question": "How would Sasha feel?",
            "answerA": f"happy,  and {item}",
            "answerB": "like leaving",
            "answerC": "bored",
            "correct": "ABC"[item % 3],
        }
        for item in range(first, first + number)
    ]


def jsonl(rows: Iterable[Mapping[str, Any]], end: str = "\n") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode()


def copa_xml(items: Mapping[int, Row]) -> bytes:
    """COPA's own format: an item takes six lines, the first begins at line 5; texts have stray outer blanks."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<!DOCTYPE copa-corpus SYSTEM "copa.dtd">']
    lines += ['<copa-corpus version="1.0">', ""]
    for item, row in items.items():
        label = row["label"] + 1
        lines += [
            f'  <item id="{item}" asks-for="{row["question"]}" most-plausible-alternative="{label}">',
            f"    <p> {escape(row['premise'])}</p>",
            f"    <a1>{escape(row['choice1'])} </a1>",
            f"    <a2>{escape(row['choice2'])}</a2>",
            "  </item>",
            "",
        ]
    return "\n".join([*lines, "</copa-corpus>", ""]).encode()


def write_file(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_published_files(folder: Path) -> Path:
    """Every file that `xcopa`, `xcopa-translate-test` and `socialiqa` read from a folder; gives the folder.

    With those of `published_questions` and `published_pairs`.
    """
    for file, content in pair_files().items():
        write_file(folder / file, content)
    write_question_files(folder)
    for name, first in (("train", 1), ("val", 401)):
        write_file(folder / "copa" / "superglue-form" / f"{name}-en.jsonl", jsonl(copa_rows(first)))
    write_file(folder / "copa" / "copa-dev.xml", copa_xml(xml_items(1) | xml_items(401)))
    write_file(folder / "copa" / "copa-test.xml", copa_xml(xml_items(501)))
    write_file(folder / "balanced-copa" / "balacopa-dev-all.xml", copa_xml(balanced_items()))
    for language in LANGUAGE_SETS["xcopa"]:
        for name, first in (("val", 401), ("test", 501)):
            rows, file = xcopa_rows(first, language), f"{language}/{name}.{language}.jsonl"
            write_file(folder / "xcopa" / "data" / file, jsonl(rows, "\r\n"))
            if language != "qu":
                english = [
                    {**row, "question": own["question"]} for row, own in zip(copa_rows(first), rows, strict=True)
                ]
                write_file(folder / "xcopa" / "data-gmt" / file, jsonl(english))
    for name, number, first in (("trn", NUM_TRAIN, 0), ("dev", NUM_ITEMS, 100), ("tst", NUM_ITEMS, 200)):
        write_file(folder / "socialiqa" / f"socialIQa_v1.4_{name}.jsonl", jsonl(socialiqa_rows(number, first)))
    return folder


def xml_items(first_item: int) -> dict[int, Row]:
    return {first_item + row["idx"]: row for row in copa_rows(first_item)}


def balanced_items() -> dict[int, Row]:
    """Training and validation items, each followed by its mirrored one: another premise, the other alternative."""
    found: dict[int, Row] = {}
    for item, row in (xml_items(1) | xml_items(401)).items():
        found |= {item: row, 1000 + item: {**row, "premise": f"Not: {row['premise']}", "label": 1 - row["label"]}}
    return found


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), path)
    return path


def write_hub_datasets(folder: Path) -> dict[str, Path]:
    """The same rows as the Hub has them, with those of `published_questions`; dataset → the folder of its files.

    The files of `allenai/social_i_qa` are those of its branch `refs/convert/parquet`.
    """
    xcopa, superglue, socialiqa = (folder / name for name in ("xcopa", "superglue", "socialiqa"))
    for language in LANGUAGE_SETS["xcopa"]:
        for name, first in (("validation", 401), ("test", 501)):
            file = f"{name}-00000-of-00001.parquet"
            write_parquet(xcopa / language / file, xcopa_rows(first, language))
            if language != "qu":
                rows = [{**row, "changed": False} for row in copa_rows(first)]
                write_parquet(xcopa / f"translation-{language}" / file, rows)
    withheld = [{**row, "label": -1} for row in copa_rows(501)]
    for name, rows in (("train", copa_rows(1)), ("validation", copa_rows(401)), ("test", withheld)):
        write_parquet(superglue / "copa" / f"{name}-00000-of-00001.parquet", rows)
    for name, number, first in (("train", NUM_TRAIN, 0), ("validation", NUM_ITEMS, 100)):
        numbered = [hub_socialiqa(row) for row in socialiqa_rows(number, first)]
        write_parquet(socialiqa / "default" / name / "0000.parquet", numbered)
    pairs = pair_datasets()
    for repo, files in pairs.items():
        for file, rows in files.items():
            write_parquet(folder / repo / file, rows)
    return {
        **{repo: folder / repo for repo in pairs},
        "cambridgeltl/xcopa": xcopa,
        "aps/super_glue": superglue,
        "allenai/social_i_qa": socialiqa,
    } | write_question_datasets(folder)


def hub_socialiqa(row: Mapping[str, Any]) -> Row:
    """A row in the Hub's fields: the label is a text, "1" to "3"."""
    fields = {key: value for key, value in row.items() if key != "correct"}
    return {**fields, "label": str("ABC".index(row["correct"]) + 1)}
