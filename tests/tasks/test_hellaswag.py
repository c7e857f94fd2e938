"""HellaSwag: the scene with what is given of its ending, and every planted fault."""

from __future__ import annotations

import json

import pytest
from planted import problems_of, require_found_alone
from published_questions import hellaswag_rows
from seeded_faults import Fault, changed, jsonl_faults, split_jsonl

from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.task import load_examples

TASK = TASKS["hellaswag"]
FILE = "hellaswag/hellaswag_train.jsonl"
FAULTS = [
    *jsonl_faults("ctx", "label", {"split": "val"}),
    Fault("endings missing", changed("endings"), "column 'endings' is missing"),
    Fault("an ending too few", changed(endings=["a", "b", "c"]), "column 'endings' has 3 texts; expected 4"),
    Fault("an ending blank", changed(endings=["a", "b", "c", " "]), r"column 'endings' \(text 4\) is blank"),
    Fault("an ending repeated", changed(endings=["a", "b", "a", "c"]), "^choices 1 and 3 are the same text$"),
    Fault("endings in one text", changed(endings="a b c d"), "column 'endings' is a text; expected a list of 4 texts"),
    Fault("source is a number", changed(source_id=3), "column 'source_id' is a whole number; expected a text"),
]


def test_a_row_is_the_whole_context_with_each_ending(data_dir):
    example = load_examples(TASK, "train", "en", data_dir=data_dir).examples[3]
    context = 'Zoë boils "water" 3. she'
    assert example.rows == (
        (context, "pours 3 cups."),
        (context, "drinks  it."),
        (context, "sings\u2028 a song."),
        (context, "leaves."),
    )
    assert (example.id, example.label) == ("3", 3)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_hub_has_the_same_examples(split, data_dir, fake_hub):
    published = TASK.splits[split]
    from_files = load_examples(TASK, split, "en", data_dir=data_dir)
    from_hub = load_examples(TASK, split, "en", Reading(published, revisions=fake_hub("Rowan/hellaswag")))
    assert from_hub.digest == from_files.digest


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_every_planted_fault_is_found(fault, data_dir):
    require_found_alone("hellaswag", "train", data_dir, FILE, split_jsonl((data_dir / FILE).read_bytes()), fault)


def test_a_file_of_another_split_is_told_by_every_row(data_dir):
    rows = hellaswag_rows(3, "train")
    (data_dir / "hellaswag" / "hellaswag_val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    problems = problems_of("hellaswag", "val", data_dir)
    assert [problem.message for problem in problems] == ["column 'split' is 'train'; allowed are 'val'"] * 3


def test_the_sample_is_read_whole_and_never_for_the_validation_set(shared_data):
    loaded = load_examples(TASK, "validation", "en", Reading("val-1000"), shared_data)
    assert (len(loaded.examples), loaded.problems) == (1000, ())
    assert list(TASK.format.count_labels(loaded.examples).values()) == [267, 228, 266, 239]
    assert "val-1000" not in TASK.splits.values()
