"""`adapter-transfer predict SOURCE`: which of several texts a trained model chooses, for one question or a file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from adapter_transfer.durable import storage_errors, temporary_path
from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer.prediction.questions import (
    Prediction,
    Question,
    answer_record,
    batches,
    read_questions,
    text_problems,
)
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, errors, printable, tell_wait

if TYPE_CHECKING:
    from adapter_transfer.prediction.predictor import Predictor

STANDARD_INPUT = "-"
_QUESTIONS_AT_ONCE = 256

EXAMPLE = """Example: adapter-transfer predict 1f0c3a --premise "The rain fell." --question effect
--choice "The ground got wet." --choice "The sun rose."

Example: adapter-transfer predict hub:org/name@main --file items.jsonl --json > answers.jsonl

SOURCE is the id of a run (or its beginning), a folder of adapters, or a name on the Hub. A file has a JSON object a
line, in XCOPA's fields: premise, question (cause or effect), choice1, choice2, or choices as a list; id, label and
others may stand there. Questions are asked as they stand there: known faults of XCOPA's `question` field, which
`evaluate` mends, are not mended here. Answers are one JSON object a line with --json or --output: id, choice (from 0
up), text, probabilities, and the question's other fields."""


@dataclass
class _Count:
    """What was answered, and how often a label agreed."""

    answered: int = 0
    labelled: int = 0
    correct: int = 0

    def add(self, question: Question, prediction: Prediction) -> None:
        self.answered += 1
        if question.label is not None:
            self.labelled += 1
            self.correct += question.label == prediction.choice


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLE)(predict)


