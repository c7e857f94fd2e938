"""Text of any origin for a model card: in Markdown, in a code span, in Python code and in YAML, always as mere text.

A name on the Hub, a task in somebody's configuration, a file's source: none of it may become a tag, a link, a mention,
another line or a terminal's command.
"""

from __future__ import annotations

import unicodedata
from typing import Any

MAX_LENGTH = 300
"""Characters of one text; what is longer is cut."""

_MARKDOWN = str.maketrans(
    {
        **{char: f"\\{char}" for char in "\\`*_[]|#~!$"},
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        "@": "&#64;",
        "{": "&#123;",
        "}": "&#125;",
    }
)
_CODE = str.maketrans({"`": "'", "|": "¦", "<": "‹", ">": "›"})


class Written(str):
    """Text that is Markdown already: a card's template puts it out as it is, and escapes everything else."""

    __slots__ = ()


def visible(text: object) -> str:
    """One line of text, every character of which shows: controls and marks of direction are written as escapes."""
    shown = "".join(map(_shown, str(text)))
    return shown if len(shown) <= MAX_LENGTH else shown[:MAX_LENGTH] + "…"


def _shown(char: str) -> str:
    if char in "\t\n\r":
        return " "
    is_hidden = unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return char.encode("unicode_escape").decode() if is_hidden else char


def markdown(value: object) -> Written:
    """A value as mere text between other Markdown."""
    if isinstance(value, Written):
        return value
    text = visible(value).translate(_MARKDOWN)
    # What a page would make a link of, though nobody wrote one.
    return Written(text.replace("://", ":&#47;&#47;").replace("www.", "www&#46;"))


def code(value: object) -> Written:
    """A value as a code span, in a table, too."""
    text = visible(value).translate(_CODE)
    return Written(f"`{text}`" if text.strip() else "–")


def literal(value: Any) -> Written:
    """A text, or a list of texts, as it stands in Python code inside a fence: ASCII, on one line."""
    if isinstance(value, str):
        return Written(_ascii(value))
    return Written(f"[{', '.join(_ascii(item) for item in value)}]")


def _ascii(text: str) -> str:
    written = ascii(text)
    quoted = written if written.startswith('"') or '"' in written else f'"{written[1:-1]}"'.replace("\\'", "'")
    return quoted.replace("`", "\\x60").replace("<", "\\x3c")
