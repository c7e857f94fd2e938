"""Every fault that the schema pass knows, as a change of one row of a file in each published format."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Fault:
    """A fault and how it is told.

    Attributes:
        plant: gives a row's bytes with the fault in it.
        message: a pattern that the problem's message must match.
        follows: lines by which the problem stands after the row's first.
        ends_file: rows after it cannot be read.
        is_last: it can only be planted in the last row.
    """

    name: str
    plant: Callable[[bytes], bytes]
    message: str
    follows: int | range = 0
    ends_file: bool = False
    is_last: bool = False


def changed(_without: str = "", **fields: Any) -> Callable[[bytes], bytes]:
    """Columns set to other values, or one left out."""

    def plant(line: bytes) -> bytes:
        row = {**json.loads(line), **fields}
        row.pop(_without, None)
        return json.dumps(row, ensure_ascii=False).encode() + ending(line)

    return plant


def ending(line: bytes) -> bytes:
    return b"\r\n" if line.endswith(b"\r\n") else b"\n"


def replaced(pattern: bytes, by: bytes) -> Callable[[bytes], bytes]:
    def plant(row: bytes) -> bytes:
        mended, number = re.subn(pattern, lambda match: match.expand(by), row, count=1, flags=re.DOTALL)
        assert number == 1, (pattern, row)
        return mended

    return plant


def jsonl_faults(text: str, label: str, others: Mapping[str, Any]) -> list[Fault]:
    """Faults of a JSON Lines row.

    Args:
        text: a column of text.
        label: the column of the label.
        others: columns of a closed set, each with a value outside of it.
    """
    faults = [
        Fault("column missing", changed(text), f"column '{text}' is missing"),
        Fault("label missing", changed(label), f"column '{label}' is missing"),
        Fault("column unknown", changed(translation="x"), "column 'translation' is unknown"),
        Fault("text is a number", changed(**{text: 3}), f"column '{text}' is a whole number; expected a text"),
        Fault("text is null", changed(**{text: None}), f"column '{text}' is null; expected a text"),
        Fault("text is a list", changed(**{text: ["a"]}), f"column '{text}' is a list; expected a text"),
        Fault("label outside", changed(**{label: 7}), f"column '{label}' is 7; allowed are"),
        Fault("label of another kind", changed(**{label: "0"}), f"column '{label}' is '0'; allowed are"),
        Fault("label is a fraction", changed(**{label: 0.0}), f"column '{label}' is a number; allowed are"),
        Fault("label is a truth value", changed(**{label: True}), f"column '{label}' is True; allowed are"),
        Fault("label is not a number", changed(**{label: float("nan")}), f"column '{label}' is a number; allowed are"),
        Fault("text empty", changed(**{text: ""}), f"column '{text}' is blank"),
        Fault("text of blanks", changed(**{text: " \t\u3000"}), f"column '{text}' is blank"),
        Fault("text of controls", changed(**{text: "\x00\x1f"}), f"column '{text}' is blank"),
        Fault("text of fillers", changed(**{text: "\u3164\u2800\ufe0f"}), f"column '{text}' is blank"),
        Fault("text of marks", changed(**{text: "\u200f\u200b"}), f"column '{text}' is blank"),
        Fault("wrongly decoded", changed(**{text: "caf\ufffd"}), f"column '{text}' holds U\\+FFFD"),
        Fault("not UTF-8", replaced(rb'(": ")', b"\\1caf\xe9"), "not UTF-8 at byte"),
        Fault("half a pair", replaced(rb'(": ")', rb"\1\\ud83d"), "holds half a surrogate pair"),
        Fault("cut in the middle", lambda row: row[: len(row) // 2] + ending(row), "^not (JSON|UTF-8)"),
        Fault("cut off", lambda row: row[: len(row) // 2], "the last line is cut off", is_last=True),
        Fault("two rows in a line", lambda row: row.rstrip() + row, r"not JSON \(Extra data"),
        Fault("not an object", lambda row: b'["a", 1]' + ending(row), "expected a JSON object, found a list"),
        Fault("a blank line", lambda row: ending(row) + row, "a blank line"),
        Fault("a key twice", replaced(rb"^\{", f'{{"{label}": 1, '.encode()), f"'{label}' stands twice in an object"),
        Fault("nested too deep", lambda row: b"[" * 200_000 + ending(row), "not JSON"),
        Fault("a byte-order mark", lambda row: b"\xef\xbb\xbf" + row, "not JSON .*BOM"),
    ]
    outside = [
        Fault(f"{name} outside", changed(**{name: value}), f"column '{name}' is {value!r}; allowed")
        for name, value in others.items()
    ]
    return [*faults, *outside]


def xml_faults() -> list[Fault]:
    """Faults of an item of COPA's XML, which takes five lines and a blank one."""
    premise = rb"<p>.*?</p>"
    return [
        Fault("attribute missing", replaced(rb' asks-for="\w+"', b""), "column 'asks-for' is missing"),
        Fault("attribute unknown", replaced(rb"<item", b'<item author="x"'), "column 'author' is unknown"),
        Fault("element missing", replaced(premise, b""), "column 'p' is missing"),
        Fault("element unknown", replaced(rb"(<p>)", rb"<why>x</why>\1"), "column 'why' is unknown"),
        Fault("element twice", replaced(rb"<a2>(.*?)</a2>", rb"<a1>\1</a1>"), "<a1> stands twice"),
        Fault("an element for an item", replaced(rb"<item(.*)</item>", rb"<thing\1</thing>"), "expected <item>"),
        Fault("label outside", replaced(rb'(alternative=)"\d"', rb'\1"3"'), "'most-plausible-alternative' is '3'"),
        Fault("label from 0", replaced(rb'(alternative=)"\d"', rb'\1"0"'), "'most-plausible-alternative' is '0'"),
        Fault("question outside", replaced(rb'(asks-for=)"\w+"', rb'\1"why"'), "column 'asks-for' is 'why'; allowed"),
        Fault(
            "id is no number",
            replaced(rb'( id=)"(\d+)"', rb'\1"\2a"'),
            "column 'id' is '.*a'; expected a text of digits",
        ),
        Fault(
            "id with leading zeros",
            replaced(rb'( id=)"(\d+)"', rb'\1"0\2"'),
            "column 'id' is '0.*'; expected a text of digits without leading zeros",
        ),
        Fault("id outside", replaced(rb'( id=)"\d+"', rb'\1"1001"'), "column 'id' is 1001; allowed are"),
        Fault("text empty", replaced(premise, b"<p/>"), "column 'p' is blank"),
        Fault("text of blanks", replaced(premise, b"<p>\n\t </p>"), "column 'p' is blank"),
        Fault("text of fillers", replaced(premise, "<p>\u3164\ufe0f</p>".encode()), "column 'p' is blank"),
        Fault("wrongly decoded", replaced(premise, "<p>caf\ufffd</p>".encode()), "column 'p' holds U\\+FFFD"),
        Fault("an element in a text", replaced(rb"(<p>)", rb"\1<b>so</b> "), "<b> inside a text"),
        Fault("an attribute of a text", replaced(rb"<p>", b'<p lang="en">'), "<p> has an unknown attribute 'lang'"),
        Fault("text between elements", replaced(rb"(</p>)", rb"\1 stray"), "text outside of an element: 'stray'"),
        Fault("text between items", replaced(rb"(</item>)", rb"\1 stray"), "text outside of an item: 'stray'", 4),
        Fault("unknown entity", replaced(rb"(<p>)", rb"\1&eacute;"), "entity &eacute; is not defined"),
        Fault("not UTF-8", replaced(rb"<p>", b"<p>caf\xe9"), "not XML", 1, ends_file=True),
        Fault("a bare ampersand", replaced(rb"<p>", b"<p>R & B"), "not XML", 1, ends_file=True),
        Fault("an element not closed", replaced(rb"</a1>", b""), "not XML .*mismatched", 4, ends_file=True),
        Fault("cut off", lambda row: row[: len(row) // 2], "not XML", range(6), ends_file=True, is_last=True),
    ]


Parts = tuple[bytes, list[bytes], bytes]
"""What stands before the rows of a file, the rows, and what stands after."""


def split_jsonl(content: bytes) -> Parts:
    return b"", re.findall(rb"[^\n]*\n", content), b""


def split_xml(content: bytes) -> Parts:
    start, end = content.index(b"  <item"), content.rindex(b"</item>") + len(b"</item>\n")
    items = re.split(rb"(?=  <item )", content[start:end])[1:]
    return content[:start], items, content[end:]


def write_with_faults(path: Path, parts: Parts, faults: Mapping[int, Fault]) -> dict[int, int | range]:
    """Writes a file with a fault in each of the rows given by their index; gives the line (or lines) of each.

    What stands after a row that is cut off goes with its end.
    """
    before, rows, after = parts
    lines: dict[int, int | range] = {}
    content = [before]
    for index, row in enumerate(rows):
        if index not in faults:
            content.append(row)
            continue
        fault = faults[index]
        line = b"".join(content).count(b"\n") + 1
        follows = fault.follows
        lines[index] = line + follows if isinstance(follows, int) else range(line, line + len(follows))
        content.append(fault.plant(row))
    ends = any(fault.is_last for fault in faults.values())
    path.write_bytes(b"".join(content if ends else [*content, after]))
    return lines
