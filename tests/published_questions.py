"""Small files of the question answering tasks and of CCG, in the formats they are published in; for tests.

Quirks included: CRLF and quoted fields (Cosmos QA), one line for a whole file (SQuAD), questions with outer blanks,
answers behind characters of more than one byte, questions without an answer, line separators inside of texts.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]

NUM_TRAIN, NUM_ITEMS = 24, 8
"""Rows of the training sets, and of the others."""

KEYS = "ABCDE"
CONTEXT = "Zoë’s shop {0} in Tārtu sells 𝒽oney  and tea.\u2028 It opened in 19{0:02d}, and closed at noon."


def hellaswag_rows(number: int, split: str, first: int = 0) -> list[Row]:
    return [
        {
            "ind": item,
            "activity_label": "Making tea",
            "ctx_a": f'Zoë boils "water" {item}.',
            "ctx_b": "she" if item % 2 else "",
            "ctx": f'Zoë boils "water" {item}.' + (" she" if item % 2 else ""),
            "split": split,
            "split_type": ("indomain", "zeroshot")[item % 2],
            "label": item % 4,
            "endings": [f"pours {item} cups.", "drinks  it.", "sings\u2028 a song.", "leaves."],
            "source_id": f"activitynet~v_{item}",
        }
        for item in range(first, first + number)
    ]


def hub_hellaswag(row: Mapping[str, Any]) -> Row:
    return {**row, "label": str(row["label"])}


def cosmosqa_rows(number: int, first: int = 0) -> list[Row]:
    return [
        {
            "id": f"3X##Blog_{item}##q1_a1",
            "context": f'He said : " no , {item} " .\nThen he left .',
            "question": "Why did he leave ?",
            "answer0": "None of the above choices .",
            "answer1": f"He was tired , {item} times .",
            "answer2": "He wo nt say .",
            "answer3": 'They said " go " .',
            "label": str(item % 4),
        }
        for item in range(first, first + number)
    ]


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A header and the rows, in CRLF, quoted where they must be."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def commonsenseqa_rows(number: int, first: int = 0) -> list[Row]:
    return [
        {
            "answerKey": KEYS[item % 5],
            "id": f"{item:032x}",
            "question": {
                "question_concept": "tea",
                "choices": [{"label": key, "text": f"{key} {item} cafés"} for key in KEYS],
                "stem": f"Where would you drink tea number {item}?",
            },
        }
        for item in range(first, first + number)
    ]


def hub_commonsenseqa(row: Mapping[str, Any]) -> Row:
    question = row["question"]
    return {
        "id": row["id"],
        "question": question["stem"],
        "question_concept": question["question_concept"],
        "choices": {key: [choice[key] for choice in question["choices"]] for key in ("label", "text")},
        "answerKey": row["answerKey"],
    }


def squad_file(number: int, *, first: int = 0, has_unanswerable: bool = False) -> dict[str, Any]:
    """Paragraphs of two questions each, in articles of two; every fourth question has no answer, if any has none."""
    paragraphs = []
    for item in range(first, first + number, 2):
        context = CONTEXT.format(item)
        asked = [("  What does it sell?", "𝒽oney  and tea"), ("When did it open? ", f"19{item:02d}")]
        questions: list[Row] = []
        for position, (question, answer) in enumerate(asked):
            answers = [{"text": answer, "answer_start": context.index(answer)}]
            row: Row = {"question": question, "id": f"{item + position:024x}", "answers": answers}
            if has_unanswerable:
                row["is_impossible"] = (item + position) % 4 == 3
                if row["is_impossible"]:
                    row |= {"plausible_answers": answers, "answers": []}
            questions.append(row)
        paragraphs.append({"qas": questions, "context": context})
    articles = [
        {"title": f"Shop_{start}", "paragraphs": paragraphs[start : start + 2]}
        for start in range(0, len(paragraphs), 2)
    ]
    return {"version": "v2.0" if has_unanswerable else "1.1", "data": articles}


def hub_squad(content: Mapping[str, Any]) -> list[Row]:
    """The rows of a file in the Hub's fields."""
    return [
        {
            "id": question["id"],
            "title": article["title"],
            "context": paragraph["context"],
            "question": question["question"],
            "answers": {key: [each[key] for each in question["answers"]] for key in ("text", "answer_start")},
        }
        for article in content["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


def ccg_lines(number: int, first: int = 0) -> bytes:
    """Sentences of four words, each in five lines."""
    return "".join(
        f"Zoë\tN\n{item}\tN/N\nsells\t(S[dcl]\\NP)/NP\ntea\tN\n\n" for item in range(first, first + number)
    ).encode()


def write_question_files(folder: Path) -> None:
    """Every file that `squad1`, `squad2`, `hellaswag`, `cosmosqa`, `commonsenseqa` and `ccg` read from a folder."""
    contents: dict[str, bytes] = {}
    for ours, number, first in (("train", NUM_TRAIN, 0), ("validation", NUM_ITEMS, 100)):
        published = "train" if ours == "train" else "val"
        contents[f"hellaswag/hellaswag_{published}.jsonl"] = _jsonl(hellaswag_rows(number, published, first))
        published = "train" if ours == "train" else "valid"
        contents[f"cosmosqa/{published}.csv"] = as_csv(cosmosqa_rows(number, first))
        published = "train" if ours == "train" else "dev"
        contents[f"commonsenseqa/{published}_rand_split.jsonl"] = _jsonl(commonsenseqa_rows(number, first))
        contents[f"ccg/{published}.tsv"] = ccg_lines(number, first)
        for version, has_unanswerable in (("1.1", False), ("2.0", True)):
            content = squad_file(number, first=first, has_unanswerable=has_unanswerable)
            contents[f"squad{version[0]}/{published}-v{version}.json"] = json.dumps(content).encode()
    for name, written in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written)


def _jsonl(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write_question_datasets(folder: Path) -> dict[str, Path]:
    """The same rows as the Hub has them; dataset → the folder of its repository's files."""
    from published_data import write_parquet

    rows: dict[str, dict[str, list[Row]]] = {
        "Rowan/hellaswag": {
            "data/train": [hub_hellaswag(row) for row in hellaswag_rows(NUM_TRAIN, "train")],
            "data/validation": [hub_hellaswag(row) for row in hellaswag_rows(NUM_ITEMS, "val", 100)],
        },
        "tau/commonsense_qa": {
            "data/train": [hub_commonsenseqa(row) for row in commonsenseqa_rows(NUM_TRAIN)],
            "data/validation": [hub_commonsenseqa(row) for row in commonsenseqa_rows(NUM_ITEMS, 100)],
        },
        "google/xquad": {"xquad.en/validation": hub_squad(squad_file(NUM_ITEMS, first=200))},
    }
    for repo, config, has_unanswerable in (
        ("rajpurkar/squad", "plain_text", False),
        ("rajpurkar/squad_v2", "squad_v2", True),
    ):
        train = squad_file(NUM_TRAIN, has_unanswerable=has_unanswerable)
        validation = squad_file(NUM_ITEMS, first=100, has_unanswerable=has_unanswerable)
        rows[repo] = {f"{config}/train": hub_squad(train), f"{config}/validation": hub_squad(validation)}
    folders = {repo: folder / repo.replace("/", "--") for repo in rows}
    for repo, files in rows.items():
        for name, listed in files.items():
            write_parquet(folders[repo] / f"{name}-00000-of-00001.parquet", listed)
    return folders
