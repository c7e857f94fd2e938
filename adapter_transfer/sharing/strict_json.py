"""JSON that a stranger wrote: bounded and unambiguous, or refused. No torch."""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

MAX_DEPTH = 32
MAX_VALUES = 200_000
MAX_TEXT = 10_000
"""Characters of one text."""
_MAX_DIGITS = 19
"""Of a whole number: those of 64 bits."""
# Turn the direction of what follows, so that a name reads as another.
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BLANKS = frozenset("\n\r\t")


def parse_strict(data: bytes) -> dict[str, Any]:
    """The JSON object that `data` holds.

    Refused: duplicate keys, NaN and infinities (`1e999`, too), whole numbers beyond 64 bits, more than 32 levels or
    200,000 values, texts beyond 10,000 characters or with control characters, anything but an object.

    Raises:
        ValueError: saying what is wrong; what it quotes is quoted by `repr`.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is no UTF-8 text (byte {error.start:,})") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_whole_number,
            parse_float=_number,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"is no valid JSON: {error.msg} (line {error.lineno})") from None
    except RecursionError:
        raise ValueError(f"is nested more than {MAX_DEPTH} deep") from None
    if not isinstance(value, dict):
        raise ValueError(f"holds {type(value).__name__}, not an object")
    _require_bounded(value)
    return value


def control_character(text: str) -> str | None:
    """The first character that a terminal obeys or that turns the direction of reading; None where there is none."""
    if text.isascii() and text.isprintable():
        return None
    return next(
        (
            char
            for char in text
            if (char not in _BLANKS and unicodedata.category(char) in ("Cc", "Cs")) or char in _DIRECTIONS
        ),
        None,
    )


def texts_in(value: object) -> Iterator[str]:
    """Every text in a JSON value, keys included."""
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def keys_in(value: object) -> Iterator[str]:
    """Every key in a JSON value, at every level."""
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"has the key {twice[:60]!r} twice")
    return made


def _whole_number(digits: str) -> int:
    if len(digits.lstrip("-")) > _MAX_DIGITS:
        raise ValueError(f"has a number of {len(digits):,} digits")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"has a number that is too large ({digits[:20]})")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"has the value {name}, which is no JSON")


def _require_bounded(value: object) -> None:
    level: list[Any] = [value]
    num_values = 0
    for _ in range(MAX_DEPTH):
        num_values += len(level)
        if num_values > MAX_VALUES:
            raise ValueError(f"holds more than {MAX_VALUES:,} values")
        texts = [item for item in level if isinstance(item, str)]
        texts += [key for item in level if isinstance(item, dict) for key in item]
        for text in texts:
            if len(text) > MAX_TEXT:
                raise ValueError(f"has a text of {len(text):,} characters")
            if (char := control_character(text)) is not None:
                raise ValueError(f"has a control character ({char!r}) in {text[:40]!r}")
        inner = [
            list(item.values()) if isinstance(item, dict) else item for item in level if type(item) in (dict, list)
        ]
        level = [item for items in inner for item in items]
        if not level:
            return
    raise ValueError(f"is nested more than {MAX_DEPTH} deep")
