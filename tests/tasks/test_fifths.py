"""Two splits of one file: nothing is lost, nothing stands in both, and texts stay together."""

from __future__ import annotations

import pytest

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.task import load_examples

# Task, and the split that a file of its own holds.
SPLIT = [("hellaswag", "val-1000"), ("cosmosqa", "valid"), ("squad1", "xquad-en"), ("squad2", "dev-half")]


def read(task, published, data_dir, on_bad_row="fail"):
    return load_examples(TASKS[task], "train", "en", Reading(published, on_bad_row=on_bad_row), data_dir)


@pytest.mark.parametrize(("task", "published"), SPLIT)
def test_parts_of_published_files_are_whole_together_and_share_no_premise(task, published, shared_data):
    whole = read(task, published, shared_data)
    four, one = (read(task, f"{published}-{name}", shared_data) for name in ("four-fifths", "fifth"))
    assert len(four.examples) + len(one.examples) == len(whole.examples)
    assert 0.15 < len(one.examples) / len(whole.examples) < 0.25
    texts = [{example.rows for example in each.examples} for each in (whole, four, one)]
    assert texts[0] == texts[1] | texts[2]
    assert not set(four.premises) & set(one.premises)


def test_they_take_the_place_of_no_other_split(shared_data):
    for task, published in SPLIT:
        parts = [each for each in TASKS[task].source.parts if each.published.endswith("fifths")]
        assert [part.published for part in parts] == [f"{published}-four-fifths"]
        assert not {f"{published}-four-fifths", f"{published}-fifth"} & set(TASKS[task].splits.values())
        assert all(part.hub is None for part in parts)


def test_what_is_drawn_from_another_split_says_so():
    """Whatever is offered for trials: neither is trained on while the other validates."""
    trials = {
        (task.name, part.published): set(part.drawn_from)
        for task in TASKS.values()
        for part in task.source.parts
        if part.drawn_from
    }
    assert trials == {
        ("mnli", "glue-sample-train"): {"train"},
        ("mnli", "glue-sample-dev"): {"train"},
        ("qqp", "textpair-train"): {"train", "dev", "glue-sample-train", "glue-sample-dev"},
        ("qqp", "textpair-dev"): {"train", "dev", "glue-sample-train", "glue-sample-dev"},
        ("qqp", "glue-sample-train"): {"train"},
        ("qqp", "glue-sample-dev"): {"train"},
        ("squad1", "xquad-en"): {"dev"},
        ("squad1", "xquad-en-four-fifths"): {"xquad-en", "dev"},
        ("squad1", "xquad-en-fifth"): {"xquad-en", "dev"},
        ("squad2", "dev-half"): {"dev"},
        ("squad2", "dev-half-four-fifths"): {"dev-half", "dev"},
        ("squad2", "dev-half-fifth"): {"dev-half", "dev"},
        ("hellaswag", "val-1000"): {"val"},
        ("hellaswag", "val-1000-four-fifths"): {"val-1000", "val"},
        ("hellaswag", "val-1000-fifth"): {"val-1000", "val"},
        ("cosmosqa", "valid-four-fifths"): {"valid"},
        ("cosmosqa", "valid-fifth"): {"valid"},
    }
    for task, published in trials:
        assert trials[task, published] <= set(TASKS[task].source.splits())


def test_a_row_without_the_text_is_told_by_both(data_dir):
    path = data_dir / "cosmosqa" / "valid.csv"
    header, rest = path.read_bytes().split(b"\r\n", 1)
    path.write_bytes(header + b"\r\n1\r\n" + rest)
    for name in ("four-fifths", "fifth"):
        with pytest.raises(DataError, match=r"1 faulty row(?s:.*)valid\.csv:2: 1 fields"):
            read("cosmosqa", f"valid-{name}", data_dir)
