"""CommonsenseQA: choices inside of choices, repeats that are known, and every planted fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from planted import problems_of, require_found_alone
from published_questions import commonsenseqa_rows
from seeded_faults import Fault, ending, jsonl_faults, split_jsonl

from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.commonsenseqa import known_repeats
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.task import load_examples

TASK = TASKS["commonsenseqa"]
FILE = "commonsenseqa/train_rand_split.jsonl"


Question = dict[str, Any]


def inside(change: Callable[[Question], object]) -> Callable[[bytes], bytes]:
    """A row whose question was changed in place."""

    def plant(line: bytes) -> bytes:
        row = json.loads(line)
        change(row["question"])
        return json.dumps(row).encode() + ending(line)

    return plant


def choice(position: int, **fields: Any) -> Callable[[bytes], bytes]:
    """A row with other fields in one of its choices."""
    return inside(lambda question: question["choices"][position - 1].update(fields))


def a_text_for_a_choice(question: Question) -> None:
    question["choices"][0] = question["choices"][0]["text"]


def repeat_a_choice(question: Question) -> None:
    question["choices"][3]["text"] = question["choices"][0]["text"]


INSIDE = [
    Fault("stem missing", inside(lambda q: q.pop("stem")), r"^column 'question' \(its 'stem' is missing\)$"),
    Fault("stem blank", inside(lambda q: q.update(stem=" ")), r"^column 'question' \(its 'stem' is blank\)$"),
    Fault("half a pair inside", inside(lambda q: q.update(stem="a\ud83d")), r"\(its 'stem' holds half a surrogate"),
    Fault("unknown inside", inside(lambda q: q.update(why=1)), r"^column 'question' \(its 'why' is unknown\)$"),
    Fault("a choice too few", inside(lambda q: q["choices"].pop()), r"'choices' has 4 values; expected 5"),
    Fault("choices are none", inside(lambda q: q.update(choices=None)), r"'choices' is null; expected a list"),
    Fault("a choice is a text", inside(a_text_for_a_choice), r"\(value 1\) is a text; expected an object"),
    Fault("a choice blank", choice(3, text=""), r"\(value 3\) \(its 'text' is blank\)"),
    Fault(
        "a choice without text", inside(lambda q: q["choices"][4].pop("text")), r"\(value 5\) \(its 'text' is missing\)"
    ),
    Fault("a label outside", choice(1, label="F"), r"\(value 1\) \(its 'label' is 'F'; allowed"),
    Fault("a label twice", choice(2, label="A"), "^the choices are labelled A, A, C, D, E; expected A, B, C, D, E$"),
    Fault("labels reversed", inside(lambda q: q["choices"].reverse()), "^the choices are labelled E, D, C, B, A;"),
    Fault("a choice repeated", inside(repeat_a_choice), "^choices 1 and 4 are the same text$"),
]
FLAT = [
    fault
    for fault in jsonl_faults("id", "answerKey", {})
    # Half a pair would stand in the answer's key, which may be none of such texts; see `INSIDE`.
    if fault.name != "half a pair"
]
FAULTS = [*FLAT, *INSIDE]


def test_a_row_is_the_question_with_each_choice(data_dir):
    example = load_examples(TASK, "train", "en", data_dir=data_dir).examples[7]
    stem = "Where would you drink tea number 7?"
    assert example.rows == tuple((stem, f"{key} 7 cafés") for key in "ABCDE")
    assert (example.id, example.label) == (f"{7:032x}", 2)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_hub_has_the_same_examples(split, data_dir, fake_hub):
    published = TASK.splits[split]
    from_files = load_examples(TASK, split, "en", data_dir=data_dir)
    from_hub = load_examples(TASK, split, "en", Reading(published, revisions=fake_hub("tau/commonsense_qa")))
    assert (from_hub.digest, from_hub.premises) == (from_files.digest, from_files.premises)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_every_planted_fault_is_found(fault, data_dir):
    require_found_alone("commonsenseqa", "train", data_dir, FILE, split_jsonl((data_dir / FILE).read_bytes()), fault)


def test_known_repeats_are_kept_and_others_are_not(data_dir):
    rows = commonsenseqa_rows(2)
    for row in rows:
        row["question"]["choices"][1]["text"] = row["question"]["choices"][0]["text"]
    rows[0]["id"] = sorted(known_repeats())[0]
    (data_dir / FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (problem,) = problems_of("commonsenseqa", "train", data_dir)
    assert (problem.place, problem.message) == (f"{FILE}:2", "choices 1 and 2 are the same text")


@pytest.mark.parametrize(
    ("split", "number", "repeats", "ambiguous"), [("train", 9741, 122, 42), ("validation", 1221, 24, 6)]
)
def test_published_files_with_the_repeats_that_their_readme_counts(split, number, repeats, ambiguous, shared_data):
    loaded = load_examples(TASK, split, "en", data_dir=shared_data)
    assert (len(loaded.examples), loaded.problems) == (number, ())
    choices = [[choice for _, choice in example.rows] for example in loaded.examples]
    repeated = {each.id for each, texts in zip(loaded.examples, choices, strict=True) if len(set(texts)) < 5}
    right = [texts.count(texts[each.label]) for each, texts in zip(loaded.examples, choices, strict=True)]
    assert (len(repeated), sum(count > 1 for count in right)) == (repeats, ambiguous)
    assert repeated <= known_repeats()
    assert len(known_repeats()) == 122 + 24
