"""COPA and XCOPA: numbers, texts and the repaired question, from files and from the Hub."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from published_data import balanced_items, copa_rows, copa_xml, jsonl, write_file, write_parquet, xml_items

from adapter_transfer.errors import DataError
from adapter_transfer.languages import LANGUAGE_SETS
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.copa import XCOPA, XCOPA_BALANCED_COPA, XCOPA_TRANSLATE_TEST, true_questions
from adapter_transfer.tasks.leaks import shared_items
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.task import load_examples

CLEAN = ("et", "ht", "qu", "ta", "vi", "zh")
WRONG = {"th": (52, 250), "tr": (52, 51), "sw": (6, 37), "id": (5, 4), "it": (5, 4)}
"""Language → rows of upstream's validation and test files whose question is wrong (library-facts.md)."""
EFFECT = "What happened as a result?"


def read(task, published, language, data_dir, **how):
    return load_examples(TASKS[task], "test", language, Reading(published, **how), data_dir)


def questions(examples):
    return {int(e.id): "effect" if e.rows[0][0].endswith(EFFECT) else "cause" for e in examples.examples}


def test_there_are_600_true_questions():
    assert list(true_questions()) == list(range(401, 1001))
    # COPA's own balance: 250 of its 500 test items ask for the cause.
    assert Counter(list(true_questions().values())[100:]) == {"cause": 250, "effect": 250}


@pytest.mark.parametrize("published", ["val", "test"])
def test_true_questions_are_those_of_copa_and_of_the_clean_languages(published, shared_data):
    own = questions(read("xcopa", published, "en", shared_data, question_field="as-published"))
    assert own == {item: true_questions()[item] for item in own}
    by_language = [
        questions(read("xcopa", published, language, shared_data, question_field="as-published"))
        for language in CLEAN
    ]  # fmt: skip
    majority = {item: Counter(each[item] for each in by_language).most_common(1)[0] for item in own}
    assert majority == {item: (question, len(CLEAN)) for item, question in own.items()}


@pytest.mark.parametrize("task", ["xcopa", "xcopa-translate-test"])
@pytest.mark.parametrize("language", ["en", *LANGUAGE_SETS["xcopa"]])
def test_the_rows_that_are_repaired_are_those_that_are_known(task, language, shared_data):
    for published, expected in zip(("val", "test"), WRONG.get(language, (0, 0)), strict=True):
        if published not in TASKS[task].published_splits(language):
            continue
        repaired = read(task, published, language, shared_data)
        as_published = read(task, published, language, shared_data, question_field="as-published")
        true = {item: true_questions()[item] for item in questions(repaired)}
        assert questions(repaired) == true
        wrong = [item for item, question in questions(as_published).items() if question != true[item]]
        assert (repaired.num_repaired, len(wrong), as_published.num_repaired) == (expected, expected, 0)
        assert all(true[item] == "cause" for item in wrong)
        assert (repaired.digest == as_published.digest) is (expected == 0)


def test_labels_are_parallel_in_every_language(shared_data):
    english = read("xcopa", "test", "en", shared_data).examples
    for task in (XCOPA, XCOPA_TRANSLATE_TEST):
        for language in task.languages["test"]:
            examples = read(task.name, "test", language, shared_data).examples
            assert [(e.id, e.label) for e in examples] == [(e.id, e.label) for e in english]


def test_small_files_are_repaired_too(data_dir):
    num_causes = sum(true_questions()[item] == "cause" for item in range(501, 509))
    for task in ("xcopa", "xcopa-translate-test"):
        thai = read(task, "test", "th", data_dir)
        assert thai.num_repaired == num_causes > 0
        assert read(task, "test", "th", data_dir, question_field="as-published").num_repaired == 0
        assert read(task, "test", "ta", data_dir).num_repaired == 0


def test_texts_are_kept_to_the_byte(data_dir):
    for language in ("et", "th", "ta", "zh", "ht"):
        rows = copa_rows(501, language)
        loaded = read("xcopa", "test", language, data_dir)
        assert loaded.premises == tuple(row["premise"] for row in rows)
        pairs = [tuple(second for _, second in example.rows) for example in loaded.examples]
        assert pairs == [(row["choice1"], row["choice2"]) for row in rows]
    assert any(
        "\u200f«ei»\u200f" in text
        for text, _ in [(e.rows[0][1], e) for e in read("xcopa", "test", "et", data_dir).examples]
    )


