"""The kinds of columns that published rows have, and what is wrong with a value of each."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

# Characters that show nothing, beside those of the categories C (controls, unassigned) and Z (blanks): Unicode's
# default-ignorable letters and marks (DerivedCoreProperties.txt), and the braille pattern without a dot.
_INVISIBLE = frozenset(
    map(
        chr,
        (
            0x34F,  # combining grapheme joiner
            *(0x115F, 0x1160, 0x3164, 0xFFA0),  # Hangul fillers
            *(0x17B4, 0x17B5),  # Khmer inherent vowels
            *(0x180B, 0x180C, 0x180D, 0x180F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),  # variation selectors
            0x2800,
        ),
    )
)
_KINDS = {
    bool: "a truth value",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}


class Column(Protocol):
    """One column of a published row."""

    @property
    def name(self) -> str: ...
    @property
    def is_optional(self) -> bool:
        """Whether rows may lack it."""

    def problem(self, value: object) -> str | None:
        """What is wrong with `value`, to be read after the column's name; None where nothing is."""


@dataclass(frozen=True)
class Text:
    """A text that says something: at least one of its characters can be seen."""

    name: str
    is_optional: bool = False

    def problem(self, value: object) -> str | None:
        if type(value) is not str:
            return f"is {kind_of(value)}; expected a text"
        damage = _damage(value)
        if damage is not None:
            return damage
        return None if any(map(_is_visible, value)) else "is blank"


def _damage(text: str) -> str | None:
    """What shows that a text went through a wrong encoding."""
    if "\ufffd" in text:
        return "holds U+FFFD, the mark of text that was decoded with the wrong encoding"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return f"holds half a surrogate pair at character {error.start + 1}, which no encoding can write"
    return None


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CZ" and character not in _INVISIBLE


@dataclass(frozen=True)
class Texts:
    """A list of `count` texts, or of however many; there may be none, then."""

    name: str
    count: int | None = None
    is_optional: bool = False

    def problem(self, value: object) -> str | None:
        if not isinstance(value, list):
            number = "" if self.count is None else f"{self.count} "
            return f"is {kind_of(value)}; expected a list of {number}texts"
        if self.count is not None and len(value) != self.count:
            return f"has {len(value)} texts; expected {self.count}"
        element = Text(self.name)
        wrong = ((position, element.problem(text)) for position, text in enumerate(value, start=1))
        return next((f"(text {position}) {problem}" for position, problem in wrong if problem), None)


@dataclass(frozen=True)
class OneOf:
    """One of a closed set of texts or whole numbers, such as a label.

    Attributes:
        is_line: a text that may end in a line feed, as where the lines of a file became values as they were.
    """

    name: str
    allowed: tuple[str | int, ...]
    is_optional: bool = False
    is_line: bool = False

    @cached_property
    def _type(self) -> type:
        return type(self.allowed[0])

    def problem(self, value: object) -> str | None:
        label = value.removesuffix("\n") if self.is_line and isinstance(value, str) else value
        if type(label) is self._type and label in self.allowed:
            return None
        given = quoted(value) if isinstance(value, str | int) else kind_of(value)
        return f"is {given}; allowed are {', '.join(map(repr, self.allowed))}"


_DIGITS = re.compile("0|[1-9][0-9]{0,18}")
_DIGITS_EXPECTED = "a text of digits without leading zeros"


@dataclass(frozen=True)
class Number:
    """A whole number from `first` to `last`, both included, such as an item's number in its file.

    Attributes:
        is_text: written as a text of decimal digits, as in XML and CSV; in one way only ("6", not "06"), because texts
            are what duplicates and leaks are found by.
    """

    name: str
    first: int
    last: int
    is_text: bool = False
    is_optional: bool = False

    def problem(self, value: object) -> str | None:
        number = value
        if self.is_text and isinstance(value, str) and _DIGITS.fullmatch(value):
            number = int(value)
        if type(number) is not int or (self.is_text and number is value):
            given = quoted(value) if isinstance(value, str) else kind_of(value)
            return f"is {given}; expected {_DIGITS_EXPECTED if self.is_text else 'a whole number'}"
        if not self.first <= number <= self.last:
            return f"is {quoted(number)}; allowed are {self.first} to {self.last}"
        return None


@dataclass(frozen=True)
class Flag:
    """True or false."""

    name: str
    is_optional: bool = False

    def problem(self, value: object) -> str | None:
        return None if type(value) is bool else f"is {kind_of(value)}; expected true or false"


@dataclass(frozen=True)
class Unused:
    """A column that nothing is read from: only the kind of its values is looked at, and texts may be empty.

    A text that is damaged is told, since the file may be.

    Attributes:
        kind: `str`, `int`, `float`, `bool`, `list` or `dict`.
    """

    name: str
    kind: type = str
    is_optional: bool = False

    def problem(self, value: object) -> str | None:
        if type(value) is not self.kind:
            return f"is {kind_of(value)}; expected {_KINDS[self.kind]}"
        return _damage(value) if isinstance(value, str) else None


@dataclass(frozen=True)
class ListOf:
    """A list of values of one kind.

    Attributes:
        element: what each of them is; its name says nothing.
        count: how many there are; None where that is free, and there may be none.
    """

    name: str
    element: Column
    count: int | None = None
    is_optional: bool = False

    def problem(self, value: object) -> str | None:
        if not isinstance(value, list):
            return f"is {kind_of(value)}; expected a list"
        if self.count is not None and len(value) != self.count:
            return f"has {len(value)} values; expected {self.count}"
        wrong = ((position, self.element.problem(each)) for position, each in enumerate(value, start=1))
        return "; ".join(f"(value {position}) {problem}" for position, problem in wrong if problem) or None


@dataclass(frozen=True)
class Object:
    """An object inside of a row, with columns of its own; others are a fault."""

    name: str
    columns: tuple[Column, ...]
    is_optional: bool = False

    def problem(self, value: object) -> str | None:
        if not isinstance(value, dict):
            return f"is {kind_of(value)}; expected an object"
        return "; ".join(f"(its {problem})" for problem in problems_of(value, self.columns)) or None


def problems_of(fields: Mapping[str, Any], columns: Sequence[Column]) -> list[str]:
    """Everything that is wrong with the fields of an object, each told with the field's name."""
    found = []
    for column in columns:
        if column.name in fields:
            problem = column.problem(fields[column.name])
            if problem is not None:
                found.append(f"{column.name!r} {problem}")
        elif not column.is_optional:
            found.append(f"{column.name!r} is missing")
    names = {column.name for column in columns}
    return found + [f"{quoted(name)} is unknown" for name in fields if name not in names]


_QUOTED_CHARACTERS = 40


def quoted(value: str | int) -> str:
    """A value as it stands in a message: one line, and never longer than a message should be."""
    text = repr(value)
    return text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}…"


def kind_of(value: object) -> str:
    """What kind of value this is, in words (`a text`, `a whole number`, `null`, …)."""
    return "null" if value is None else _KINDS.get(type(value), f"a {type(value).__name__}")
