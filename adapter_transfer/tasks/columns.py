"""The kinds of columns that published rows have, and what is wrong with a value of each."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

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
        if "\ufffd" in value:
            return "holds U+FFFD, the mark of text that was decoded with the wrong encoding"
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                return f"holds half a surrogate pair at character {error.start + 1}, which no encoding can write"
        return None if any(map(_is_visible, value)) else "is blank"


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CZ" and character not in _INVISIBLE


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


_QUOTED_CHARACTERS = 40


def quoted(value: str | int) -> str:
    """A value as it stands in a message: one line, and never longer than a message should be."""
    text = repr(value)
    return text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}…"


def kind_of(value: object) -> str:
    """What kind of value this is, in words (`a text`, `a whole number`, `null`, …)."""
    return "null" if value is None else _KINDS.get(type(value), f"a {type(value).__name__}")
