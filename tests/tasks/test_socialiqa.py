"""SocialIQA in the three forms that it is published in."""

from __future__ import annotations

import json
import re

import pytest
from published_data import hub_socialiqa, jsonl, socialiqa_rows, write_file, write_parquet

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.schema import SchemaError
from adapter_transfer.tasks.task import load_examples

TASK = TASKS["socialiqa"]


def read(published, data_dir, **how):
    return load_examples(TASK, "train", "en", Reading(published, **how), data_dir)


def archive(folder, rows, labels):
    """As in the leaderboard's archive: labels are in a file of their own."""
    unlabelled = [{key: value for key, value in row.items() if key != "correct"} for row in rows]
    write_file(folder / "socialiqa-train-dev" / "dev.jsonl", jsonl(unlabelled))
    write_file(folder / "socialiqa-train-dev" / "dev-labels.lst", labels)
    return folder


def test_a_row_becomes_situation_with_question_and_answers(data_dir):
    example = read("tst", data_dir).examples[1]
    first = 'Kai201 gave Sasha201 a "present"\u2028in the park. How would Sasha feel?'
    assert example.rows == ((first, "happy,  and 201"), (first, "like leaving"), (first, "bored"))
    assert (example.id, example.label) == ("1", 201 % 3)


def test_every_source_gives_the_same_examples(data_dir, fake_hub, tmp_path):
    from_files = read("dev", data_dir)
    rows = socialiqa_rows(8, 100)
    labels = "".join(hub_socialiqa(row)["label"] + "\n" for row in rows).encode()
    from_archive = read("dev", archive(tmp_path / "archive", rows, labels))
    from_hub = read("dev", None, revisions=fake_hub("allenai/social_i_qa"))
    assert from_files.digest == from_archive.digest == from_hub.digest
    assert from_archive.source == "socialiqa-train-dev/dev.jsonl"
    assert from_hub.source.endswith(" default/validation/0000.parquet")


@pytest.mark.parametrize("labels", [b"1\n2\n", b"1\n" * 9])
def test_labels_and_rows_of_different_length_are_refused(tmp_path, labels):
    folder = archive(tmp_path, socialiqa_rows(8), labels)
    with pytest.raises(SchemaError, match="has fewer rows than the other"):
        read("dev", folder, on_bad_row="skip")


def lines_of(rows):
    return [f"{json.dumps(row)}\n".encode() for row in rows]


# How the lines of eight rows are broken so that eight events are left, and the problems that are told of it.
UNPAIRED = {
    "blank first, row lost": (lambda lines: [b"\n", *lines[:-1]], {1: "a blank line"}),
    "blank for a row": (lambda lines: [*lines[:3], b" \r\n", *lines[4:]], {4: "a blank line"}),
    "row in two lines": (
        lambda lines: [lines[0][:20] + b"\n", lines[0][20:], *lines[1:-1]],
        {1: "not JSON .*", 2: "not JSON .*"},
    ),
    "two rows in a line": (
        lambda lines: [*lines[:2], lines[2].rstrip() + lines[3], *lines[4:], lines[0]],
        {3: r"not JSON \(Extra data.*"},
    ),
    "cut off": (lambda lines: [*lines[:-1], lines[-1][:40]], {8: "the last line is cut off: not JSON .*"}),
}


@pytest.mark.parametrize("on_bad_row", ["fail", "skip"])
@pytest.mark.parametrize("name", UNPAIRED)
def test_rows_are_never_paired_with_the_label_of_another(name, on_bad_row, tmp_path):
    rows = socialiqa_rows(8, 100)
    labels = "".join(hub_socialiqa(row)["label"] + "\n" for row in rows).encode()
    folder = archive(tmp_path, rows, labels)
    unlabelled = lines_of({key: value for key, value in row.items() if key != "correct"} for row in rows)
    broken, expected = UNPAIRED[name]
    write_file(folder / "socialiqa-train-dev" / "dev.jsonl", b"".join(broken(unlabelled)))
    with pytest.raises(SchemaError, match="cannot be skipped over") as caught:
        read("dev", folder, on_bad_row=on_bad_row)
    told = {problem.place: problem for problem in caught.value.problems}
    assert list(told) == [f"socialiqa-train-dev/dev.jsonl:{line}" for line in expected]
    for problem, message in zip(told.values(), expected.values(), strict=True):
        assert re.fullmatch(message, problem.message)
        assert problem.ends_file


def test_a_blank_line_among_labels_is_told_by_its_line(tmp_path):
    folder = archive(tmp_path, socialiqa_rows(4), b"1\n\n2\n3\n")
    for on_bad_row in ("fail", "skip"):
        with pytest.raises(SchemaError, match=r"socialiqa-train-dev/dev-labels\.lst:2: a blank line") as caught:
            read("dev", folder, on_bad_row=on_bad_row)
        assert len(caught.value.problems) == 1
    assert len(read("dev", archive(tmp_path, socialiqa_rows(3), b"1\r\n2\r\n3\r\n\r\n \n")).examples) == 3


def test_rows_with_a_faulty_column_are_skipped_with_their_label(tmp_path):
    rows = socialiqa_rows(8, 100)
    labels = "".join(hub_socialiqa(row)["label"] + "\n" for row in rows).encode()
    sound = read("dev", archive(tmp_path / "sound", rows, labels)).examples
    faulty = archive(tmp_path / "faulty", [*rows[:2], {**rows[2], "answerB": ""}, *rows[3:]], labels)
    loaded = read("dev", faulty, on_bad_row="skip")
    assert loaded.examples == (*sound[:2], *sound[3:])
    assert [problem.place for problem in loaded.problems] == ["socialiqa-train-dev/dev.jsonl:3"]


def test_labels_of_older_conversions_end_in_a_line_feed(tmp_path, fake_hub):
    revisions = fake_hub("allenai/social_i_qa")
    sound = read("dev", None, revisions=revisions)
    path = tmp_path / "hub" / "socialiqa" / "default" / "validation" / "0000.parquet"
    rows = [hub_socialiqa(row) for row in socialiqa_rows(8, 100)]
    write_parquet(path, [{**row, "label": f"{row['label']}\n"} for row in rows])
    assert read("dev", None, revisions=revisions).digest == sound.digest
    write_parquet(path, [{**row, "label": f"{row['label']}\n\n"} for row in rows])
    with pytest.raises(SchemaError, match=r"row 1: column 'label' is '2\\n\\n'; allowed are '1', '2', '3'"):
        read("dev", None, revisions=revisions)


def test_faulty_labels_and_missing_label_files(tmp_path):
    folder = archive(tmp_path, socialiqa_rows(3), b"1\n4\n3\n")
    with pytest.raises(SchemaError, match=r"dev\.jsonl:2: column 'label' is '4'; allowed are '1', '2', '3'"):
        read("dev", folder)
    (folder / "socialiqa-train-dev" / "dev-labels.lst").unlink()
    with pytest.raises(DataError, match=r"socialiqa-train-dev/dev-labels\.lst: no such file"):
        read("dev", folder)


def test_published_rows_that_repeat_are_kept(shared_data):
    for published, number in (("dev", 1954), ("tst", 2224)):
        loaded = read(published, shared_data)
        assert (len(loaded.examples), loaded.problems) == (number, ())
