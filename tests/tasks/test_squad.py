"""SQuAD 1.1 and 2.0: spans at their characters, questions without answers, and every planted fault."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from planted import problems_of

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.leaks import shared_premises
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.task import load_examples

FILES = {"squad1": "squad1/train-v1.1.json", "squad2": "squad2/train-v2.0.json"}
Row = dict[str, Any]


def test_answers_stand_at_their_characters_and_questions_lose_their_outer_blanks(data_dir):
    first, second, *_ = load_examples(TASKS["squad1"], "train", "en", data_dir=data_dir).examples
    ((question, context),) = first.rows
    assert question == "What does it sell?"
    ((answer, start),) = first.label
    assert context[start : start + len(answer)] == answer == "𝒽oney  and tea"
    assert (second.rows[0][0], second.label[0][0], second.id) == ("When did it open?", "1900", f"{1:024x}")


def test_questions_without_an_answer(data_dir):
    examples = load_examples(TASKS["squad2"], "train", "en", data_dir=data_dir).examples
    assert [each.label for each in examples].count(()) == 6
    # What could be taken for an answer is none.
    assert (examples[3].label, len(examples[3].rows)) == ((), 1)


@pytest.mark.parametrize(("task", "repo"), [("squad1", "rajpurkar/squad"), ("squad2", "rajpurkar/squad_v2")])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_hub_has_the_same_examples(task, repo, split, data_dir, fake_hub):
    published = TASKS[task].splits[split]
    from_files = load_examples(TASKS[task], split, "en", data_dir=data_dir)
    from_hub = load_examples(TASKS[task], split, "en", Reading(published, revisions=fake_hub(repo)))
    assert (from_hub.digest, from_hub.premises) == (from_files.digest, from_files.premises)


def test_xquad_on_the_hub_is_a_split_of_its_own(fake_hub):
    loaded = load_examples(TASKS["squad1"], "test", "en", Reading("xquad-en", revisions=fake_hub("google/xquad")))
    assert loaded.examples[0].id == f"{200:024x}"
    assert "xquad-en" not in TASKS["squad1"].splits.values()


def answer(**fields: Any) -> Callable[[Row], object]:
    return lambda row: row["answers"][0].update(fields)


def one_too_far(row: Row) -> None:
    row["answers"][0]["answer_start"] += 1


def second_answer(row: Row) -> None:
    row["answers"].append({"text": "x", "answer_start": 0})


# What is planted in an answerable question, and what is told.
ANSWERS = {
    "span elsewhere": (answer(answer_start=3), r"the answer '.*' does not stand at 3 of its context \('.*' does\)"),
    "span one too far": (one_too_far, "does not stand at"),
    "span behind the end": (answer(answer_start=5000), r"does not stand at 5000 of its context \('' does\)"),
    "span not in the context": (answer(text="𝒽oney and tea"), "does not stand at"),
    "answer without start": (
        lambda r: r["answers"][0].pop("answer_start"),
        r"^column 'answers' \(value 1\) \(its 'answer_start' is missing\)$",
    ),
    "start is null": (answer(answer_start=None), r"\(its 'answer_start' is null; expected a whole number\)"),
    "start is a text": (answer(answer_start="3"), r"\(its 'answer_start' is '3'; expected a whole number\)"),
    "start is negative": (answer(answer_start=-1), r"\(its 'answer_start' is -1; allowed are 0 to"),
    "answer without text": (lambda r: r["answers"][0].pop("text"), r"\(its 'text' is missing\)"),
    "answer blank": (answer(text="  "), r"\(its 'text' is blank\)"),
    "answer unknown": (answer(end=4), r"\(its 'end' is unknown\)"),
    "second answer wrong": (second_answer, "^the answer 'x' does not stand at 0"),
    "answers are one": (lambda r: r.update(answers=r["answers"][0]), "column 'answers' is an object; expected a list"),
    "answers missing": (lambda r: r.pop("answers"), "column 'answers' is missing"),
    "question blank": (lambda r: r.update(question=" "), "column 'question' is blank"),
    "question missing": (lambda r: r.pop("question"), "column 'question' is missing"),
    "question wrongly decoded": (lambda r: r.update(question="caf\ufffd"), r"column 'question' holds U\+FFFD"),
    "id is a number": (lambda r: r.update(id=3), "column 'id' is a whole number; expected a text"),
    "id missing": (lambda r: r.pop("id"), "column 'id' is missing"),
    "unknown": (lambda r: r.update(why=1), "column 'why' is unknown"),
}
OF_V1 = {
    "no answer": (lambda r: r.update(answers=[]), "^there is no answer; every question has one here$"),
    "a question of 2.0": (lambda r: r.update(is_impossible=False), "^column 'is_impossible' is unknown$"),
}
OF_V2 = {
    "said to be impossible": (
        lambda r: r.update(is_impossible=True),
        "^'is_impossible' is True, but there are 1 answers$",
    ),
    "answers lost": (lambda r: r.update(answers=[]), "^'is_impossible' is False, but there are 0 answers$"),
    "impossible or not": (lambda r: r.pop("is_impossible"), "^column 'is_impossible' is missing$"),
    "impossible in words": (lambda r: r.update(is_impossible="no"), "^column 'is_impossible' is a text; expected true"),
    "plausible wrong": (lambda r: r.update(plausible_answers=[1]), r"'plausible_answers' \(value 1\) is a whole"),
}
SEEDED = [
    pytest.param(task, *fault, id=f"{task}: {name}")
    for task, own in (("squad1", OF_V1), ("squad2", OF_V2))
    for name, fault in (ANSWERS | own).items()
]


@pytest.mark.parametrize(("task", "plant", "message"), SEEDED)
def test_every_planted_fault_is_found_at_its_question(task, plant, message, data_dir):
    sound = (data_dir / FILES[task]).read_text()
    for article, paragraph in ((0, 0), (2, 1), (5, 1)):
        content = json.loads(sound)
        plant(content["data"][article]["paragraphs"][paragraph]["qas"][0])
        (data_dir / FILES[task]).write_text(json.dumps(content))
        (problem,) = problems_of(task, "train", data_dir)
        assert problem.place == f"{FILES[task]}: article {article + 1}, paragraph {paragraph + 1}, question 1"
        assert re.search(message, problem.message), problem


@pytest.mark.parametrize("task", FILES)
def test_a_context_that_is_missing_or_repeated_ids_are_told_of_every_question(task, data_dir):
    path = data_dir / FILES[task]
    content = json.loads(path.read_text())
    first, second = content["data"][1]["paragraphs"]
    del first["context"]
    second["qas"][1]["id"] = second["qas"][0]["id"]
    path.write_text(json.dumps(content))
    *without, repeated = problems_of(task, "train", data_dir)
    assert [each.message for each in without] == ["column 'context' is missing"] * 2
    place = f"{FILES[task]}: article 2, paragraph 2, question"
    assert repeated.place == f"{place} 2"
    assert repeated.message == f"item '{second['qas'][0]['id']}' stands already at {place} 1"


@pytest.mark.parametrize("task", FILES)
def test_a_file_that_is_cut_off_is_not_read_at_all(task, data_dir):
    path = data_dir / FILES[task]
    path.write_bytes(path.read_bytes()[:2000])
    for on_bad_row in ("fail", "skip"):
        with pytest.raises(DataError, match=rf"{re.escape(FILES[task])}:1: not JSON"):
            load_examples(TASKS[task], "train", "en", Reading("train", on_bad_row=on_bad_row), data_dir)


def test_columns_of_the_hub_that_do_not_fit_each_other(fake_hub, tmp_path):
    from published_data import write_parquet
    from published_questions import hub_squad, squad_file

    rows = hub_squad(squad_file(4))
    rows[2]["answers"]["answer_start"] = []
    rows[3]["answers"]["text"] = [" "]
    revisions = fake_hub("rajpurkar/squad")
    path = next((tmp_path / "hub").glob("**/plain_text/train-*.parquet"))
    write_parquet(path, rows)
    with pytest.raises(DataError) as caught:
        load_examples(TASKS["squad1"], "train", "en", Reading("train", revisions=revisions))
    assert [problem.message for problem in caught.value.problems] == [
        "'answers' has 1 texts, but 0 places where they start",
        "column 'answers' (its 'text' (text 1) is blank)",
    ]


def test_the_half_of_the_dev_set_is_never_taken_for_the_whole(shared_data):
    task = TASKS["squad2"]
    with pytest.raises(DataError, match=r"does not hold the published split 'dev'.*squad2/dev-v2\.0\.json"):
        load_examples(task, "validation", "en", data_dir=shared_data)
    loaded = load_examples(task, "validation", "en", Reading("dev-half"), shared_data)
    assert (len(loaded.examples), loaded.problems) == (6078, ())
    assert task.format.count_labels(loaded.examples) == {"answerable": 2910, "unanswerable": 3168}


def test_xquad_is_read_whole_and_its_leak_into_the_half_is_seen(shared_data):
    xquad = load_examples(TASKS["squad1"], "test", "en", Reading("xquad-en"), shared_data)
    half = load_examples(TASKS["squad2"], "validation", "en", Reading("dev-half"), shared_data)
    assert (len(xquad.examples), xquad.problems) == (1190, ())
    assert len(set(xquad.premises)) == 240
    assert len(set(xquad.premises) & set(half.premises)) == 78
    assert shared_premises(half, xquad) >= 334
