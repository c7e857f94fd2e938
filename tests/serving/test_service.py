"""Answers to requests: as `predict --json` gives them, one request at a time, with every problem in the same words."""

from __future__ import annotations

import json
import threading
import time

import pytest
from scripted_predictor import ScriptedPredictor

from adapter_transfer.errors import ConfigError
from adapter_transfer.serving.service import MAX_QUESTIONS, MAX_WAITING, BusyError, Service

QUESTION = {"premise": "It rained.", "question": "effect", "choices": ["The street got wet.", "It dried."]}


def asked(content) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def test_one_question_gets_one_answer_and_a_list_a_list():
    service = Service(ScriptedPredictor())
    one = service.answer_json(asked({**QUESTION, "id": "q7", "source": "mine"}))
    assert one == {
        "id": "q7",
        "choice": 0,
        "text": "The street got wet.",
        "probabilities": [0.75, 0.25],
        "fields": {"source": "mine"},
    }
    swapped = {"premise": "It rained.", "question": "effect", "choice1": "No.", "choice2": "The street got wet."}
    both = service.answer_json(asked([QUESTION, swapped]))
    assert [answer["choice"] for answer in both] == [0, 1]
    assert [answer["id"] for answer in both] == [None, None]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe", "not UTF-8 at byte 1"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"premise": NaN}', "NaN is not JSON"),
        (b'{"premise": 1e999}', "'1e999' is not JSON"),
        (b'{"premise": "a",\n "premise": "b"}', "'premise' stands twice"),
        (b'{"premise":\n }', "line 2, column 2"),
        (b"3", "expected a JSON object"),
        (b"[]", "0 questions; a request holds 1 to"),
        ([QUESTION] * (MAX_QUESTIONS + 1), f"{MAX_QUESTIONS + 1} questions"),
        ([QUESTION, 3], "question 2: expected a JSON object"),
        ([QUESTION, {"premise": 3, "choices": ["a", "b"]}], "question 2: premise is 3, not a text"),
        ([QUESTION, {**QUESTION, "question": "why"}], "question 2: question 'why' is not one of this task"),
        ({**QUESTION, "choices": ["only"]}, "1 choice; there have to be 2"),
        ({**QUESTION, "choices": ["a", " "]}, "choice 2 is empty"),
        ({**QUESTION, "premise": ""}, "there is no premise"),
        ({}, "there are no choices"),
        ({**QUESTION, "premise": "x" * 10_001}, "a text is longer than 10,000 characters"),
        ([QUESTION, {**QUESTION, "choices": ["a", "x" * 10_001]}], "a text is longer than 10,000 characters"),
    ],
)
def test_what_is_wrong_is_told(content, told):
    with pytest.raises(ConfigError) as error:
        Service(ScriptedPredictor()).answer_json(asked(content))
    assert told in str(error.value)


def test_problems_of_many_questions_are_cut():
    with pytest.raises(ConfigError) as error:
        Service(ScriptedPredictor()).answer_json(asked([3] * 100))
    assert len(error.value.problems) == 21
    assert error.value.problems[-1] == "… and 80 more questions"


def test_one_request_is_answered_at_a_time_and_few_wait():
    inside, most, release = [], [], threading.Event()

    def work():
        inside.append(1)
        most.append(len(inside))
        release.wait(20)
        inside.pop()

    service = Service(ScriptedPredictor(before=work))
    threads = [
        threading.Thread(target=service.answer_json, args=(asked(QUESTION),), daemon=True)
        for _ in range(MAX_WAITING + 1)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 20
    while service._places._value and time.monotonic() < until:  # each of them has its place
        time.sleep(0.005)
    with pytest.raises(BusyError, match="wait already"):
        service.answer_json(asked(QUESTION))
    release.set()
    for thread in threads:
        thread.join(20)
    assert set(most) == {1}
    assert service.answer_json(asked(QUESTION))["choice"] == 0


def test_a_refused_question_frees_its_place():
    service = Service(ScriptedPredictor())
    for _ in range(MAX_WAITING + 5):
        with pytest.raises(ConfigError):
            service.answer_json(asked({**QUESTION, "premise": ""}))
    assert service.answer_json(asked(QUESTION))["text"] == "The street got wet."


def test_what_is_served_is_told():
    scores = [{"language": "it", "accuracy": 0.625, "num_items": 500, "num_seeds": 3}]
    info = Service(ScriptedPredictor(intermediate="hellaswag", composition="stack", seed=2), scores).info()
    assert json.loads(json.dumps(info)) == info
    promised = {"name": "run 0123456789ab", "task": "xcopa", "backbone": "base", "intermediate": "hellaswag", "seed": 2}
    assert promised.items() <= info.items()
    assert info["questions"] == ["cause", "effect"]
    assert info["scores"] == scores
    assert info["max_questions"] == MAX_QUESTIONS
