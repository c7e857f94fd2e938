"""Questions to a trained model and its answers; reading questions from fields and from JSON Lines. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from adapter_transfer.errors import ConfigError, DataError

MAX_LINE_BYTES = 2**20
MAX_CHOICES = 64
MIN_CHOICES = 2
_SHOWN_PROBLEMS = 20
_FEW_PROBLEMS = 3
"""That are told one by one even where no line is right."""
_CHOICE = "choice"


class QuestionError(DataError):
    """Lines of a file that hold no question; the message tells each with its number."""


@dataclass(frozen=True)
class Question:
    """A premise, what is asked of it, and the texts to choose from, in any language.

    Attributes:
        premise: the text that the question is about; empty for a task that has none.
        question: for tasks like COPA "cause" or "effect" (or their words, "What was the cause?"); for others in its
            own words; empty for a task in which the choices just go on.
        choices: two or more.
        id: given back with the answer.
        label: index of the right choice from 0 up, where it is known.
        fields: what else stood beside the question; given back as it was.
    """

    premise: str
    question: str
    choices: tuple[str, ...]
    id: str = ""
    label: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Prediction:
    """What a model answers to one question.

    Attributes:
        choice: index of the likeliest choice, from 0 up; the first of several that are equally likely.
        probabilities: of each choice, 0 to 1; they sum up to 1.
        text: the chosen text.
        id: of the question.
    """

    choice: int
    probabilities: tuple[float, ...]
    text: str
    id: str = ""

    @property
    def probability(self) -> float:
        """Of the choice that was made."""
        return self.probabilities[self.choice]


def answer_record(question: Question, prediction: Prediction) -> dict[str, Any]:
    """An answer for machines, as `predict --json` writes it and the endpoint of `serve` sends it."""
    return {
        "id": prediction.id or None,
        "choice": prediction.choice,
        "text": prediction.text,
        "probabilities": list(prediction.probabilities),
        "fields": dict(question.fields),
    }


def question_from_fields(fields: Mapping[str, Any]) -> Question:
    """The question that XCOPA's fields (`premise`, `question`, `choice1`, `choice2`, …) or `choices` as a list hold.

    `id` or else `idx` is its id, `label` the right choice; all others are kept aside.

    Raises:
        ConfigError: with everything that is wrong with them.
    """
    problems: list[str] = []
    rest = dict(fields)
    premise, question = (_text(rest.pop(name, ""), name, problems) for name in ("premise", "question"))
    choices = _choices(rest, problems)
    label = rest.get("label")
    if label is not None and (type(label) is not int or not 0 <= label < max(len(choices), MIN_CHOICES)):
        problems.append(f"label {_short(label)}; it is the right choice's index, from 0 up")
        label = None
    made = Question(premise, question, choices, _id(rest, problems), label, rest)
    problems += [each for each in text_problems(made) if not problems]
    if problems:
        raise ConfigError(problems)
    return made


def text_problems(question: Question) -> list[str]:
    """What is wrong with a question whatever the task is: too few choices, empty ones, or what is no text."""
    found = []
    if not MIN_CHOICES <= len(question.choices) <= MAX_CHOICES:
        num = len(question.choices)
        found.append(f"{num} choice{'s' * (num != 1)}; there have to be {MIN_CHOICES} to {MAX_CHOICES}")
    empty = [str(number) for number, choice in enumerate(question.choices, start=1) if not choice.strip()]
    if empty:
        found.append(f"choice {', '.join(empty)} is empty")
    texts = (question.premise, question.question, *question.choices)
    if any("\ud800" <= char <= "\udfff" for text in texts for char in text):
        found.append("a text holds half a character (a lone surrogate), which has no UTF-8")
    if sum(map(len, texts)) > MAX_LINE_BYTES:
        found.append(f"its texts are longer than {MAX_LINE_BYTES:,} characters together")
    return found


def read_questions(
    lines: IO[bytes], name: str, problems_of: Callable[[Question], Sequence[str]] = lambda question: ()
) -> Iterator[Question]:
    """The questions of a JSON Lines file in UTF-8, one by one; blank lines are passed over.

    A question without an id has the number of its line. From the first line that is wrong on no question is given any
    more, but the rest is read, so that every problem is told at once.

    Args:
        name: of the file, for messages.
        problems_of: what else is wrong with a question, to whoever is going to be asked (`Predictor.problems`).

    Raises:
        QuestionError: with every line that is wrong.
    """
    problems: list[str] = []
    num_problems = num_questions = 0
    for number, line in _numbered(lines):
        try:
            question = _parse(line, number)
            if question is not None and (found := problems_of(question)):
                raise ConfigError(found)
        except ConfigError as error:
            num_problems += 1
            if len(problems) < _SHOWN_PROBLEMS:
                problems.append(f"{name}:{number}: {'; '.join(error.problems)}")
            continue
        num_questions += question is not None
        if question is not None and not num_problems:
            yield question
    if num_problems > _FEW_PROBLEMS and not num_questions:
        raise QuestionError(
            f"{name}: none of its {num_problems} lines is a question that can be asked. Give JSON Lines: one object a "
            f"line, with premise, question, choice1 and choice2, or choices as a list. The first: {problems[0]}"
        )
    if num_problems:
        more = num_problems - len(problems)
        told = [*problems, *([f"… and {more} more lines"] if more else [])]
        raise QuestionError("\n".join(told))


def batches(questions: Iterable[Question], size: int) -> Iterator[list[Question]]:
    """Questions in groups of `size`, in order; one group is in memory at a time."""
    group: list[Question] = []
    for question in questions:
        group.append(question)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _numbered(lines: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Lines from 1 up; None for one that is longer than a line may be, which is never held as a whole."""
    number = 0
    while line := lines.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) <= MAX_LINE_BYTES or line.endswith(b"\n"):
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = lines.readline(MAX_LINE_BYTES)
        yield number, None


