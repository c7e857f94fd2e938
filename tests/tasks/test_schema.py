"""The schema pass finds every fault that is planted, at its file and line, and nothing in sound files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from published_data import copa_rows, hub_socialiqa, socialiqa_rows, write_parquet, xcopa_rows
from seeded_faults import Fault, jsonl_faults, split_jsonl, split_xml, write_with_faults, xml_faults

from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.schema import SchemaError
from adapter_transfer.tasks.task import load_examples

COPA_FAULTS = jsonl_faults("choice2", "label", {"question": "why", "idx": 1000})
XCOPA_FAULTS = [
    *jsonl_faults("premise", "label", {"question": "Effect", "idx": -1}),
    Fault(
        "flag is a number", lambda row: re.sub(rb'"changed": \w+', b'"changed": 0', row), "column 'changed' is a whole"
    ),
]
SOCIALIQA_FAULTS = [f for f in jsonl_faults("answerC", "correct", {"correct": "D"}) if "number" not in f.name]

# Format → task, published split, language, file in a folder of published files, its rows, faults.
FORMATS = {
    "COPA JSONL": ("xcopa", "train", "en", "copa/superglue-form/train-en.jsonl", split_jsonl, COPA_FAULTS),
    "XCOPA JSONL": ("xcopa", "test", "th", "xcopa/data/th/test.th.jsonl", split_jsonl, XCOPA_FAULTS),
    "SocialIQA JSONL": ("socialiqa", "dev", "en", "socialiqa/socialIQa_v1.4_dev.jsonl", split_jsonl, SOCIALIQA_FAULTS),
    "COPA XML": ("xcopa", "test", "en", "copa/copa-test.xml", split_xml, xml_faults()),
}
SEEDED = [pytest.param(name, fault, id=f"{name}: {fault.name}") for name, row in FORMATS.items() for fault in row[-1]]
each_fault = pytest.mark.parametrize(("name", "fault"), SEEDED)
each_format = pytest.mark.parametrize("name", FORMATS)


def problems_of(name: str, folder: Path):
    """The problems of the file of one format; none where it is sound."""
    task, published, language, *_ = FORMATS[name]
    try:
        loaded = load_examples(TASKS[task], "test", language, Reading(published), folder)
    except SchemaError as error:
        return error.problems
    return loaded.problems


def require_found(fault: Fault, line: int | range, file: str, problem) -> None:
    place = re.fullmatch(rf"{re.escape(file)}:(\d+)", problem.place)
    assert place is not None, problem
    assert int(place[1]) in ([line] if isinstance(line, int) else line), (fault.name, problem)
    assert re.search(fault.message, problem.message), (fault.name, problem)
    assert problem.ends_file == fault.ends_file


def copied(name: str, source: Path, target: Path) -> Path:
    """A copy of one format's file alone."""
    file = FORMATS[name][3]
    (target / file).parent.mkdir(parents=True)
    shutil.copyfile(source / file, target / file)
    return target / file


def require_found_alone(name: str, fault: Fault, source: Path, tmp_path: Path, *shares: float) -> None:
    """The fault is the one problem of a copy, wherever it is planted; a share is a place from 0 (first row) to 1."""
    *_, file, split, _ = FORMATS[name]
    path = copied(name, source, tmp_path / "copy")
    parts = split(path.read_bytes())
    last = len(parts[1]) - 1
    for index in {last} if fault.is_last else {int(share * (last - 1)) for share in shares}:
        lines = write_with_faults(path, parts, {index: fault})
        (problem,) = problems_of(name, tmp_path / "copy")
        require_found(fault, lines[index], file, problem)


@each_fault
def test_every_fault_is_found_in_small_files(name, fault, data_dir, tmp_path):
    require_found_alone(name, fault, data_dir, tmp_path, 0, 0.5, 1)


@each_fault
def test_every_fault_is_found_in_published_files(name, fault, shared_data, tmp_path):
    require_found_alone(name, fault, shared_data, tmp_path, 0.7)


@each_format
def test_all_faults_of_a_file_are_told_at_once(name, shared_data, tmp_path):
    *_, file, split, faults = FORMATS[name]
    path = copied(name, shared_data, tmp_path)
    parts = split(path.read_bytes())
    faults = sorted(faults, key=lambda fault: fault.is_last)
    ends = [fault for fault in faults if fault.ends_file or fault.is_last]
    planted = {3 * index: fault for index, fault in enumerate(f for f in faults if f not in ends)}
    planted[len(parts[1]) - 1] = ends[-1]
    lines = write_with_faults(path, parts, planted)
    problems = problems_of(name, tmp_path)
    assert len(problems) == len(planted)
    for (index, fault), problem in zip(planted.items(), problems, strict=True):
        require_found(fault, lines[index], file, problem)


@pytest.mark.parametrize("name", [name for name in FORMATS if "Social" not in name])  # whose rows have no ids
def test_an_item_that_stands_twice_is_found(name, data_dir, tmp_path):
    *_, file, split, _ = FORMATS[name]
    path = copied(name, data_dir, tmp_path / "copy")
    before, rows, after = split(path.read_bytes())
    path.write_bytes(before + b"".join([*rows, rows[1]]) + after)
    (problem,) = problems_of(name, tmp_path / "copy")
    first = (before + rows[0]).count(b"\n") + 1
    again = (before + b"".join(rows)).count(b"\n") + 1
    assert problem.place == f"{file}:{again}"
    assert re.fullmatch(rf"item '\d+' stands already at {re.escape(file)}:{first}", problem.message)


