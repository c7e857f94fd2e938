"""Cosmos QA: CSV with CRLF, quotes and line ends in fields, and every planted fault."""

from __future__ import annotations

import re

import pytest
from planted import problems_of, require_found_alone
from published_questions import as_csv, cosmosqa_rows
from seeded_faults import Fault, Parts, replaced

from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.task import load_examples

TASK = TASKS["cosmosqa"]
FILE = "cosmosqa/train.csv"
# A row takes two lines: its context holds a line feed.
FAULTS = [
    Fault(
        "label outside", replaced(rb",\d\r\n$", b",4\r\n"), "^column 'label' is '4'; allowed are '0', '1', '2', '3'$"
    ),
    Fault("label from text", replaced(rb",\d\r\n$", b",one\r\n"), "^column 'label' is 'one'; allowed are"),
    Fault("label missing", replaced(rb",\d\r\n$", b"\r\n"), "^7 fields; the first line names 8 columns$"),
    Fault("label empty", replaced(rb",\d\r\n$", b",\r\n"), "^column 'label' is ''; allowed are"),
    Fault("a field too many", replaced(rb",\d\r\n$", b",1,1\r\n"), "^9 fields; the first line names 8 columns$"),
    Fault("text empty", replaced(rb"Why did he leave \?", b""), "^column 'question' is blank$"),
    Fault("text of blanks", replaced(rb"Why did he leave \?", b" \xc2\xa0"), "^column 'question' is blank$"),
    Fault("id empty", replaced(rb"^[^,]+", b""), "^column 'id' is blank$"),
    Fault("not UTF-8", replaced(rb"Why", b"W\xe9"), "^column 'question' is not UTF-8 at its byte 2$"),
    Fault("wrongly decoded", replaced(rb"Why", "W\ufffd".encode()), r"^column 'question' holds U\+FFFD"),
    Fault("a NUL byte", replaced(rb"Why", b"W\0y"), "^column 'question' holds a NUL byte$"),
    Fault("an answer repeated", replaced(rb"He wo nt say \.", b"None of the above choices ."), "^choices 1 and 3 are"),
    Fault("cut in a quoted field", lambda row: row[: row.index(b"no ,")], "not closed", ends_file=True, is_last=True),
    Fault("cut between fields", lambda row: row[: row.index(b"Why")], "cut off: 3 fields", is_last=True),
]


def split_csv(content: bytes) -> Parts:
    header, rest = content.split(b"\r\n", 1)
    return header + b"\r\n", re.findall(rb".*?\r\n", rest, re.DOTALL), b""


def test_context_and_question_stand_before_each_answer(data_dir):
    example = load_examples(TASK, "train", "en", data_dir=data_dir).examples[5]
    first = 'He said : " no , 5 " .\nThen he left . Why did he leave ?'
    assert example.rows[1] == (first, "He was tired , 5 times .")
    assert example.rows[3] == (first, 'They said " go " .')
    assert (example.id, example.label) == ("3X##Blog_5##q1_a1", 1)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_every_planted_fault_is_found(fault, data_dir):
    require_found_alone("cosmosqa", "train", data_dir, FILE, split_csv((data_dir / FILE).read_bytes()), fault)


def test_an_open_quote_is_told_where_it_was_opened_and_nothing_behind_it_is_trusted(data_dir):
    header, rows, _ = split_csv((data_dir / FILE).read_bytes())
    rows[4] = rows[4].replace(b'left ."', b"left .")
    (data_dir / FILE).write_bytes(header + b"".join(rows))
    first, *_ = problems_of("cosmosqa", "train", data_dir)
    assert (first.place, first.ends_file) == (f"{FILE}:10", True)


def test_a_repeated_id_is_told_with_both_places(data_dir):
    rows = cosmosqa_rows(3)
    rows[2]["id"] = rows[0]["id"]
    (data_dir / FILE).write_bytes(as_csv(rows))
    (problem,) = problems_of("cosmosqa", "train", data_dir)
    assert (problem.place, problem.message) == (f"{FILE}:6", f"item '3X##Blog_0##q1_a1' stands already at {FILE}:2")


def test_columns_are_known_by_name(data_dir):
    rows = [dict(reversed(row.items())) for row in cosmosqa_rows(24)]
    sound = load_examples(TASK, "train", "en", data_dir=data_dir).digest
    (data_dir / FILE).write_bytes(as_csv(rows))
    assert load_examples(TASK, "train", "en", data_dir=data_dir).digest == sound


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (as_csv([{**row, "why": "x"} for row in cosmosqa_rows(24)]), "'why' is unknown"),
        (b"\xef\xbb\xbf" + as_csv(cosmosqa_rows(24)), r"'id' is missing; '\ufeffid' is unknown"),
        (b"id,context\r" + as_csv(cosmosqa_rows(24)).replace(b"\r\n", b"\r").replace(b"\n", b" "), "is missing; "),
    ],
    ids=["a column too many", "byte-order mark", "line ends of old"],
)
def test_a_fault_of_the_first_line_is_told_once(content, message, data_dir):
    """A table program's byte-order mark makes no fault of every row."""
    (data_dir / FILE).write_bytes(content)
    (problem,) = problems_of("cosmosqa", "train", data_dir)
    assert (problem.place, problem.ends_file) == (f"{FILE}:1", True)
    assert message in problem.message


def test_the_published_validation_set(shared_data):
    loaded = load_examples(TASK, "validation", "en", data_dir=shared_data)
    assert (len(loaded.examples), loaded.problems) == (2985, ())
    assert list(TASK.format.count_labels(loaded.examples).values()) == [744, 729, 761, 751]
    nothing = sum(("None of the above choices .") in (choice for _, choice in each.rows) for each in loaded.examples)
    assert nothing == 2187
