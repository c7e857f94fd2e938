"""Small files of the tasks over pairs of texts (`anli`, `mnli`, `qqp`) in their published forms, with their quirks.

Bare quotes and double blanks in tables without quoting; commas, quotes and line ends in quoted fields; line separators
that end no line; columns that stand in another order; rows without a label.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LABELS = ("entailment", "neutral", "contradiction")
Pair = tuple[str, str, int]
"""Premise, hypothesis and label."""

MNLI_COLUMNS = (
    *("index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse"),
    *("sentence1_parse", "sentence2_parse", "sentence1", "sentence2"),
)
QQP_COLUMNS = ("id", "qid1", "qid2", "question1", "question2", "is_duplicate")
_MODELS = (
    *("roberta-from-r2", "roberta-from-r3", "bert-r1", "anli-roberta-large", "anli-bart-large"),
    *("anli-xlnet-large", "anli-electra-large", "anli-albert-xxlarge"),
)
_PREDICTED = tuple(f"preds-{model}{what}" for model in _MODELS for what in ("", "PredLabel"))
ANALYSIS_COLUMNS = {
    "r1": ("context", "statement", "reason", "adversary_pred", "gold_label", "A1Code", "A1Notes", "eid", "uid", "tags"),
    "r2": ("context", "eid", "statement", "reason", "adversary_pred", "gold_label", "uid", "A1Code", "A1Notes", "tags"),
    "r3": ("context", "statement", "reason", "adversary_pred", "gold_label", "A1Code", "A1Notes", "eid", "tags", "uid"),
}


def pairs(number: int, first: int) -> list[Pair]:
    """Pairs that differ in their number; labels take turns."""
    items = range(first, first + number)
    return [(f'Item {item}: "we ran,\u2028 she said.', f"Somebody  ran {item} times.", item % 3) for item in items]


def tsv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    return "".join("\t".join(map(str, row)) + "\n" for row in [columns, *rows]).encode()


def jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def mnli_tsv(found: Iterable[Pair], first: int = 0, num_annotators: int = 1) -> bytes:
    labels = tuple(f"label{number}" for number in range(1, num_annotators + 1))
    rows = [
        (index, 7, f"7{label}", "slate", "( ( We ) ran", "", "(ROOT", "(ROOT", premise, hypothesis)
        + (LABELS[label],) * (num_annotators + 1)
        for index, (premise, hypothesis, label) in enumerate(found, start=first)
    ]
    return tsv((*MNLI_COLUMNS, *labels, "gold_label"), rows)


def anli_jsonl(found: Iterable[Pair], round_: str) -> bytes:
    return jsonl(
        {
            "uid": f"{round_}-{number}",
            "context": premise,
            "hypothesis": hypothesis,
            "label": "enc"[label],
            "model_label": "c",
            "emturk": None,
            "genre": "wikipedia",
            "reason": "",
            "tag": f"{round_}_anything",
        }
        for number, (premise, hypothesis, label) in enumerate(found)
    )


def anli_csv(found: Iterable[Pair], round_: str) -> bytes:
    """As the authors' error analysis has them: quoted where it has to be, CRLF nowhere but inside of texts."""
    columns = (*ANALYSIS_COLUMNS[round_], *_PREDICTED)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for number, (premise, hypothesis, label) in enumerate(found):
        row = {column: "e" if "PredLabel" in column else "[0.2, 0.8]" for column in columns}
        row |= {"context": premise, "statement": hypothesis, "gold_label": "enc"[label], "uid": f"{round_}-{number}"}
        row |= {"reason": 'I said "so",\r\n\nand so it is', "adversary_pred": "n", "A1Notes": "", "A1Code": "Basic, x"}
        writer.writerow(row)
    return text.getvalue().encode()