def parquet_problems(path: Path, task: str, published: str, language: str, revisions):
    with pytest.raises(SchemaError) as caught:
        load_examples(TASKS[task], "test", language, Reading(published, revisions=revisions))
    return [(problem.place.removeprefix(path.name), problem.message) for problem in caught.value.problems]


# Name, changes of a row, what is said of the column; None as a value of a row leaves a null.
PARQUET_FAULTS = [
    ("label outside", {"label": 7}, "column 'label' is 7; allowed are 0, 1"),
    ("question outside", {"question": "why"}, "column 'question' is 'why'; allowed are 'cause', 'effect'"),
    ("text blank", {"choice1": " \u200f"}, "column 'choice1' is blank"),
    ("text null", {"premise": None}, "column 'premise' is null; expected a text"),
    ("label null", {"label": None}, "column 'label' is null; allowed are 0, 1"),
    ("idx outside", {"idx": 500}, "column 'idx' is 500; allowed are 0 to 499"),
    (
        "wrongly decoded",
        {"premise": "caf\ufffd"},
        "column 'premise' holds U+FFFD, the mark of text that was decoded with",
    ),
    ("item twice", {"idx": 0}, "item '501' stands already at th/test-00000-of-00001.parquet: row 1"),
]


@pytest.mark.parametrize(("name", "changes", "message"), PARQUET_FAULTS, ids=[row[0] for row in PARQUET_FAULTS])
def test_every_fault_is_found_in_parquet(name, changes, message, tmp_path, fake_hub):
    revisions = fake_hub("cambridgeltl/xcopa")
    path = tmp_path / "hub" / "xcopa" / "th" / "test-00000-of-00001.parquet"
    rows = xcopa_rows(501, "th")
    write_parquet(path, [*rows[:5], {**rows[5], **changes}, *rows[6:]])
    ((place, told),) = parquet_problems(path, "xcopa", "test", "th", revisions)
    assert place == "th/test-00000-of-00001.parquet: row 6"
    assert told.startswith(message)


@pytest.mark.parametrize("fault", ["missing", "unknown", "text", "fraction", "truth value"])
def test_columns_of_the_wrong_kind_are_found_in_parquet(fault, tmp_path, fake_hub):
    revisions = fake_hub("allenai/social_i_qa")
    path = tmp_path / "hub" / "socialiqa" / "default" / "train" / "0000.parquet"
    rows = [hub_socialiqa(row) for row in socialiqa_rows(4)]
    changes = {
        "missing": (lambda row: {k: v for k, v in row.items() if k != "answerB"}, "column 'answerB' is missing"),
        "unknown": (lambda row: {**row, "idx": 1}, "column 'idx' is unknown"),
        "text": (lambda row: {**row, "context": 5}, "column 'context' is a whole number; expected a text"),
        "fraction": (lambda row: {**row, "label": 1.0}, "column 'label' is a number; allowed are '1', '2', '3'"),
        "truth value": (lambda row: {**row, "label": True}, "column 'label' is True; allowed are '1', '2', '3'"),
    }
    change, message = changes[fault]
    write_parquet(path, [change(row) for row in rows])
    told = parquet_problems(path, "socialiqa", "trn", "en", revisions)
    assert told == [(f"default/train/0000.parquet: row {number}", message) for number in range(1, 5)]


def test_parquet_that_is_not_utf8_or_damaged(tmp_path, fake_hub):
    import pyarrow
    import pyarrow.parquet

    revisions = fake_hub("aps/super_glue")
    path = tmp_path / "hub" / "superglue" / "copa" / "train-00000-of-00001.parquet"
    table = pyarrow.Table.from_pylist(copa_rows(1))
    texts = [row["premise"].encode() for row in copa_rows(1)]
    texts[2] = b"caf\xe9 au lait"
    pyarrow.parquet.write_table(
        table.set_column(0, "premise", pyarrow.array(texts, pyarrow.binary()).view(pyarrow.string())), path
    )
    ((place, told),) = parquet_problems(path, "xcopa", "train", "en", revisions)
    assert (place, told) == (
        "copa/train-00000-of-00001.parquet: row 3",
        "not UTF-8 (invalid continuation byte at byte 4 of a text)",
    )
    for content, message in ((path.read_bytes()[:-100], "magic bytes not found"), (b"PK", "file size is 2 bytes")):
        path.write_bytes(content)
        ((place, told),) = parquet_problems(path, "xcopa", "train", "en", revisions)
        assert place == "copa/train-00000-of-00001.parquet: row 1"
        assert message in told


@pytest.mark.parametrize("name", ["XCOPA JSONL", "COPA XML"])
def test_a_file_that_ends_in_the_middle_is_never_skipped_over(name, data_dir, tmp_path):
    task, published, language, _, split, _ = FORMATS[name]
    path = copied(name, data_dir, tmp_path / "copy")
    _, rows, _ = split(path.read_bytes())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - len(rows[-1]) // 2 - 20])

    def skipping():
        return load_examples(TASKS[task], "test", language, Reading(published, on_bad_row="skip"), tmp_path / "copy")

    if name == "COPA XML":
        with pytest.raises(SchemaError, match=r"Get the file anew: .* cannot be skipped over"):
            skipping()
    else:
        loaded = skipping()  # it is clear that one row is lost
        assert [len(loaded.examples), len(loaded.problems)] == [len(rows) - 1, 1]
