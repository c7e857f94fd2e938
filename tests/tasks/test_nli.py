"""MNLI, ANLI and SNLI: one order of labels over all forms, ANLI+ put together, and every planted fault found."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from published_data import jsonl, write_file, write_parquet
from published_pairs import (
    ANALYSIS_COLUMNS,
    MNLI_COLUMNS,
    anli_csv,
    anli_jsonl,
    mnli_tsv,
    pairs,
    snli_jsonl,
)
from seeded_faults import Fault, changed, jsonl_faults, split_jsonl, write_with_faults
from seeded_tables import part_alone, problems_of, split_csv, split_lines, table_faults

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.nli import LABELS
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.schema import SchemaError
from adapter_transfer.tasks.task import load_examples

ANLI, MNLI = TASKS["anli"], TASKS["mnli"]


def read(task, published, data_dir, **how):
    return load_examples(task, "train", "en", Reading(published, **how), data_dir)


def content(loaded):
    return [(*example.rows[0], example.label) for example in loaded.examples]


def test_a_row_of_glue_becomes_premise_and_hypothesis(data_dir):
    loaded = read(MNLI, "train", data_dir)
    example = loaded.examples[4]
    assert example.rows == (('Item 4: "we ran,\u2028 she said.', "Somebody  ran 4 times."),)
    assert (example.id, example.label) == ("4", 1)
    assert loaded.premises[4] == 'Item 4: "we ran,\u2028 she said.'


def test_labels_have_one_order_in_every_form(data_dir):
    assert LABELS == ("entailment", "neutral", "contradiction") == ANLI.format.labels == MNLI.format.labels
    assert content(read(MNLI, "train", data_dir)) == pairs(24, 0)
    assert content(read(MNLI, "dev_matched", data_dir)) == pairs(8, 50)
    assert content(read(ANLI, "dev", data_dir)) == [*pairs(4, 150), *pairs(4, 250), *pairs(4, 350)]


def test_the_hub_gives_the_same_examples(data_dir, fake_hub):
    for published in ("train", "dev_matched", "dev_mismatched"):
        from_hub = read(MNLI, published, None, revisions=fake_hub("nyu-mll/glue"))
        assert from_hub.digest == read(MNLI, published, data_dir).digest
    revisions = fake_hub("nyu-mll/glue", "facebook/anli", "stanfordnlp/snli")
    for published in ("dev", "test"):
        assert read(ANLI, published, None, revisions=revisions).digest == read(ANLI, published, data_dir).digest
    train = read(ANLI, "train", None, revisions=revisions)
    assert train.digest == read(ANLI, "train", data_dir).digest
    assert (len(train.examples), train.num_unlabelled) == (3 * 6 + 24 + 6, 2)


def test_anli_plus_is_put_together(data_dir):
    loaded = read(ANLI, "train", data_dir)
    assert content(loaded) == [
        *pairs(6, 100), *pairs(6, 200), *pairs(6, 300), *pairs(24, 0),
        *(pair for number, pair in enumerate(pairs(8, 400)) if number % 4 != 3),
    ]  # fmt: skip
    ids = [example.id for example in loaded.examples]
    assert Counter(item.split("/")[0] for item in ids) == {"r1": 6, "r2": 6, "r3": 6, "mnli": 24, "snli": 6}
    assert [ids[0], ids[17], ids[18], ids[-1]] == ["r1/r1-0", "r3/r3-5", "mnli/0", "snli/6"]
    assert (loaded.num_unlabelled, loaded.problems) == (2, ())


def test_anli_plus_needs_all_that_it_is_put_together_from(data_dir):
    (data_dir / "snli_1.0" / "snli_1.0_train.jsonl").unlink()
    with pytest.raises(DataError, match=r"'snli-train' .*: looked for snli_1\.0/snli_1\.0_train\.jsonl, snli/"):
        read(ANLI, "train", data_dir)


def test_all_that_is_missing_of_it_is_told_at_once(data_dir):
    for file in ("anli_v1.0/R1/train.jsonl", "anli_v1.0/R3/train.jsonl", "MNLI/train.tsv"):
        (data_dir / file).unlink()
    with pytest.raises(DataError) as told:
        read(ANLI, "train", data_dir)
    names = [line.split("published split ")[1].split(" ")[0] for line in str(told.value).splitlines()]
    assert names == ["'train_r1'", "'train_r3'", "'mnli-train'"]


def test_sizes_are_those_published():
    sizes = {part.published: part.size for part in ANLI.source.parts}
    # 16,946 + 45,460 + 100,459 of ANLI, 392,702 of MNLI and 550,152 of SNLI, of which some have no label.
    assert sizes == {"train": 1_105_719, "dev": 3_200, "test": 3_200}


def test_a_repeated_id_is_told_with_both_places(data_dir):
    path = data_dir / "MNLI" / "train.tsv"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:-1], lines[3], b""]))
    with pytest.raises(SchemaError, match=r"MNLI/train\.tsv:26: item '2' stands already at MNLI/train\.tsv:4"):
        read(MNLI, "train", data_dir)
    with pytest.raises(SchemaError, match=r"item 'mnli/2' stands already"):
        read(ANLI, "train", data_dir)


def test_columns_of_another_file_are_refused_at_once(data_dir):
    train, dev = data_dir / "MNLI" / "train.tsv", data_dir / "MNLI" / "dev_matched.tsv"
    dev.write_bytes(train.read_bytes())
    missing = "'label2' is missing; 'label3' is missing; 'label4' is missing; 'label5' is missing"
    with pytest.raises(SchemaError, match=rf"dev_matched\.tsv:1: the first line .*: {missing}") as caught:
        read(MNLI, "dev_matched", data_dir, on_bad_row="skip")
    assert len(caught.value.problems) == 1


def test_a_line_in_two_is_told_as_two_faults(data_dir):
    path = data_dir / "MNLI" / "train.tsv"
    path.write_bytes(path.read_bytes().replace(b"Somebody  ran 3", b"Somebody\n ran 3"))
    with pytest.raises(SchemaError) as caught:
        read(MNLI, "train", data_dir)
    assert [problem.place for problem in caught.value.problems] == ["MNLI/train.tsv:5", "MNLI/train.tsv:6"]


def single(task, published, member=""):
    part = next(part for part in task.source.parts if part.published == published)
    return dict(part.members)[member] if member else part


def layout(part, pattern):
    return next(layout for layout in part.files if layout.pattern.endswith(pattern))


def form(task, published, member, pattern, content, split, faults):
    part = single(task, published, member)
    chosen = layout(part, pattern)
    return part_alone(task, part, chosen), chosen.pattern, content, split, faults


UNIFIED = jsonl_faults("hypothesis", "label", {"label": "e"})
UNIFIED = [fault for fault in UNIFIED if "number" not in fault.name]


def unified(number, **more):
    rows = [{"premise": one, "hypothesis": other, "label": LABELS[label]} for one, other, label in pairs(number, 0)]
    return jsonl({**row, **more} for row in rows)


# Form → the task that reads it alone, its file, small content, how rows are told apart, faults.
FORMS = {
    "GLUE train": form(
        MNLI, "train", "", "MNLI/train.tsv", mnli_tsv(pairs(8, 0)), split_lines,
        table_faults((*MNLI_COLUMNS, "label1", "gold_label"), "sentence2", "gold_label", "index", quotes=False),
    ),
    "GLUE dev": form(
        MNLI, "dev_matched", "", "MNLI/dev_matched.tsv", mnli_tsv(pairs(8, 0), num_annotators=5), split_lines,
        table_faults(
            (*MNLI_COLUMNS, *(f"label{n}" for n in range(1, 6)), "gold_label"),
            "sentence1", "gold_label", "index", quotes=False,
        ),
    ),
    "MNLI unified": form(MNLI, "dev_matched", "", ".unified.jsonl", unified(8), split_jsonl, UNIFIED),
    "ANLI release": form(
        ANLI, "train", "r2/", "R2/train.jsonl", anli_jsonl(pairs(8, 0), "r2"), split_jsonl,
        [f for f in jsonl_faults("context", "label", {"label": "neutral", "uid": ""}) if "number" not in f.name
         and f.name != "uid outside"] + [Fault("uid blank", changed(uid=""), "column 'uid' is blank")],
    ),
    "ANLI unified": form(
        ANLI, "test", "r1/", ".unified.jsonl", unified(8, tag="r1_test"), split_jsonl,
        [*UNIFIED, Fault("tag outside", changed(tag="r4_test"), "column 'tag' is 'r4_test'"),
         Fault("tag missing", changed("tag"), "column 'tag' is missing")],
    ),
    "SNLI": form(
        ANLI, "train", "snli/", "snli_1.0_train.jsonl", snli_jsonl(pairs(8, 0)), split_jsonl,
        [f for f in jsonl_faults("sentence1", "gold_label", {"gold_label": "–", "annotator_labels": "x"})
         if "number" not in f.name and "annotator" not in f.name],
    ),
    **{
        f"ANLI analysis {name}": form(
            ANLI, "dev", f"{name}/", f"ANLI_analysis_{name}_dev.csv", anli_csv(pairs(8, 0), name), split_csv,
            table_faults(
                anli_csv([], name).decode().strip().split(","), "statement", "gold_label", None, quotes=True
            ),
        )
        for name in ANALYSIS_COLUMNS
    },
}  # fmt: skip
SEEDED = [pytest.param(name, fault, id=f"{name}: {fault.name}") for name, row in FORMS.items() for fault in row[-1]]
SHARED = [
    pytest.param(name, fault, id=f"{name}: {fault.name}")
    for name, row in FORMS.items()
    if "unified" in name or "analysis" in name
    for fault in row[-1]
]


def require_found_alone(name, fault, parts, folder, indices):
    """The fault is the one problem of the file, at its line, wherever it is planted."""
    task, file, *_ = FORMS[name]
    path = write_file(folder / file, b"")
    for index in {len(parts[1]) - 1} if fault.is_last else indices:
        lines = write_with_faults(path, parts, {index: fault})
        (problem,) = problems_of(task, folder)
        assert problem.place == f"{file}:{lines[index]}"
        assert re.search(fault.message, problem.message), problem
        # Where a file ends inside of a quoted field, nothing but the message depends on that.
        assert problem.ends_file == (fault.ends_file or "closed" in problem.message)


@pytest.mark.parametrize("name", FORMS)
def test_sound_files_have_no_problems(name, tmp_path):
    task, file, sound, split, _ = FORMS[name]
    write_file(tmp_path / file, sound)
    assert problems_of(task, tmp_path) == ()
    before, rows, after = split(sound)
    assert (before + b"".join(rows) + after, len(rows)) == (sound, 8)


@pytest.mark.parametrize(("name", "fault"), SEEDED)
def test_every_fault_is_found_in_small_files(name, fault, tmp_path):
    *_, sound, split, _ = FORMS[name]
    require_found_alone(name, fault, split(sound), tmp_path, (0, 3, 6))


@pytest.mark.parametrize(("name", "fault"), SHARED)
def test_every_fault_is_found_in_published_files(name, fault, shared_data, tmp_path):
    _, file, _, split, _ = FORMS[name]
    published = (shared_data / file).read_bytes()
    parts = split(published if published.endswith(b"\n") else published + b"\n")
    require_found_alone(name, fault, parts, tmp_path, (400,))


def test_faults_of_parquet_are_told_by_row(data_dir, fake_hub, tmp_path):
    revisions = fake_hub("nyu-mll/glue", "facebook/anli", "stanfordnlp/snli")
    file = "plain_text/train-00000-of-00001.parquet"
    rows = [{"premise": "We ran.", "hypothesis": f"So {n}.", "label": n % 3} for n in range(5)]
    rows[1]["label"], rows[2]["hypothesis"], rows[3]["label"] = 3, " ", -1
    write_parquet(tmp_path / "hub" / "stanfordnlp" / "snli" / file, rows)
    with pytest.raises(SchemaError) as caught:
        read(ANLI, "train", None, revisions=revisions)
    assert [str(problem) for problem in caught.value.problems] == [
        f"{file}: row 2: column 'label' is 3; allowed are 0, 1, 2, -1",
        f"{file}: row 3: column 'hypothesis' is blank",
    ]


@pytest.mark.parametrize(
    ("task", "published", "counts"),
    [
        (ANLI, "dev", (1070, 1066, 1062)),
        (ANLI, "test", (1070, 1068, 1062)),
        (MNLI, "dev_matched", (3479, 3123, 3213)),
        (MNLI, "glue-sample-train", (80, 80, 80)),
        (MNLI, "glue-sample-dev", (80, 80, 80)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_published_files_are_read_whole(task, published, counts, shared_data):
    loaded = read(task, published, shared_data)
    assert tuple(task.format.count_labels(loaded.examples).values()) == counts
    assert (loaded.problems, loaded.num_unlabelled) == ((), 0)
    assert len({example.rows for example in loaded.examples}) == sum(counts)


def test_rounds_of_published_files(shared_data):
    for published, last in (("dev", 1198), ("test", 1200)):
        ids = [example.id for example in read(ANLI, published, shared_data).examples]
        assert Counter(item[:3] for item in ids) == {"r1/": 1000, "r2/": 1000, "r3/": last}
