"""SocialIQA in the three forms that it is published in."""

from __future__ import annotations

import pytest
from published_data import hub_socialiqa, jsonl, socialiqa_rows, write_file

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