def predict(
    source: options.Trained,
    items: str | None = typer.Argument(None, metavar="-", help="- reads JSON Lines from standard input."),
    premise: str | None = typer.Option(None, help="The text that the question is about, in any language."),
    question: str | None = typer.Option(
        None, help="cause or effect (or in words), for tasks like COPA; other tasks ask in their own words, or nothing."
    ),
    choice: list[str] | None = typer.Option(None, help="A text to choose from; give two or more."),
    file: Path | None = typer.Option(None, help="Questions in a JSON Lines file; - is standard input."),
    output: Path | None = typer.Option(None, help="Write the answers to a file, as JSON Lines."),
    seed: options.SeedOfSeveral = None,
    backbone: options.Encoder = None,
    precision: options.EncoderPrecision = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    device: options.Device = "auto",
    token_budget: options.TokenBudget = options.MACHINE.token_budget,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Choose between texts with a trained model: one question from the options, or many from a file or a pipe."""
    path = _file(items, file)
    asked = _asked(path, premise, question, choice)
    _require_other_file(path, output)
    total = _checked(path) if path is not None and str(path) != STANDARD_INPUT else None
    tell_wait("loading the model", quiet=quiet)
    # Loads torch, several seconds that `--help` does without.
    from adapter_transfer.prediction.loading import load

    predictor = load(
        source,
        store=store,
        seed=seed,
        backbone=backbone,
        device=device,
        precision=precision,
        token_budget=token_budget,
    )
    if not quiet:
        _print_notes(predictor)
    count = _Count()
    is_seen = output is None and console().is_terminal  # a bar would run through the answers
    with _written(output, json) as write, _progress(total, quiet=quiet or is_seen) as tell:
        for group in _groups(path, asked, predictor.problems):
            for each, prediction in zip(group, predictor.predict(group), strict=True):
                write(each, prediction)
                count.add(each, prediction)
            sys.stdout.flush()  # whoever writes questions into a pipe may wait for the answers
            tell(count.answered)
    _print_end(count, output, quiet)


def _file(items: str | None, file: Path | None) -> Path | None:
    if items is not None and file is not None:
        raise ConfigError(f"questions are asked of {items!r} and of --file {str(file)!r}; give one of them")
    return Path(items) if items is not None else file


def _asked(path: Path | None, premise: str | None, question: str | None, choice: Sequence[str] | None) -> Question:
    """The question of the options; with a file, there is to be none.

    Raises:
        ConfigError: if there is one and a file, or neither, or it can be asked of no model.
    """
    given = [name for name, value in (("premise", premise), ("question", question), ("choice", choice)) if value]
    if path is not None and given:
        raise ConfigError(f"a file is given, and --{given[0]} too; ask one question with options, or many in a file")
    if path is None and not choice:
        raise ConfigError(
            "there is nothing to choose from: give --premise, --question and two or more --choice, or --file FILE"
        )
    asked = Question(premise or "", question or "", tuple(choice or ()))
    if path is None and (problems := text_problems(asked)):
        raise ConfigError(problems)
    return asked


def _require_other_file(path: Path | None, output: Path | None) -> None:
    if path is not None and output is not None and output.exists() and path.exists() and output.samefile(path):
        raise ConfigError(f"--output {str(output)!r} is the file that the questions are read from; give another")


def _checked(path: Path) -> int:
    """How many questions a file has, each of which can be read: nothing is loaded for one that cannot.

    Raises:
        DataError: if the file cannot be read, is empty, or with every line that is wrong.
    """
    with _opened(path) as lines:
        total = sum(1 for _ in read_questions(lines, path.name))
    if not total:
        raise DataError(f"{path}: there are no questions in it")
    return total


def _groups(
    path: Path | None, asked: Question, problems_of: Callable[[Question], Sequence[str]]
) -> Iterator[list[Question]]:
    """The questions, as many at a time as are answered at once."""
    if path is None:
        yield [asked]
    elif str(path) == STANDARD_INPUT:
        yield from batches(read_questions(sys.stdin.buffer, "standard input", problems_of), _QUESTIONS_AT_ONCE)
    else:
        with _opened(path) as lines:
            yield from batches(read_questions(lines, path.name, problems_of), _QUESTIONS_AT_ONCE)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as lines:
            yield lines
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def _print_notes(predictor: Predictor) -> None:
    errors().print(printable(predictor.description), markup=False, soft_wrap=True, style="dim")
    if predictor.is_sandbox:
        errors().print(
            "note: it knows the sandbox's micro-world alone; what it answers means nothing outside of it.",
            soft_wrap=True,
        )


_Write = Callable[[Question, Prediction], None]


@contextmanager
def _written(output: Path | None, as_json: bool) -> Iterator[_Write]:
    """Gives what takes the answers: to a file that is there once all are, or to standard output one by one."""
    if output is None:
        try:
            yield _write_json if as_json else _print_answer
        except BrokenPipeError:  # typer would make a failure of it
            console().on_broken_pipe()
        return
    temporary = temporary_path(output)
    try:
        with storage_errors("write", output), temporary.open("w", encoding="utf-8", newline="\n") as lines:
            yield lambda question, prediction: _write_line(lines, question, prediction)
        with storage_errors("write", output):
            os.replace(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)


def _write_json(question: Question, prediction: Prediction) -> None:
    _write_line(sys.stdout, question, prediction)


def _write_line(lines: IO[str], question: Question, prediction: Prediction) -> None:
    value = answer_record(question, prediction)
    line = json.dumps(value, ensure_ascii=False)
    # JSON leaves signs as they are that act on a terminal, and half characters that no file can hold.
    lines.write((line if line.isprintable() else json.dumps(value)) + "\n")


def _print_answer(question: Question, prediction: Prediction) -> None:
    """The chosen text with its probability, and the others below it, from the likeliest down."""
    label = f"{prediction.id}: " if prediction.id else ""
    order = sorted(range(len(question.choices)), key=lambda index: (-prediction.probabilities[index], index))
    for place, index in enumerate(order):
        start = label if place == 0 else " " * len(label)
        line = f"{start}{prediction.probabilities[index]:6.1%}  {question.choices[index]}"
        text = printable(line.replace("\n", " "))
        console().print(text, markup=False, soft_wrap=True, style="bold" if place == 0 else "dim")


@contextmanager
def _progress(total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Gives what is told how many questions are answered; a bar on standard error, where that is a terminal."""
    if quiet or total is None or not errors().is_terminal:
        yield lambda done: None
        return
    columns = (TextColumn("questions"), BarColumn(bar_width=12), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors(), transient=True) as bars:
        task = bars.add_task("questions", total=total)
        yield lambda done: bars.update(task, completed=done)


def _print_end(count: _Count, output: Path | None, quiet: bool) -> None:
    if count.labelled:
        right = f"{count.correct} of {count.labelled} labelled questions are answered as labelled"
        errors().print(f"{right} ({count.correct / count.labelled:.1%})", markup=False, soft_wrap=True)
    if output is not None and not quiet:
        errors().print(f"{count.answered} answers in {output}", markup=False, soft_wrap=True)
