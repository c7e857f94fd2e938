"""A trained model that answers questions: rows, tokens and scores exactly as training and evaluation make them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from adapter_transfer.backbones.precision import compute_dtype
from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.errors import ConfigError, DataError, DeviceError
from adapter_transfer.prediction.questions import Prediction, Question, batches, text_problems
from adapter_transfer.tasks.asking import Asking
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.formats import Cutting, EncodedExamples, Example, Format
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.runtime import chosen_device, device_precisions, require_device
from adapter_transfer.training.settings import DEFAULT_TOKEN_BUDGET, DeviceRequest

BATCH_QUESTIONS = 512
"""Questions that are tokenized and scored at once; sorted by length, their choices fill batches of tokens."""
_SHOWN_PROBLEMS = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """What a predictor is, for people and records.

    Attributes:
        name: what it was loaded from: a run's id, `hub:organisation/name@commit`, or a folder's name.
        task: that its head was trained to answer.
        backbone: the encoder's name.
        method: how it was trained (`ls methods`).
        intermediate: English task that was trained before, or "none".
        composition: how both meet.
        seed: of training; None where it is not known.
        is_sandbox: knows the embedded micro-world alone; its answers mean nothing outside of it.
        notes: what else is worth knowing (the seed that was chosen of several, a precision that is not training's).
    """

    name: str
    task: str
    backbone: str
    method: str
    intermediate: str = "none"
    composition: str = "none"
    seed: int | None = None
    is_sandbox: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scoring:
    """How rows are scored on this machine.

    Without accelerate, which keeps one precision a process: there may be two models of different ones.

    Attributes:
        token_budget: padded tokens in a batch.
    """

    device: torch.device
    precision: Precision
    token_budget: int
    pad_id: int

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision as a run has it; nothing in fp32."""
        dtype = compute_dtype(self.precision, self.device)
        return nullcontext() if dtype == torch.float32 else torch.autocast(self.device.type, dtype=dtype)


def make_scoring(request: DeviceRequest, precision: Precision, token_budget: int | None, pad_id: int) -> Scoring:
    """How rows of a model in `precision` are scored on the device that is asked for.

    Raises:
        DeviceError: if the device cannot be had, or does not compute in that precision.
    """
    require_device(request)
    device = chosen_device(request)
    able = device_precisions(device)
    if precision not in able:
        raise DeviceError(f"precision {precision} cannot be had on this device ({device}); it has {', '.join(able)}")
    return Scoring(device, precision, token_budget or DEFAULT_TOKEN_BUDGET, pad_id)


def require_choices(task: str, format: Format, asking: Asking | None) -> tuple[MultipleChoice, Asking]:
    """The format and the asking of a task that gives choices.

    Raises:
        ConfigError: for any other task, naming those that can be asked.
    """
    if isinstance(format, MultipleChoice) and asking is not None:
        return format, asking
    able = ", ".join(name for name, each in TASKS.items() if each.asking is not None)
    raise ConfigError(
        f"what was trained answers {task!r} ({format.describe()}), and only one of several texts can be chosen here. "
        f"Tasks that give choices: {able}."
    )


class Predictor:
    """A trained composition with its head, ready to answer. Made by `loading.load`; may be shared by threads.

    Attributes:
        identity: what it is; its fields are attributes of the predictor, too.
        asking: which questions can be asked, and how they are put.
        max_length: tokens in a row; what is longer loses text, as in training.
        num_choices: that it was trained with; questions may have more or fewer.
    """

    def __init__(
        self,
        identity: Identity,
        asking: Asking,
        format: MultipleChoice,
        model: Any,
        head: str,
        tokenizer: Any,
        scoring: Scoring,
        max_length: int,
    ) -> None:
        self.identity = identity
        self.asking = asking
        self.max_length = max_length
        self.num_choices = format.num_choices
        self._format = format
        self._model, self._head, self._tokenizer, self._scoring = model, head, tokenizer, scoring
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Predictor {self.description}>"

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def task(self) -> str:
        return self.identity.task

    @property
    def backbone(self) -> str:
        return self.identity.backbone

    @property
    def method(self) -> str:
        return self.identity.method

    @property
    def seed(self) -> int | None:
        return self.identity.seed

    @property
    def precision(self) -> Precision:
        return self._scoring.precision

    @property
    def device(self) -> str:
        return str(self._scoring.device)

    @property
    def is_sandbox(self) -> bool:
        return self.identity.is_sandbox

    @property
    def notes(self) -> tuple[str, ...]:
        """Each a sentence that a person should see beside the answers."""
        return self.identity.notes

    @property
    def questions(self) -> tuple[str, ...]:
        """The questions that can be asked ("cause", "effect"); empty where they are asked in words, or none are."""
        return self.asking.allowed

    @property
    def description(self) -> str:
        """One line: what was trained how on what, and what else is worth knowing."""
        identity = self.identity
        trained = (
            identity.task
            if identity.intermediate in ("none", identity.task)
            else (f"{identity.task} after {identity.intermediate} ({identity.composition})")
        )
        seed = "" if identity.seed is None else f", seed {identity.seed}"
        line = f"{identity.name}: {identity.method} on {identity.backbone}, {trained}{seed}, {self.precision}"
        return f"{line}. {' '.join(identity.notes)}".rstrip() if identity.notes else line

    def problems(self, question: Question) -> list[str]:
        """What is wrong with a question to this model; nothing where it can be asked."""
        return [*self.asking.problems(question.premise, question.question), *text_problems(question)]

    def predict(
        self, questions: Sequence[Question], on_progress: Callable[[int, int], None] = lambda done, total: None
    ) -> list[Prediction]:
        """The answer to each question, in their order.

        All of them are in memory at once; `predict_all` answers a stream.

        Args:
            on_progress: told how many of how many rows (a choice of a question each) have been scored.

        Raises:
            ConfigError: with everything that is wrong with the questions; none is answered then.
            DataError: if the weights overflow, so that there is no answer.
        """
        self._require_sound(questions)
        if not questions:
            return []
        with self._lock:
            encoded = self._encoded(questions)
            if encoded.num_truncated:
                told = f"{encoded.num_truncated} of {len(encoded.row_lengths)} choices with their texts"
                logger.warning("%s are longer than %d tokens and were cut, as in training", told, self.max_length)
            logits = self._logits(encoded, on_progress)
        if not np.isfinite(logits).all():
            # Every weight is finite, and large ones can overflow all the same; the first choice would win each time.
            raise DataError(
                f"{self.name} answers with values that are no finite numbers: its weights overflow in "
                f"{self.precision}. It is damaged, or was made to mislead; do not use it."
            )
        bounds = encoded.first_rows
        pairs = zip(questions, bounds[:-1], bounds[1:], strict=True)
        return [_prediction(question, logits[first:behind]) for question, first, behind in pairs]

    def predict_all(
        self, questions: Iterable[Question], batch_size: int = BATCH_QUESTIONS
    ) -> Iterator[tuple[Question, Prediction]]:
        """Each question with its answer, in order; only `batch_size` of them are in memory at a time.

        Raises:
            ConfigError: as `predict`, once the questions that are wrong are reached.
        """
        for group in batches(questions, batch_size):
            yield from zip(group, self.predict(group), strict=True)

    def _require_sound(self, questions: Sequence[Question]) -> None:
        if isinstance(questions, Question | str) or not all(isinstance(each, Question) for each in questions):
            raise TypeError("predict takes a list of questions: predict([Question(premise, question, choices), …])")
        found = [(number, self.problems(question)) for number, question in enumerate(questions, start=1)]
        wrong = [(number, problems) for number, problems in found if problems]
        if wrong:
            place = "question {}: " if len(questions) > 1 else ""
            told = [f"{place.format(number)}{'; '.join(problems)}" for number, problems in wrong[:_SHOWN_PROBLEMS]]
            more = len(wrong) - len(told)
            raise ConfigError([*told, *([f"… and {more} more questions"] if more else [])])

    def _encoded(self, questions: Sequence[Question]) -> EncodedExamples:
        # The label is not asked for; the head gives one number a row, so choices may be any number.
        examples = [
            Example(str(number), self.asking.rows(each.premise, each.question, each.choices), 0)
            for number, each in enumerate(questions)
        ]
        return self._format.encode(examples, "", self._tokenizer, Cutting(self.max_length))

    def _logits(self, encoded: EncodedExamples, on_progress: Callable[[int, int], None]) -> npt.NDArray[np.float32]:
        """(M,): one number a row."""
        total, done = len(encoded.row_lengths), 0

        def count(rows: int) -> None:
            nonlocal done
            done += rows
            on_progress(done, total)

        return predict(self._model, self._head, encoded, self._scoring, on_rows=count)[:, 0]


def _prediction(question: Question, logits: npt.NDArray[np.float32]) -> Prediction:
    exponents = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = tuple((exponents / exponents.sum()).tolist())
    choice = int(logits.argmax())
    return Prediction(choice, probabilities, question.choices[choice], question.id)
