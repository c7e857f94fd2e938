"""A question of one's own becomes the very rows that a task's published items become."""

from __future__ import annotations

import pytest

from adapter_transfer.tasks import commonsenseqa, copa, cosmosqa, hellaswag, sandbox_tasks, socialiqa
from adapter_transfer.tasks.asking import Asking
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.task import load_examples

TEXT, ASKED = "Alex forgot the umbrella.", "What does Alex do next?"
CHOICES = ("He ran.", "He sang.", "He slept.", "He wept.", "He left.")


def read_by_task(name):
    """The example of a made row, as the task itself reads it; with the premise, question and choices in the row."""
    if name == "socialiqa":
        answers = dict(zip(("answerA", "answerB", "answerC"), CHOICES, strict=False))
        row = {"context": TEXT, "question": ASKED, **answers, "correct": "A"}
        return socialiqa._RELEASE.read(row, 1), TEXT, ASKED, CHOICES[:3]
    if name == "cosmosqa":
        answers = dict(zip(("answer0", "answer1", "answer2", "answer3"), CHOICES, strict=False))
        row = {"id": "i", "context": TEXT, "question": ASKED, **answers, "label": "0"}
        return cosmosqa._FORM.read(row, 1), TEXT, ASKED, CHOICES[:4]
    if name == "commonsenseqa":
        choices = {"label": list("ABCDE"), "text": list(CHOICES)}
        row = {"id": "i", "question": ASKED, "answerKey": "A", "choices": choices}
        return commonsenseqa._ON_HUB.read(row, 1), "", ASKED, CHOICES
    if name == "hellaswag":
        row = {"ctx": TEXT, "endings": list(CHOICES[:4]), "label": "0"}
        return hellaswag._ON_HUB.read(row, 1), TEXT, "", CHOICES[:4]
    if name == "next-event":
        row = {"context": TEXT, "endings": list(CHOICES[:4]), "label": 0, "idx": 0}
        return sandbox_tasks._read_next_event(row, 1), TEXT, "", CHOICES[:4]
    row = {"premise": TEXT, "question": "cause", "choice1": CHOICES[0], "choice2": CHOICES[1], "label": 0, "idx": 0}
    return copa.read_copa(row, 1), TEXT, "cause", CHOICES[:2]


CHOICE_TASKS = [name for name, task in TASKS.items() if isinstance(task.format, MultipleChoice)]


@pytest.mark.parametrize("name", CHOICE_TASKS)
def test_rows_are_those_of_the_task_itself(name):
    asking = TASKS[name].asking
    assert asking is not None, "a task that gives choices says how it is asked"
    example, premise, question, choices = read_by_task(name)
    assert asking.rows(premise, question, choices) == example.rows
    assert asking.problems(premise, question) == []


def test_tasks_without_choices_cannot_be_asked():
    assert [name for name, task in TASKS.items() if task.asking is not None] == CHOICE_TASKS
    assert TASKS["socialiqa-real-or-shuffled"].asking is None


def test_a_control_without_premises_is_shown_the_choices_alone():
    task = TASKS["micro-copa-choices-only"]
    example = load_examples(task, "test", "qa").examples[0]
    assert task.asking is not None
    assert task.asking.rows("hidden", "", [first for first, _ in example.rows]) == example.rows
    assert task.asking.problems("", "") == []


@pytest.mark.parametrize("question", ["effect", "EFFECT", "What happened as a result?", " what happened as a  result"])
def test_a_question_may_be_given_in_its_words(question):
    asking = TASKS["xcopa"].asking
    assert asking.problems("p", question) == []
    assert asking.rows("p", question, ["c"]) == (("p What happened as a result?", "c"),)


def test_another_question_is_refused_with_those_that_there_are():
    (problem,) = TASKS["xcopa"].asking.problems("p", "why?")
    assert problem == (
        "question 'why?' is not one of this task; it is 'cause' ('What was the cause?') or "
        "'effect' ('What happened as a result?')"
    )
    (problem,) = TASKS["xcopa"].asking.problems("p", "")
    assert problem.startswith("there is no question; it is 'cause'")


def test_what_a_task_has_not_is_refused():
    assert TASKS["hellaswag"].asking.problems("p", "why?") == [
        "this task asks no question, and this one was given: 'why?'. Leave it out"
    ]
    (problem,) = TASKS["commonsenseqa"].asking.problems("p", "q")
    assert "no premise" in problem
    assert TASKS["socialiqa"].asking.problems(" ", " ") == ["there is no premise", "there is no question"]


def test_open_asking_takes_any_question_and_knows_the_words_of_copa():
    asking = Asking(words=copa.COPA_PROMPTS, is_open=True)
    assert asking.rows("p", "cause", ["c"]) == (("p What was the cause?", "c"),)
    assert asking.rows("p", "And then?", ["c"]) == (("p And then?", "c"),)
    assert asking.allowed == () and asking.problems("p", "And then?") == []
