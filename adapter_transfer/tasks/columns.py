"""The kinds of columns that published rows have, and what is wrong with a value of each."""

from __future__ import annotations

import string
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

# A text of these alone says nothing: blanks, and the characters that only join, separate or direct others.
_BLANK = string.whitespace + "".join(
    map(
        chr,
        (
            0x85,
            0xA0,
            0xAD,
            0x1680,
            *range(0x2000, 0x2010),
            *range(0x2028, 0x2030),
            *range(0x205F, 0x2070),
            0x3000,
            0xFEFF,
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
    """A text that says something."""

    name: str
    is_optional: bool = False

    def problem(self, value: object) -> str | None:
        if type(value) is not str:
            return f"is {kind_of(value)}; expected a text"
        if not value.strip(_BLANK):
            return "is blank"
        if value.isascii():
            return None
        if "\ufffd" in value:
            return "holds U+FFFD, the mark of text that was decoded with the wrong encoding"
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return f"holds half a surrogate pair at character {error.start + 1}, which no encoding can write"
        return None


@dataclass(frozen=True)
class Texts:
    """A list of `count` texts."""

    name: str
    count: int
    is_optional: bool = False

    def problem(self, value: object) -> str | None:
        if not isinstance(value, list):
            return f"is {kind_of(value)}; expected a list of {self.count} texts"
        if len(value) != self.count:
            return f"has {len(value)} texts; expected {self.count}"
        element = Text(self.name)
        wrong = ((position, element.problem(text)) for position, text in enumerate(value, start=1))
        return next((f"(text {position}) {problem}" for position, problem in wrong if problem), None)


@dataclass(frozen=True)
class OneOf:
    """One of a closed set of texts or whole numbers, such as a label."""

    name: str
    allowed: tuple[str | int, ...]
    is_optional: bool = False

    @cached_property
    def _type(self) -> type:
        return type(self.allowed[0])

    def problem(self, value: object) -> str | None:
        if type(value) is self._type and value in self.allowed:
            return None
        given = quoted(value) if isinstance(value, str | int) else kind_of(value)
        return f"is {given}; allowed are {', '.join(map(repr, self.allowed))}"


@dataclass(frozen=True)
class Number:
    """A whole number from `first` to `last`, both included, such as an item's number in its file.

    Attributes:
        is_text: written as a text of decimal digits, as in XML and CSV.
    """

    name: str
    first: int
    last: int
    is_text: bool = False
    is_optional: bool = False

    def problem(self, value: object) -> str | None:
        number = value
        if self.is_text and isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            number = int(value)
        if type(number) is not int or (self.is_text and number is value):
            given = quoted(value) if isinstance(value, str) else kind_of(value)
            return f"is {given}; expected {'a text of digits' if self.is_text else 'a whole number'}"
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


_QUOTED_CHARACTERS = 40


def quoted(value: str | int) -> str:
    """A value as it stands in a message: one line, and never longer than a message should be."""
    text = repr(value)
    return text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}…"


def kind_of(value: object) -> str:
    """What kind of value this is, in words (`a text`, `a whole number`, `null`, …)."""
    return "null" if value is None else _KINDS.get(type(value), f"a {type(value).__name__}")
