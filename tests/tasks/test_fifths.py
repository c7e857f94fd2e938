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


def test_a_row_without_the_text_is_told_by_both(data_dir):
    path = data_dir / "cosmosqa" / "valid.csv"
    path.write_bytes(path.read_bytes().replace(b"id,context,", b"id,why,", 1))
    for name in ("four-fifths", "fifth"):
        with pytest.raises(DataError, match=r"8 faulty rows(?s:.*)column 'context' is missing"):
            read("cosmosqa", f"valid-{name}", data_dir)
