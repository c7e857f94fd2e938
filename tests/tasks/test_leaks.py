"""Leaks between COPA's and XCOPA's splits are found by item, in every language and source."""

from __future__ import annotations

import pytest

from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.leaks import shared_items, shared_premises, text_overlap
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.task import load_examples

XCOPA = TASKS["xcopa"]


def read(data_dir, published, language="en", task="xcopa"):
    return load_examples(TASKS[task], "train", language, Reading(published), data_dir)


@pytest.mark.parametrize("language", ["en", "et", "th", "zh"])
@pytest.mark.parametrize("task", ["xcopa", "xcopa-translate-test"])
def test_splits_as_declared_share_no_item(data_dir, language, task):
    evaluated = read(data_dir, "test", language, task)
    for trained in ("train", "val"):
        assert shared_items(read(data_dir, trained), evaluated) == ()
        assert text_overlap(read(data_dir, trained), evaluated) == 0


def test_superglue_validation_as_training_set_leaks_into_xcopa_validation(data_dir):
    trained = read(data_dir, "val")
    assert trained.source == "copa/superglue-form/val-en.jsonl"
    for language in ("en", "ta", "qu"):
        assert shared_items(trained, read(data_dir, "val", language)) == tuple(map(str, range(401, 409)))
        assert shared_items(trained, read(data_dir, "test", language)) == ()


def test_copa_test_items_as_training_set_leak_into_every_language(data_dir):
    trained = read(data_dir, "test")
    assert trained.source == "copa/copa-test.xml"
    for language in XCOPA.languages["test"]:
        assert shared_items(trained, read(data_dir, "test", language)) == tuple(map(str, range(501, 509)))
    assert text_overlap(trained, read(data_dir, "test", "en")) == 8
    assert text_overlap(trained, read(data_dir, "test", "zh")) == 0  # by their ids alone is the leak seen


def test_equal_ids_of_other_tasks_mean_nothing(data_dir):
    micro = load_examples(TASKS["micro-copa"], "train", "en")
    assert shared_items(micro, load_examples(TASKS["micro-copa"], "test", "en")) == ()
    assert shared_items(micro, read(data_dir, "train")) == ()
    assert shared_items(read(data_dir, "dev", task="socialiqa"), read(data_dir, "tst", task="socialiqa")) == ()


def test_texts_are_compared_whatever_the_order_of_answers(micro_copa):
    row = {"premise": "It rained.", "choice1": "It got wet.", "choice2": "It got dry.", "question": "effect"}
    other = {**row, "choice1": row["choice2"], "choice2": row["choice1"]}

    def loaded(*rows):
        task = micro_copa(*({**each, "idx": idx, "label": 0} for idx, each in enumerate(rows)))
        return load_examples(task, "test", "en")

    one = loaded(row)
    assert text_overlap(one, loaded(other, {**row, "choice1": "It flooded."}, {**row, "question": "cause"})) == 1
    assert shared_premises(one, loaded(other, {**row, "question": "cause"}, {**row, "premise": "It rained"})) == 2


def test_published_overlaps_are_those_that_are_known(shared_data):
    train, test = read(shared_data, "train"), read(shared_data, "test")
    assert shared_items(train, test) == ()
    assert text_overlap(train, test) == 0
    assert shared_premises(train, test) == 1  # items 138 and 833
    ids = {
        e.id: premise for e, premise in zip(train.examples + test.examples, train.premises + test.premises, strict=True)
    }
    assert ids["138"] == ids["833"]
    dev, tst = read(shared_data, "dev", task="socialiqa"), read(shared_data, "tst", task="socialiqa")
    assert (text_overlap(dev, tst), shared_premises(dev, tst)) == (0, 0)
