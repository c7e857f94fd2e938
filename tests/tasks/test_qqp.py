"""QQP in GLUE's tables, on the Hub and as one JSON object: which label is which, and every planted fault found."""

from __future__ import annotations

import json
import re

import pytest
from published_data import write_file
from published_pairs import QQP_COLUMNS, pairs, qqp_json, qqp_tsv
from seeded_faults import Fault, replaced, write_with_faults
from seeded_tables import part_alone, problems_of, split_lines, table_faults

from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.schema import PlacedRow, SchemaError, check_rows
from adapter_transfer.tasks.task import load_examples

TASK = TASKS["qqp"]


def read(published, data_dir, **how):
    return load_examples(TASK, "train", "en", Reading(published, **how), data_dir)


def content(loaded):
    return [(*example.rows[0], example.label) for example in loaded.examples]


def expected(number, first):
    return [(one, other, label % 2) for one, other, label in pairs(number, first)]


def test_every_source_gives_the_same_pairs(data_dir, fake_hub, tmp_path):
    revisions = fake_hub("nyu-mll/glue")
    for published, rows in (("train", expected(24, 500)), ("dev", expected(8, 600))):
        assert content(read(published, data_dir)) == rows
        assert content(read(published, None, revisions=revisions)) == rows
    write_file(tmp_path / "qqp" / "textpair-sample" / "dev.json", qqp_json(pairs(8, 600)))
    assert content(read("textpair-dev", tmp_path)) == expected(8, 600)


def test_f1_is_of_the_duplicates(data_dir):
    assert (TASK.format.metric, TASK.format.positive, TASK.format.chance) == ("f1", "duplicate", None)
    loaded = read("train", data_dir)
    # Of 24 pairs, labels turn 0, 1, 2 and count as 0, 1, 0.
    assert TASK.format.count_labels(loaded.examples) == {"not_duplicate": 16, "duplicate": 8}


def test_rows_with_a_field_too_few_are_left_out_only_when_told_to(data_dir):
    path = data_dir / "QQP" / "train.tsv"
    path.write_bytes(path.read_bytes().replace(b'3\tItem 507: "we ran,', b'3\tItem 507: "we\nran,'))
    with pytest.raises(SchemaError, match=r"QQP/train\.tsv:9: 4 fields; the first line names 6 columns\n"):
        read("train", data_dir)
    loaded = read("train", data_dir, on_bad_row="skip")
    assert content(loaded) == [row for number, row in enumerate(expected(24, 500)) if number != 7]
    assert [problem.place for problem in loaded.problems] == ["QQP/train.tsv:9", "QQP/train.tsv:10"]


def test_the_two_published_rows_without_a_second_question_are_kept(data_dir):
    """An empty question is a fault but where the publisher has one, in the files and on the Hub."""
    sound = pairs(8, 600)
    for question, is_known in (("How can I create an Android app?", True), ("How can I tell?", False)):
        write_file(data_dir / "QQP" / "dev.tsv", qqp_tsv([*sound[:5], (question, "", 0), *sound[6:]]))
        hub_row = {"question1": question, "question2": "", "label": 0, "idx": 5}
        form = TASK.source.find("dev", "en").hub.form
        on_hub = check_rows([PlacedRow(hub_row, "here:1")], form, TASK.format, repairs=True)
        if is_known:
            assert content(read("dev", data_dir))[5][:2] == (question, "")
            assert not on_hub.problems
        else:
            with pytest.raises(SchemaError, match=r"QQP/dev\.tsv:7: column 'question2' is blank"):
                read("dev", data_dir)
            assert [str(problem) for problem in on_hub.problems] == ["here:1: column 'question2' is blank"]


def test_a_repeated_id_is_told_with_both_places(data_dir):
    path = data_dir / "QQP" / "dev.tsv"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:-1], lines[2], b""]))
    with pytest.raises(SchemaError, match=r"QQP/dev\.tsv:10: item '1' stands already at QQP/dev\.tsv:3"):
        read("dev", data_dir)


TSV_FAULTS = table_faults(QQP_COLUMNS, "question2", "is_duplicate", "id", quotes=False)