def test_of_xml_only_outer_blanks_are_stripped(data_dir):
    loaded = read("xcopa", "test", "en", data_dir)
    assert loaded.source == "copa/copa-test.xml"
    assert loaded.premises == tuple(row["premise"] for row in copa_rows(501))
    assert any("  " in second for example in loaded.examples for _, second in example.rows)


def test_an_item_is_the_same_example_from_every_source(data_dir, fake_hub):
    for published, items in (("train", xml_items(1)), ("val", xml_items(401)), ("test", xml_items(501))):
        file = "test" if published == "test" else "dev"
        from_files = read("xcopa", published, "en", data_dir)
        assert [example.id for example in from_files.examples] == [str(item) for item in items]
        from_hub = read("xcopa", published, "en", None, revisions=fake_hub())
        assert from_hub.digest == from_files.digest
        for layout in TASKS["xcopa"].source.find(published, "en").files:
            alone = data_dir / "alone" / layout.pattern.replace("/", "-")
            source = f"copa/copa-{file}.xml" if layout.pattern.endswith("xml") else from_files.source
            write_file(alone / layout.pattern, (data_dir / source).read_bytes())
            assert read("xcopa", published, "en", alone).digest == from_files.digest


def test_translations_from_the_hub_are_those_of_the_files(data_dir, fake_hub):
    for task, language in (("xcopa", "th"), ("xcopa", "qu"), ("xcopa-translate-test", "zh")):
        from_hub = read(task, "test", language, None, revisions=fake_hub("cambridgeltl/xcopa"))
        from_files = read(task, "test", language, data_dir)
        assert from_hub.digest == from_files.digest
        assert from_hub.num_repaired == from_files.num_repaired
    assert from_hub.source == "cambridgeltl/xcopa@000000000000 translation-zh/test-00000-of-00001.parquet"


def test_labels_are_joined_only_to_texts_in_the_same_order(tmp_path, fake_hub):
    revisions = fake_hub("aps/super_glue", "cambridgeltl/xcopa")
    loaded = read("xcopa", "test", "en", None, revisions=revisions)
    assert [example.label for example in loaded.examples] == [row["label"] for row in copa_rows(501)]
    assert "labels of cambridgeltl/xcopa@" in loaded.source
    path = tmp_path / "hub" / "superglue" / "copa" / "test-00000-of-00001.parquet"
    rows = [{**row, "label": -1} for row in copa_rows(501)]
    shuffled = [{**row, "idx": idx} for idx, row in enumerate(reversed(rows))]
    write_parquet(path, shuffled)
    with pytest.raises(DataError, match=r"test-0.*: row \d: the question is 'cause', but COPA's item 50\d asks for"):
        read("xcopa", "test", "en", None, revisions=revisions, on_bad_row="skip", question_field="as-published")
    write_parquet(path, rows)
    labels = tmp_path / "hub" / "xcopa" / "et" / "test-00000-of-00001.parquet"
    write_parquet(labels, [{**row, "changed": True} for row in copa_rows(501, "et")[:-1]])
    with pytest.raises(DataError, match="row 8: item 7 has no label in cambridgeltl/xcopa"):
        read("xcopa", "test", "en", None, revisions=revisions)
    shuffled = [{**row, "idx": idx} for idx, row in enumerate(reversed(copa_rows(501, "et")))]
    write_parquet(labels, shuffled)
    with pytest.raises(DataError, match=r"et/test-0.*: row \d: the question is 'cause', but COPA's item 50\d asks for"):
        read("xcopa", "test", "en", None, revisions=revisions, on_bad_row="skip", question_field="as-published")
    write_parquet(labels, [{**row, "label": 3} for row in copa_rows(501, "et")])
    with pytest.raises(DataError, match=r"et/test-0.*: row 1: column 'label' is 3"):
        read("xcopa", "test", "en", None, revisions=revisions)


def test_an_item_out_of_its_file_is_refused(data_dir):
    rows = copa_rows(501, "et")
    write_file(data_dir / "xcopa/data/et/test.et.jsonl", jsonl([*rows, {**rows[0], "idx": 500}]))
    with pytest.raises(DataError, match=r"test\.et\.jsonl:9: column 'idx' is 500; allowed are 0 to 499"):
        read("xcopa", "test", "et", data_dir)


