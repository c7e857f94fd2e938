"""Questions to try: for every task that can be asked there are some, and its model takes them."""

from __future__ import annotations

import pytest
from scripted_predictor import ScriptedPredictor

from adapter_transfer.serving.examples import example_questions
from adapter_transfer.tasks.catalog import TASKS

ASKED = sorted(name for name, task in TASKS.items() if task.asking is not None)


@pytest.mark.parametrize("task", ASKED)
def test_every_task_has_examples_in_several_languages(task):
    predictor = ScriptedPredictor(task, is_sandbox=TASKS[task].is_sandbox)
    found = example_questions(predictor)
    assert len(found) >= 2
    assert len({question.choices for question in found}) == len(found)
    assert all(predictor.predict([question]) for question in found)


def test_a_sandbox_adapter_is_asked_in_the_sandboxs_languages():
    found = example_questions(ScriptedPredictor("micro-copa", is_sandbox=True))
    texts = " ".join(question.premise for question in found)
    assert any("а" <= letter <= "я" for letter in texts)
    assert any("α" <= letter <= "ω" for letter in texts)