def snli_jsonl(found: Iterable[Pair]) -> bytes:
    """Every fourth row has no label that its annotators agreed on."""
    return jsonl(
        {
            "annotator_labels": ["neutral"],
            "captionID": f"{number}.jpg#4",
            "gold_label": "-" if number % 4 == 3 else LABELS[label],
            "pairID": f"{number}.jpg#4r1n",
            "sentence1": premise,
            "sentence1_binary_parse": "( We ran )",
            "sentence1_parse": "(ROOT)",
            "sentence2": hypothesis,
            "sentence2_binary_parse": "( We ran )",
            "sentence2_parse": "(ROOT)",
        }
        for number, (premise, hypothesis, label) in enumerate(found)
    )


def qqp_tsv(found: Iterable[Pair], first: int = 0) -> bytes:
    rows = [(item, 2, 3, one, other, label % 2) for item, (one, other, label) in enumerate(found, start=first)]
    return tsv(QQP_COLUMNS, rows)


def qqp_json(found: Iterable[Pair]) -> bytes:
    rows = {
        str(number): {"text_a": one, "text_b": other, "label": str(label % 2)}
        for number, (one, other, label) in enumerate(found)
    }
    return json.dumps(rows, indent=4).encode()


def pair_files() -> dict[str, bytes]:
    """Every file that the tasks read for training and validation: path in the data folder → content."""
    rounds = {"r1": 100, "r2": 200, "r3": 300}
    return {
        "MNLI/train.tsv": mnli_tsv(pairs(24, 0)),
        "MNLI/dev_matched.tsv": mnli_tsv(pairs(8, 50), num_annotators=5),
        "MNLI/dev_mismatched.tsv": mnli_tsv(pairs(8, 70), num_annotators=5),
        **{f"anli_v1.0/{name.upper()}/train.jsonl": anli_jsonl(pairs(6, at), name) for name, at in rounds.items()},
        **{f"anli_v1.0/{name.upper()}/dev.jsonl": anli_jsonl(pairs(4, at + 50), name) for name, at in rounds.items()},
        **{f"anli_v1.0/{name.upper()}/test.jsonl": anli_jsonl(pairs(4, at + 80), name) for name, at in rounds.items()},
        "snli_1.0/snli_1.0_train.jsonl": snli_jsonl(pairs(8, 400)),
        "QQP/train.tsv": qqp_tsv(pairs(24, 500)),
        "QQP/dev.tsv": qqp_tsv(pairs(8, 600)),
    }


def pair_datasets() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The same rows as the Hub has them: dataset → file → rows."""

    def numbered(found: Iterable[Pair], *names: str) -> list[dict[str, Any]]:
        premise, hypothesis, label = names
        return [
            {premise: one, hypothesis: other, label: right, "idx": index}
            for index, (one, other, right) in enumerate(found)
        ]

    nli, questions = ("premise", "hypothesis", "label"), ("question1", "question2", "label")
    two = [(one, other, label % 2) for one, other, label in pairs(24, 500)]
    snli = [
        {"premise": one, "hypothesis": other, "label": -1 if number % 4 == 3 else label}
        for number, (one, other, label) in enumerate(pairs(8, 400))
    ]
    anli = {
        f"plain_text/{split}_{name}-00000-of-00001.parquet": [
            {"uid": f"{name}-{number}", "premise": one, "hypothesis": other, "label": label, "reason": ""}
            for number, (one, other, label) in enumerate(pairs(6 if split == "train" else 4, at + shift))
        ]
        for name, at in (("r1", 100), ("r2", 200), ("r3", 300))
        for split, shift in (("train", 0), ("dev", 50), ("test", 80))
    }
    return {
        "nyu-mll/glue": {
            "mnli/train-00000-of-00001.parquet": numbered(pairs(24, 0), *nli),
            "mnli/validation_matched-00000-of-00001.parquet": numbered(pairs(8, 50), *nli),
            "mnli/validation_mismatched-00000-of-00001.parquet": numbered(pairs(8, 70), *nli),
            "qqp/train-00000-of-00001.parquet": numbered(two, *questions),
            "qqp/validation-00000-of-00001.parquet": numbered(
                [(one, other, label % 2) for one, other, label in pairs(8, 600)], *questions
            ),
        },
        "facebook/anli": anli,
        "stanfordnlp/snli": {"plain_text/train-00000-of-00001.parquet": snli},
    }