def test_leading_zeros_do_not_hide_that_an_item_stands_twice(data_dir):
    path = data_dir / "copa" / "copa-test.xml"
    item = path.read_bytes().split(b"\n\n")[1]
    path.write_bytes(
        path.read_bytes().replace(b"</copa-corpus>", item.replace(b'"501"', b'"0501"') + b"</copa-corpus>")
    )
    with pytest.raises(DataError, match=r"copa-test\.xml:53: column 'id' is '0501'; expected a text of digits without"):
        read("xcopa", "test", "en", data_dir)


def test_both_tasks_train_on_the_same_items(data_dir):
    one, other = (load_examples(task, "train", "en", data_dir=data_dir) for task in (XCOPA, XCOPA_TRANSLATE_TEST))
    assert one.digest == other.digest
    assert replace(one, task=other.task) == other


def balanced(data_dir, split="train"):
    return load_examples(XCOPA_BALANCED_COPA, split, "en", data_dir=data_dir)


def test_balanced_copa_is_trained_on_without_the_items_that_select_and_their_mirrors(shared_data):
    ids = [example.id for example in balanced(shared_data).examples]
    assert ids == [each for item in range(1, 401) for each in (str(item), f"{item}~mirrored")]
    labels = {example.id: example.label for example in balanced(shared_data).examples}
    # The same two alternatives, of which the other one is right: no word of theirs tells anything.
    texts = {e.id: [second for _, second in e.rows] for e in balanced(shared_data).examples}
    for item in map(str, range(1, 401)):
        mirrored = f"{item}~mirrored"
        assert sorted(texts[item]) == sorted(texts[mirrored])
        assert texts[item][labels[item]] != texts[mirrored][labels[mirrored]]


def test_originals_are_those_of_copa_with_the_same_right_answer(shared_data):
    copa = {e.id: e for e in load_examples(XCOPA, "train", "en", data_dir=shared_data).examples}
    for example in balanced(shared_data).examples[::2]:
        one, other = copa[example.id], example
        # SuperGLUE's rows keep the stray outer blanks of some of COPA's texts.
        plain = [tuple(" ".join(text.split()) for text in row) for row in one.rows]
        assert plain[one.label] == other.rows[other.label]
        assert set(plain) == set(other.rows)


@pytest.mark.parametrize("folder", ["data_dir", "shared_data"])
def test_a_mirrored_item_that_selects_is_found_as_a_leak(folder, request):
    data_dir = request.getfixturevalue(folder)
    assert shared_items(balanced(data_dir), balanced(data_dir, "validation")) == ()
    part, *others = XCOPA_BALANCED_COPA.source.parts
    whole = replace(part, files=tuple(replace(layout, elsewhere=None) for layout in part.files))
    origin = replace(XCOPA, source=replace(XCOPA.source, parts=(whole, *others)))
    leaking = load_examples(origin, "train", "en", Reading("balanced-copa"), data_dir)
    validation = load_examples(XCOPA, "validation", "en", data_dir=data_dir)
    assert shared_items(leaking, validation) == tuple(example.id for example in validation.examples)
    mirrored = replace(leaking, examples=tuple(e for e in leaking.examples if e.id == "401~mirrored"))
    assert shared_items(mirrored, validation) == ("401",)
    assert shared_items(validation, mirrored) == ("401~mirrored",)


def test_all_but_the_training_set_is_xcopa(data_dir):
    assert XCOPA_BALANCED_COPA.base.name == "xcopa"
    assert XCOPA_BALANCED_COPA.languages["test"] == XCOPA.languages["test"]
    for split, language in (("validation", "en"), ("test", "en"), ("test", "qu")):
        one, other = (
            load_examples(task, split, language, data_dir=data_dir) for task in (XCOPA, XCOPA_BALANCED_COPA)
        )  # fmt: skip
        assert replace(one, task=other.task) == other
    with pytest.raises(DataError, match="'balanced-copa' is not on the Hub; give the folder"):
        XCOPA_BALANCED_COPA.hub_datasets("train", "en", "balanced-copa")


def test_items_that_balanced_copa_does_not_have_are_faulty(data_dir):
    items = balanced_items() | {501: copa_rows(501)[0]}
    write_file(data_dir / "balanced-copa" / "balacopa-dev-all.xml", copa_xml(items))
    with pytest.raises(DataError, match="item 501 is one of COPA's test items"):
        balanced(data_dir)