def _parse(line: bytes | None, number: int) -> Question | None:
    """The question in a line; None for a blank one.

    Raises:
        ConfigError: with what is wrong with it.
    """
    if line is None:
        raise ConfigError(f"the line is longer than {MAX_LINE_BYTES:,} bytes")
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start + 1} of the line") from None
    if not text:
        return None
    fields = parse_json(text)
    if not isinstance(fields, dict):
        raise ConfigError("expected a JSON object with premise, question, choice1 and choice2")
    question = question_from_fields(fields)
    if question.id:
        return question
    return Question(question.premise, question.question, question.choices, str(number), question.label, question.fields)


def parse_json(text: str) -> Any:
    """The JSON value in a text; no object has a key twice, and every number is one.

    Raises:
        ConfigError: if it is none.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in text else ""
        raise ConfigError(f"not JSON ({error.msg}, {line}column {error.colno})") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not JSON that can be used ({error})") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{', '.join(map(_short, repeated))} stands twice in an object")
    return fields


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(_short(text))


def _text(value: Any, name: str, problems: list[str]) -> str:
    if isinstance(value, str):
        return value
    problems.append(f"{name} is {_short(value)}, not a text")
    return ""


def _choices(rest: dict[str, Any], problems: list[str]) -> tuple[str, ...]:
    """Takes the choices out of the fields: a list, or `choice1`, `choice2` and so on without a gap."""
    numbered: list[Any] = []
    while f"{_CHOICE}{len(numbered) + 1}" in rest:
        numbered.append(rest.pop(f"{_CHOICE}{len(numbered) + 1}"))
    gap = [name for name in rest if name.startswith(_CHOICE) and name.removeprefix(_CHOICE).isdecimal()]
    if gap:
        problems.append(f"there is {_short(min(gap))}, but no {_CHOICE}{len(numbered) + 1}")
    listed = rest.pop("choices", None)
    if listed is None:
        found: Sequence[Any] = numbered
    elif numbered:
        problems.append("choices are given twice, as choice1, choice2 and as a list; leave one of them out")
        found = numbered
    elif isinstance(listed, list | tuple):
        found = listed
    else:
        problems.append(f"choices is {_short(listed)}, not a list of texts")
        found = ()
    if not found and not problems:
        problems.append("there are no choices; give choice1 and choice2, or choices as a list")
    return tuple(_text(choice, f"{_CHOICE} {number}", problems) for number, choice in enumerate(found, start=1))


def _id(rest: dict[str, Any], problems: list[str]) -> str:
    """Takes the id out of the fields: `id`, or else `idx`."""
    value = rest.pop("id" if "id" in rest else "idx", "")
    if isinstance(value, str) or type(value) is int or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    problems.append(f"its id is {_short(value)}, neither a text nor a number")
    return ""


def _short(value: object) -> str:
    told = repr(value)
    return told if len(told) <= 60 else f"{told[:60]}…"