@pytest.mark.parametrize("fault", TSV_FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("place", [0, 4, 6])
def test_every_fault_of_the_table_is_found(fault, place, tmp_path):
    part = TASK.source.find("train", "en")
    task = part_alone(TASK, part, part.files[0])
    parts = split_lines(qqp_tsv(pairs(8, 0)))
    path = write_file(tmp_path / "QQP" / "train.tsv", b"")
    assert write_with_faults(path, parts, {}) == {}
    assert problems_of(task, tmp_path) == ()
    index = len(parts[1]) - 1 if fault.is_last else place
    lines = write_with_faults(path, parts, {index: fault})
    (problem,) = problems_of(task, tmp_path)
    assert problem.place == f"QQP/train.tsv:{lines[index]}"
    assert re.search(fault.message, problem.message), problem
    assert not problem.ends_file


# Faults of a row of the JSON object, which takes five lines.
JSON_FAULTS = [
    Fault("label outside", replaced(rb'("label": )"."', rb'\1"2"'), "column 'label' is '2'; allowed are '0', '1'"),
    Fault("label is a number", replaced(rb'("label": )".*?"', rb"\g<1>1"), "column 'label' is 1; allowed"),
    Fault("label missing", replaced(rb',\s+"label": ".*?"', b""), "column 'label' is missing"),
    Fault("column unknown", replaced(rb'"label"', b'"id": 1, "label"'), "column 'id' is unknown"),
    Fault("text empty", replaced(rb'("text_b": )".*?"', rb'\1""'), "column 'text_b' is blank"),
    Fault("text is null", replaced(rb'("text_b": )".*?"', rb"\1null"), "column 'text_b' is null"),
    Fault("half a pair", replaced(rb'("text_b": ")', rb"\1\\ud83d"), "holds half a surrogate pair"),
    Fault("wrongly decoded", replaced(rb'("text_b": ")', rb"\1\\ufffd"), "holds U\\+FFFD"),
    Fault("not UTF-8", replaced(rb'("text_b": ")', b"\\1caf\xe9"), "not UTF-8 in line"),
    Fault("a field twice", replaced(rb'"label"', b'"label": "1", "label"'), "'label' stands twice in an object"),
    Fault("key is no number", replaced(rb'"(\d)": \{', rb'"\1x": {'), "column 'key' is '.x'; expected"),
    Fault("no object", replaced(rb"\{.*?\}", b'["a"]'), "expected a JSON object, found a list"),
    Fault("a NUL byte", replaced(rb'("text_b": ")', b"\\1\0"), "not JSON", ends_file=True),
    Fault("a quote too few", replaced(rb'("label": ".*?)"', rb"\1"), "not JSON", ends_file=True),
    Fault("no comma", replaced(rb'",(\s+"label")', rb'"\1'), "not JSON", ends_file=True),
    Fault("cut off", lambda row: row[: len(row) // 2], "not JSON", ends_file=True, is_last=True),
]


@pytest.mark.parametrize("fault", JSON_FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("place", [0, 4, 6])
def test_every_fault_of_the_json_object_is_found(fault, place, tmp_path):
    sound = qqp_json(pairs(8, 0))
    rows = re.findall(rb'    "\d": \{.*?\n    \},?\n', sound, flags=re.DOTALL)
    parts = (b"{\n", rows, b"}")
    assert b"".join([parts[0], *rows, parts[2]]) == sound
    part = TASK.source.find("textpair-dev", "en")
    task = part_alone(TASK, part, part.files[0])
    path = write_file(tmp_path / "qqp" / "textpair-sample" / "dev.json", sound)
    assert problems_of(task, tmp_path) == ()
    index = len(rows) - 1 if fault.is_last else place
    lines = write_with_faults(path, parts, {index: fault})
    (problem,) = problems_of(task, tmp_path)
    assert problem.place == f"qqp/textpair-sample/dev.json:{lines[index]}"
    assert re.search(fault.message, problem.message), problem
    assert problem.ends_file == fault.ends_file


@pytest.mark.parametrize(
    ("published", "counts"),
    [
        ("textpair-train", (5747, 3252)),
        ("textpair-dev", (623, 377)),
        ("glue-sample-train", (80, 80)),
        ("glue-sample-dev", (80, 80)),
    ],
)
def test_published_files_are_read_whole(published, counts, shared_data):
    loaded = read(published, shared_data)
    assert tuple(TASK.format.count_labels(loaded.examples).values()) == counts
    assert loaded.problems == ()


def test_labels_agree_where_a_pair_is_in_both_samples(shared_data):
    tables = {
        pair[:2]: pair[2] for half in ("train", "dev") for pair in content(read(f"glue-sample-{half}", shared_data))
    }
    objects = {
        pair[:2]: pair[2] for half in ("train", "dev") for pair in content(read(f"textpair-{half}", shared_data))
    }
    both = tables.keys() & objects.keys()
    assert len(both) == 10
    assert all(tables[pair] == objects[pair] for pair in both)
    keys = json.loads((shared_data / "qqp" / "textpair-sample" / "dev.json").read_text("utf-8"))
    assert [example.id for example in read("textpair-dev", shared_data).examples] == list(keys)
