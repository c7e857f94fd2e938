"""SQuAD's JSON: one object of articles, of which each has paragraphs, of which each has questions.

A row is a question, with the title of its article and the context of its paragraph. It is placed by counting (`article
3, paragraph 2, question 1`): the release is a file of one line.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.columns import kind_of, quoted
from adapter_transfer.tasks.schema import PlacedRow, RowProblem


def read_squad_json(path: Path, name: str) -> Iterator[PlacedRow | RowProblem]:
    """The questions of a file in SQuAD's layout, version 1.1 or 2.0, in published order.

    The file is read as one (SQuAD's largest has 42 MB). What has no place in the layout is a problem where it stands;
    where questions are lost with it, it cannot be left out.

    Raises:
        DataError: if the file cannot be read at all.
    """
    content = _load(path, name)
    if isinstance(content, RowProblem):
        yield content
        return
    articles = yield from _members(content, "data", ("version",), name)
    for number, article in enumerate(articles, start=1):
        yield from _article(article, f"{name}: article {number}")


def _article(article: object, place: str) -> Iterator[PlacedRow | RowProblem]:
    paragraphs = yield from _members(article, "paragraphs", ("title",), place)
    of_article = _fields(article, "title")
    for number, paragraph in enumerate(paragraphs, start=1):
        of_paragraph = f"{place}, paragraph {number}"
        questions = yield from _members(paragraph, "qas", ("context",), of_paragraph)
        shared = of_article | _fields(paragraph, "context")
        for position, question in enumerate(questions, start=1):
            yield _question(question, shared, f"{of_paragraph}, question {position}")


def _question(question: object, shared: dict[str, Any], place: str) -> PlacedRow | RowProblem:
    if not isinstance(question, dict):
        return RowProblem(place, f"expected an object, found {kind_of(question)}")
    wrong = _repeated_in(question)
    wrong += [f"{key!r} is known already from the paragraph or the article" for key in shared if key in question]
    return RowProblem(place, "; ".join(wrong)) if wrong else PlacedRow({**shared, **question}, place)


def _members(value: object, key: str, others: tuple[str, ...], place: str) -> Generator[RowProblem, None, list[Any]]:
    """The list that an object holds under `key`, after the problems of the object itself."""
    if not isinstance(value, dict):
        yield RowProblem(place, f"expected an object, found {kind_of(value)}", ends_file=True)
        return []
    repeated = [quoted(each) for each in value.repeated] if isinstance(value, _Repeated) else []
    if repeated:
        yield RowProblem(place, f"{', '.join(repeated)} stands twice in an object", ends_file=True)
    unknown = [quoted(each) for each in value if each not in (key, *others)]
    if unknown:
        yield RowProblem(place, f"{', '.join(unknown)} is unknown; allowed are {', '.join((key, *others))}")
    members = value.get(key)
    if isinstance(members, list):
        return members
    found = f"is {kind_of(members)}; expected a list" if key in value else "is missing"
    yield RowProblem(place, f"{key!r} {found}", ends_file=True)
    return []


def _fields(value: object, key: str) -> dict[str, Any]:
    return {key: value[key]} if isinstance(value, dict) and key in value else {}


class _Repeated(dict[str, Any]):
    """An object in which keys stand twice; of such values Python keeps the last alone, and says nothing."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.repeated = sorted({name for name in names if names.count(name) > 1})


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else _Repeated(pairs)


def _repeated_in(value: object) -> list[str]:
    """Which keys stand twice, in an object or in those inside of it."""
    if isinstance(value, list):
        return [problem for each in value for problem in _repeated_in(each)]
    if not isinstance(value, dict):
        return []
    own = [f"{quoted(key)} stands twice in an object" for key in value.repeated] if isinstance(value, _Repeated) else []
    return own + [problem for each in value.values() for problem in _repeated_in(each)]


def _load(path: Path, name: str) -> Any:
    """What a JSON file holds, or why nothing can be read from it, with the line."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{name}: no such file") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror})") from None
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, byte = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        return RowProblem(f"{name}:{line}", f"not UTF-8 at byte {byte} of the line", ends_file=True)
    except json.JSONDecodeError as error:
        return RowProblem(f"{name}:{error.lineno}", f"not JSON ({error.msg}, column {error.colno})", ends_file=True)
    except (ValueError, RecursionError) as error:
        return RowProblem(f"{name}:1", f"not JSON that can be used ({error})", ends_file=True)
