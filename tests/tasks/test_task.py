"""Tasks find their published splits, say what there is instead of another, and digest what the model sees."""

from __future__ import annotations

import pickle

import pytest

from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.schema import SchemaError
from adapter_transfer.tasks.task import load_examples

COPA_ROW = {"premise": "It rained.", "choice1": "It got wet.", "choice2": "It got dry.", "question": "effect"}


def test_a_copa_row_becomes_premise_with_question_and_choices(micro_copa):
    example = load_examples(micro_copa({**COPA_ROW, "label": 1, "idx": 7}), "test", "qa").examples[0]
    first = "It rained. What happened as a result?"
    assert example.rows == ((first, "It got wet."), (first, "It got dry."))
    assert (example.id, example.label) == ("7", 1)


def test_test_items_are_parallel_across_languages():
    task = TASKS["micro-copa"]
    languages = {code: load_examples(task, "test", code).examples for code in task.languages["test"]}
    for examples in languages.values():
        assert [(e.id, e.label) for e in examples] == [(e.id, e.label) for e in languages["en"]]


def test_a_missing_split_or_language_is_no_fallback():
    with pytest.raises(DataError, match="'next-event' has no test split; it has train, validation"):
        load_examples(TASKS["next-event"], "test", "en")
    with pytest.raises(DataError, match="no test split in 'th'; it has en, qa, qb, qc"):
        load_examples(TASKS["micro-copa"], "test", "th")
    with pytest.raises(DataError, match="no published split 'valid'; published are trn, dev, tst"):
        load_examples(TASKS["socialiqa"], "train", "en", Reading("valid"))
    with pytest.raises(DataError, match="no published split 'val' in 'qu'; it has en, et"):
        load_examples(TASKS["xcopa-translate-test"], "test", "qu", Reading("val"))


def test_published_splits_are_mapped_explicitly():
    task = TASKS["socialiqa"]
    task.check_splits({"train": "dev", "validation": "tst"})
    with pytest.raises(ConfigError) as caught:
        task.check_splits({"train": "validation", "eval": "dev"})
    assert caught.value.problems == (
        "socialiqa: no published split 'validation' in English; there are trn, dev, tst",
        "socialiqa: no split is called 'eval'; there are train, validation, test",
    )
    assert TASKS["xcopa"].published_splits("en") == ("train", "val", "test")
    assert TASKS["xcopa"].published_splits("qu") == ("val", "test")
    assert TASKS["xcopa-translate-test"].published_splits("qu") == ()


def test_a_mapped_split_is_read_under_its_new_role(data_dir):
    loaded = load_examples(TASKS["socialiqa"], "train", "en", Reading("dev"), data_dir)
    assert (loaded.split, loaded.published) == ("train", "dev")
    assert loaded.source == "socialiqa/socialIQa_v1.4_dev.jsonl"
    assert loaded.examples[0].rows[0][0].startswith("Kai100 ")


def test_what_a_split_needs_from_the_hub():
    xcopa, socialiqa = TASKS["xcopa"], TASKS["socialiqa"]
    superglue, translated = ("aps/super_glue", "main"), ("cambridgeltl/xcopa", "main")
    assert xcopa.hub_datasets("train", "en", "train") == (superglue,)
    assert xcopa.hub_datasets("test", "th", "test") == (translated,)
    assert xcopa.hub_datasets("test", "en", "test") == (superglue, translated)
    assert socialiqa.hub_datasets("train", "en", "dev") == (("allenai/social_i_qa", "refs/convert/parquet"),)
    assert TASKS["micro-copa"].hub_datasets("test", "qa", "test") == ()
    with pytest.raises(DataError, match=r"'socialiqa': the published split 'tst' is not on the Hub; .*--data-dir"):
        socialiqa.hub_datasets("validation", "en", "tst")


def test_the_digest_is_of_what_the_model_sees(micro_copa):
    def digest(**changes):
        return load_examples(micro_copa({**COPA_ROW, "label": 1, "idx": 7, **changes}), "train", "en").digest

    assert len({digest(), digest(premise="It snowed."), digest(label=0), digest(idx=8)}) == 4
    assert digest() == digest()


def test_what_is_not_seen_by_the_model_is_not_in_the_digest(data_dir):
    task, path = TASKS["xcopa"], data_dir / "xcopa" / "data" / "et" / "test.et.jsonl"
    before = load_examples(task, "test", "et", data_dir=data_dir).digest
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"false", b"true"))
    assert load_examples(task, "test", "et", data_dir=data_dir).digest == before
    path.write_bytes(path.read_bytes().replace(b"Koer 501", b"Koer  501"))
    assert load_examples(task, "test", "et", data_dir=data_dir).digest != before


def test_faulty_rows_stop_everything_or_are_left_out_and_counted(micro_copa):
    sound = [{**COPA_ROW, "label": number % 2, "idx": number} for number in range(4)]
    faulty = [sound[0], {**sound[1], "label": 2}, sound[2], {**sound[3], "premise": " ", "extra": 1}]
    with pytest.raises(SchemaError) as caught:
        load_examples(micro_copa(*faulty), "test", "en")
    assert [problem.place for problem in caught.value.problems] == ["here:2", "here:4"]
    message = str(caught.value)
    assert message.splitlines()[0].startswith("micro-copa, test in 'en' (sandbox/data/micro-copa/en/")
    assert message.splitlines()[0].endswith("2 faulty rows")
    assert "here:2: column 'label' is 2; allowed are 0, 1" in message
    assert "here:4: column 'premise' is blank; column 'extra' is unknown" in message
    assert "--on-bad-row skip" in message
    loaded = load_examples(micro_copa(*faulty), "test", "en", Reading("test", on_bad_row="skip"))
    assert [example.id for example in loaded.examples] == ["0", "2"]
    assert loaded.problems == caught.value.problems
    assert loaded.digest == load_examples(micro_copa(sound[0], sound[2]), "test", "en").digest
    with pytest.raises(DataError, match="there are no examples"):
        load_examples(micro_copa(faulty[1]), "test", "en", Reading("test", on_bad_row="skip"))


def test_a_long_list_of_problems_is_kept_whole_and_shown_in_part(micro_copa):
    rows = [{**COPA_ROW, "label": 2, "idx": number} for number in range(250)]
    with pytest.raises(SchemaError) as caught:
        load_examples(micro_copa(*rows), "test", "en")
    error = pickle.loads(pickle.dumps(caught.value))  # workers send it to the process that asked
    assert str(error) == str(caught.value)
    assert len(error.problems) == 250
    assert "here:200:" in str(error)
    assert "here:201:" not in str(error)
    assert "… and 50 more" in str(error)
