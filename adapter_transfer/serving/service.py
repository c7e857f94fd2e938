"""What the page and the JSON endpoint share: one model that answers one request at a time, and what is told of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from adapter_transfer.errors import AdapterTransferError, ConfigError
from adapter_transfer.prediction.predictor import Predictor
from adapter_transfer.prediction.questions import Prediction, Question, answer_record, parse_json, question_from_fields

MAX_QUESTIONS = 256
"""In one request."""
MAX_CHARACTERS = 10_000
"""In one text. Others wait for as long as it is taken to pieces, which for a megabyte takes many seconds."""
MAX_WAITING = 16
"""Requests that wait for their turn; one more is sent away."""
_SHOWN_PROBLEMS = 20


class BusyError(AdapterTransferError):
    """Too many requests wait already."""


class Service:
    """A predictor that is shared: one request is answered at a time, few wait.

    Attributes:
        predictor: what answers.
        scores: accuracies by language, 0 to 1, as far as they are known.
    """

    def __init__(self, predictor: Predictor, scores: Sequence[dict[str, Any]] = ()) -> None:
        self.predictor = predictor
        self.scores = tuple(scores)
        self._turn = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_WAITING + 1)

    def info(self) -> dict[str, Any]:
        """What is served, for machines."""
        predictor = self.predictor
        identity = predictor.identity
        return {
            "name": identity.name,
            "task": identity.task,
            "backbone": identity.backbone,
            "precision": predictor.precision,
            "method": identity.method,
            "intermediate": identity.intermediate,
            "composition": identity.composition,
            "seed": identity.seed,
            "questions": list(predictor.questions),
            "num_choices": predictor.num_choices,
            "max_length": predictor.max_length,
            "device": predictor.device,
            "is_sandbox": identity.is_sandbox,
            "notes": list(identity.notes),
            "scores": list(self.scores),
            "max_questions": MAX_QUESTIONS,
        }

    def answer(self, questions: Sequence[Question]) -> list[Prediction]:
        """The answer to each question, in their order.

        Raises:
            ConfigError: with everything that is wrong with them.
            BusyError: if too many requests wait already.
        """
        if any(
            len(text) > MAX_CHARACTERS for each in questions for text in (each.premise, each.question, *each.choices)
        ):
            raise ConfigError(f"a text is longer than {MAX_CHARACTERS:,} characters")
        with self._place():
            return self.predictor.predict(questions)

    def answer_json(self, body: bytes) -> Any:
        """The answers to what a request asks: a question as an object, or a list of such; the answer is alike.

        Raises:
            ConfigError: with everything that is wrong with it.
            BusyError: if too many requests wait already.
        """
        asked = _parsed(body)
        if isinstance(asked, dict):
            question = question_from_fields(asked)
            (prediction,) = self.answer([question])
            return answer_record(question, prediction)
        if not isinstance(asked, list):
            raise ConfigError("expected a JSON object with premise, question and choices, or a list of such")
        if not 1 <= len(asked) <= MAX_QUESTIONS:
            raise ConfigError(f"{len(asked)} questions; a request holds 1 to {MAX_QUESTIONS}")
        questions = _questions(asked)
        predictions = self.answer(questions)
        return [answer_record(each, answer) for each, answer in zip(questions, predictions, strict=True)]

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise BusyError(f"{MAX_WAITING} requests wait already; try again in a moment")
        try:
            with self._turn:
                yield
        finally:
            self._places.release()


def _questions(asked: Sequence[Any]) -> list[Question]:
    questions, problems = [], []
    for number, fields in enumerate(asked, start=1):
        if not isinstance(fields, dict):
            problems.append(f"question {number}: expected a JSON object with premise, question and choices")
            continue
        try:
            questions.append(question_from_fields(fields))
        except ConfigError as error:
            problems.append(f"question {number}: {'; '.join(error.problems)}")
    if problems:
        more = len(problems) - _SHOWN_PROBLEMS
        raise ConfigError([*problems[:_SHOWN_PROBLEMS], *([f"… and {more} more questions"] if more > 0 else [])])
    return questions


def _parsed(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start + 1}") from None
    return parse_json(text)
