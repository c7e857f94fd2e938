"""Controls: every task has those that fit it, made of the same texts; what they hide does not reach the model."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from adapter_transfer.errors import UnknownNameError
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.choice_formats import Classification, MultipleChoice
from adapter_transfer.tasks.controls import CONTROLS, control_of, derive_task, describe_control
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.task import load_examples

INTERMEDIATES = [name for name, task in TASKS.items() if "intermediate" in task.roles]
CHOICES = [name for name, task in TASKS.items() if isinstance(task.format, MultipleChoice)]
TRAINED = ("train", "validation")


def both(name, split, data_dir):
    """A split of what a control is made of, and of the control."""
    task = TASKS[name]
    return [load_examples(each, split, "en", data_dir=data_dir) for each in (task.derivation.origin, task)]


def test_controls_are_there_by_name_and_in_no_list():
    assert "socialiqa-shuffled-labels" in TASKS
    assert TASKS["real-or-shuffled"] is TASKS["real-or-shuffled"]
    assert TASKS["xcopa-balanced-copa-choices-only"].base is not TASKS["xcopa-balanced-copa"]
    listed = {name for name in TASKS if control_of(name) is not None}
    assert listed == {"xcopa-balanced-copa"}
    assert TASKS["socialiqa-shuffled-labels"].base is TASKS["socialiqa"]
    assert {name: control_of(f"x-{name}") for name in CONTROLS} == {name: name for name in CONTROLS}
    assert control_of("a-shuffled-labels+b-shuffled-labels") == "shuffled-labels"
    assert control_of("socialiqa") is control_of("shuffled-labels-x") is control_of("none") is None


def test_a_mixture_with_one_control_in_it_is_not_called_a_control_as_a_whole():
    what = CONTROLS["shuffled-labels"]
    assert describe_control("squad1+mnli") is describe_control("none") is None
    assert describe_control("x-shuffled-labels", ", no result") == f"x-shuffled-labels is a control, no result: {what}."
    both = "mnli-shuffled-labels+squad1-shuffled-labels"
    assert describe_control(both) == f"{both} is a control: {what}."
    told = describe_control("mnli+squad1-shuffled-labels")
    assert told == f"mnli+squad1-shuffled-labels is in part a control (squad1-shuffled-labels: {what})."


def test_a_control_with_fewer_texts_expects_no_number_of_them():
    parts = TASKS["mnli-real-or-shuffled"].source.parts
    assert any(part.members for part in parts)
    assert {part.size for part in parts} == {None}
    assert {member.num_rows for part in parts for member in part.single_parts} == {None}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("socialiqa-shuffled-label", "Did you mean 'socialiqa-shuffled-labels'"),
        ("xcopa-translate-test-choices", "Did you mean 'xcopa-translate-test-choices-only'"),
        ("social-iqa-choices-only", "unknown task 'social-iqa'. Did you mean 'socialiqa'"),
        ("xcopa-shuffled-labels", "a control of intermediate tasks, and 'xcopa' is none"),
        ("event-nli-choices-only", "only a multiple-choice task .* 'event-nli' has 3 classes"),
        ("micro-copa-balanced-copa", "unknown control of 'micro-copa'"),
    ],
)
def test_a_name_that_is_no_control_says_why(name, message):
    assert name not in TASKS
    with pytest.raises(UnknownNameError, match=message):
        TASKS[name]


@pytest.mark.parametrize("split", TRAINED)
@pytest.mark.parametrize("name", INTERMEDIATES)
def test_shuffled_labels_keep_texts_and_counts_and_say_nothing(name, split, data_dir):
    base, shuffled = both(f"{name}-shuffled-labels", split, data_dir)
    task = TASKS[shuffled.task]
    assert (task.format, task.roles, set(task.splits)) == (TASKS[name].format, ("intermediate",), set(TRAINED))
    assert [(e.id, e.rows) for e in shuffled.examples] == [(e.id, e.rows) for e in base.examples]
    assert shuffled.digest != base.digest
    assert [e.label for e in shuffled.examples] != [e.label for e in base.examples]
    assert task.format.count_labels(shuffled.examples) == TASKS[name].format.count_labels(base.examples)
    assert not any(task.format.problems(example) for example in shuffled.examples)


def test_labels_are_dealt_once_for_a_published_split_and_anew_for_another(data_dir):
    task = TASKS["socialiqa-shuffled-labels"]
    one, again, other = (
        load_examples(task, used_as, "en", Reading(published), data_dir)
        for used_as, published in (("train", "dev"), ("validation", "dev"), ("validation", "tst"))
    )
    assert one.digest == again.digest
    # Both published splits have equal labels here, row by row; dealt alike, they would be equal still.
    assert [e.label for e in one.examples] != [e.label for e in other.examples]


def test_examples_that_are_made_when_asked_for_are_a_sequence(data_dir):
    _, shuffled = both("socialiqa-shuffled-labels", "train", data_dir)
    whole = list(shuffled.examples)
    assert len(shuffled.examples) == len(whole)
    assert [shuffled.examples[index] for index in range(len(whole))] == whole
    assert shuffled.examples[-1] == whole[-1]
    assert list(shuffled.examples[3:9:2]) == whole[3:9:2]
    with pytest.raises(IndexError):
        shuffled.examples[len(whole)]


@pytest.mark.parametrize("name", ["socialiqa", "next-event", "event-nli", "xcopa"])
def test_half_of_the_texts_are_shuffled_and_none_of_these_is_real(name, data_dir):
    base, made = both(f"{name}-real-or-shuffled", "train", data_dir)
    assert TASKS[made.task].format == Classification(("real", "shuffled"))
    assert TASKS[made.task].roles == ("intermediate",)
    real = [" ".join(premise.split()) for premise in dict.fromkeys(base.premises)]
    assert len(made.examples) == len(real)
    for text, example in zip(real, made.examples, strict=True):
        ((shown, second),) = example.rows
        assert second is None
        assert sorted(shown.split(" ")) == sorted(text.split(" "))
        assert example.label == int(shown != text)
    assert Counter(e.label for e in made.examples) == {1: len(real) // 2, 0: len(real) - len(real) // 2}
    assert len({e.id for e in made.examples}) == len(real)
    assert made.digest == both(f"{name}-real-or-shuffled", "train", data_dir)[1].digest


def test_a_text_stands_once_and_short_ones_not_at_all(micro_copa):
    row = {"choice1": "a", "choice2": "b", "question": "cause", "label": 0}
    premises = ["one two three", "one two", "no no no no", "one  two three", "four five six", "x y z"]
    base = micro_copa(*({**row, "premise": premise, "idx": idx} for idx, premise in enumerate(premises)))
    task = derive_task("micro-copa-real-or-shuffled", {"micro-copa": base})
    made = load_examples(task, "train", "en")
    assert [e.id for e in made.examples] == ["0", "4", "5"]
    assert made.premises == ("one two three", "four five six", "x y z")


def test_the_plain_one_is_made_of_socialiqa(data_dir):
    plain, named = (
        load_examples(TASKS[name], "train", "en", data_dir=data_dir)
        for name in ("real-or-shuffled", "socialiqa-real-or-shuffled")
    )
    assert plain == replace(named, task="real-or-shuffled")


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_stands_alone(name, data_dir):
    task = TASKS[f"{name}-choices-only"]
    assert (task.format, task.roles, task.splits) == (TASKS[name].format, TASKS[name].roles, TASKS[name].splits)
    for split in task.splits:
        base, alone = both(task.name, split, data_dir)
        assert [(e.id, e.label) for e in alone.examples] == [(e.id, e.label) for e in base.examples]
        for one, other in zip(base.examples, alone.examples, strict=True):
            assert other.rows == tuple((choice, None) for _, choice in one.rows)
        assert alone.item_family == base.item_family


def test_neither_premise_nor_question_reaches_the_model_of_a_probe(micro_copa):
    rows = [{"choice1": f"a{n}", "choice2": f"b{n}", "label": n % 2, "idx": n} for n in range(4)]
    one = micro_copa(*({**row, "premise": f"this is {row['idx']}", "question": "cause"} for row in rows))
    other = micro_copa(*({**row, "premise": f"quite another {row['idx']}", "question": "effect"} for row in rows))
    other_choices = micro_copa(*({**row, "premise": "x", "question": "cause", "choice1": "c"} for row in rows))
    for split in ("train", "validation", "test"):
        first, second, third = (
            load_examples(derive_task("micro-copa-choices-only", {"micro-copa": base}), split, "en")
            for base in (one, other, other_choices)
        )
        assert first.digest == second.digest != third.digest
        assert list(first.examples) == list(second.examples)
        assert not any("this" in text for e in first.examples for row in e.rows for text in row if text)


def test_published_splits_are_derived_whole(shared_data):
    base = load_examples(TASKS["socialiqa"], "validation", "en", data_dir=shared_data)
    shuffled, texts, alone = (
        load_examples(TASKS[f"socialiqa-{control}"], "validation", "en", data_dir=shared_data)
        for control in ("shuffled-labels", "real-or-shuffled", "choices-only")
    )
    same = sum(one.label == other.label for one, other in zip(base.examples, shuffled.examples, strict=True))
    # Of 1,954 labels that say nothing a third are right, give or take five standard deviations of chance.
    assert abs(same / 1954 - 1 / 3) < 5 * (2 / 9 / 1954) ** 0.5
    assert len(texts.examples) == len(set(texts.premises)) <= len(set(base.premises))
    assert abs(2 * sum(e.label for e in texts.examples) - len(texts.examples)) <= 1
    assert len(alone.examples) == 1954
