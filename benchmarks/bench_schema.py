"""The schema pass: seconds for 10,000 rows in each published format, against parsing the same files without a check.

Files are made here, with the fields, numbers and about the lengths of the published ones: XCOPA's hold 500 items each,
so 20 are read; SocialIQA's 10,000 rows are one file. Our side is all of `load_examples`: parse, check, repair, make
examples and their digest (parquet: without the digest). The plain side is `json.loads` of each line, ElementTree, or
pyarrow, to dictionaries. Parity: both read the same first texts. Sides are interleaved in one process, after a round
that is not counted, in seconds of the CPU: what else the machine does is not what is asked. The target is under 1 s.
Prints a JSON record with the medians.

Run: .venv/bin/python benchmarks/bench_schema.py
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow
import pyarrow.parquet

from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.copa import TEST_ITEMS, true_questions
from adapter_transfer.tasks.parquet import read_parquet
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.schema import check_rows
from adapter_transfer.tasks.task import load_examples

REPEATS = 5
NUM_ROWS = 10_000
NUM_FILES = NUM_ROWS // len(TEST_ITEMS)
XCOPA, SOCIALIQA = TASKS["xcopa"], TASKS["socialiqa"]
SENTENCE = "เด็กผู้ชายคนนั้นวิ่งกลับบ้านเพราะฝนตกหนักมาก"  # as in Thai, whose bytes are three times its characters
SITUATION = "Tracy did not go home that evening and resisted the attacks of Riley, who had waited at the door"


def copa_rows() -> list[dict[str, Any]]:
    return [
        {
            "premise": f"{SENTENCE} {idx}",
            "choice1": f"{SENTENCE} ก {idx}",
            "choice2": f"{SENTENCE} ข {idx}",
            "question": "effect",
            "label": idx % 2,
            "idx": idx,
            "changed": False,
        }
        for idx in range(len(TEST_ITEMS))
    ]


def socialiqa_rows() -> list[dict[str, Any]]:
    return [
        {
            "context": f"{SITUATION} ({number}).",
            "question": "What does Tracy need to do before this?",
            "answerA": f"make a new plan {number}",
            "answerB": "Go home and see Riley",
            "answerC": "Find somewhere to go",
            "correct": "ABC"[number % 3],
        }
        for number in range(NUM_ROWS)
    ]


def jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows), "utf-8", newline="")
    return path


def copa_xml(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    items = [
        f'<item id="{item}" asks-for="{true_questions()[item]}" most-plausible-alternative="{item % 2 + 1}">\n'
        f"<p>{SITUATION} {item}</p>\n<a1>It was fragile.</a1>\n<a2>It was small.</a2>\n</item>\n"
        for item in TEST_ITEMS
    ]
    path.write_text(f'<!DOCTYPE c SYSTEM "copa.dtd">\n<c>\n{"".join(items)}</c>\n', "utf-8")
    return path


def ours(task: Any, published: str, language: str, folder: Path, times: int) -> Callable[[], list[str]]:
    def read() -> list[str]:
        reading = Reading(published)
        return [p for _ in range(times) for p in load_examples(task, "test", language, reading, folder).premises]

    return read


def checked_parquet(path: Path) -> list[str]:
    """The same pass over parquet; the Hub's part is left out."""
    part = SOCIALIQA.source.find("trn", "en")
    assert part is not None and part.hub is not None
    rows = read_parquet(path, path.name)
    return list(check_rows(rows, part.files[0].form, SOCIALIQA.format, repairs=True).premises)


def plain_jsonl(path: Path, column: str, times: int) -> list[str]:
    return [json.loads(line)[column] for _ in range(times) for line in path.read_bytes().splitlines()]


def plain_xml(path: Path) -> list[str]:
    return [str(item.findtext("p")) for _ in range(NUM_FILES) for item in ElementTree.parse(path).getroot()]


def plain_parquet(path: Path) -> list[str]:
    return [row["context"] for row in pyarrow.parquet.read_table(path).to_pylist()]


def main() -> None:
    os.environ["HF_DATASETS_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HF_HOME"] = str(folder / "home")
        translated = jsonl(folder / "xcopa/data/th/test.th.jsonl", copa_rows())
        situations = jsonl(folder / "socialiqa/socialIQa_v1.4_trn.jsonl", socialiqa_rows())
        english, parquet = copa_xml(folder / "copa/copa-test.xml"), folder / "0000.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(socialiqa_rows()), parquet)
        sides: dict[str, tuple[Callable[[], list[str]], Callable[[], list[str]]]] = {
            "xcopa jsonl": (
                ours(XCOPA, "test", "th", folder, NUM_FILES),
                lambda: plain_jsonl(translated, "premise", NUM_FILES),
            ),
            "copa xml": (ours(XCOPA, "test", "en", folder, NUM_FILES), lambda: plain_xml(english)),
            "socialiqa jsonl": (
                ours(SOCIALIQA, "trn", "en", folder, 1),
                lambda: plain_jsonl(situations, "context", 1),
            ),
            "socialiqa parquet": (lambda: checked_parquet(parquet), lambda: plain_parquet(parquet)),
        }
        seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in sides}
        for repeat in range(1 + REPEATS):
            for name, pair in sides.items():
                texts = []
                for side, read in enumerate(pair):
                    started = time.process_time()
                    texts.append(read())
                    if repeat:
                        seconds[name][side].append(time.process_time() - started)
                assert texts[0] == texts[1] and len(texts[0]) == NUM_ROWS
    medians = {name: [statistics.median(side) for side in pair] for name, pair in seconds.items()}
    print(
        json.dumps(
            {
                "benchmark": "schema",
                "rows": NUM_ROWS,
                "repeats": REPEATS,
                "median_cpu_seconds": {name: round(checked, 3) for name, (checked, _) in medians.items()},
                "plain_parsing_cpu_seconds": {name: round(plain, 3) for name, (_, plain) in medians.items()},
                "slowest_cpu_seconds": round(max(max(checked) for checked, _ in seconds.values()), 3),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
