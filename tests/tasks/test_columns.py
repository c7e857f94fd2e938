"""Columns say what is wrong with a value, in few words; sound values of every script pass."""

from __future__ import annotations

import pytest

from adapter_transfer.tasks.columns import Flag, Number, OneOf, Text, Texts

DIGITS_EXPECTED = "expected a text of digits without leading zeros"
VISIBLE = ("a", " a\n", "สุนัข", "狗  ", "\u200fשלום\u200f", "😀", "\x1b[0m", "नमस्ते\u200d", "\x00?", "\u3164ㄱ", "⠁")

SOUND = [
    *(Text("t").problem(text) for text in VISIBLE),
    Texts("t", 2).problem(["a", "a"]),
    OneOf("t", (0, 1)).problem(1),
    OneOf("t", ("1", "2")).problem("2"),
    OneOf("t", ("1", "2"), is_line=True).problem("2\n"),
    Number("t", 0, 9).problem(9),
    Number("t", 1, 500, is_text=True).problem("500"),
    Number("t", 0, 9, is_text=True).problem("0"),
    Flag("t").problem(False),
]

# Control characters, variation selectors, fillers and others that show nothing, although they are no blanks.
INVISIBLE = [
    *("", "\x00", "\x01\x02", "\x85", "\ufe0f", "\U000e0100", "\u034f", "\u180b", "\u180e", "\u180f", "\u17b4"),
    *("\u115f", "\u1160", "\u3164", "\uffa0", "\u2800", "\ue000", "\U000e0001", " \u3164\u2800\u200b\n"),
]

# Column, value, what is said.
FAULTY = [
    (Text("t"), None, "is null; expected a text"),
    (Text("t"), b"a", "is a bytes; expected a text"),
    (Text("t"), "\u2066\u3000\ufeff\u00ad", "is blank"),
    *((Text("t"), text, "is blank") for text in INVISIBLE),
    (Text("t"), "\ud800", "holds half a surrogate pair at character 1, which no encoding can write"),
    (Text("t"), "ok \ud800", "holds half a surrogate pair at character 4, which no encoding can write"),
    (Texts("t", 2), "ab", "is a text; expected a list of 2 texts"),
    (Texts("t", 2), ["a"], "has 1 texts; expected 2"),
    (Texts("t", 2), ["a", " "], "(text 2) is blank"),
    (OneOf("t", (0, 1)), True, "is True; allowed are 0, 1"),
    (OneOf("t", (0, 1)), 1.0, "is a number; allowed are 0, 1"),
    (OneOf("t", ("1", "2")), "1\n", "is '1\\n'; allowed are '1', '2'"),
    (OneOf("t", ("1", "2"), is_line=True), "1 ", "is '1 '; allowed are '1', '2'"),
    (OneOf("t", ("a", "b")), "x" * 1_000_000, f"is '{'x' * 39}…; allowed are 'a', 'b'"),
    (OneOf("t", ("a", "b")), ["a"], "is a list; allowed are 'a', 'b'"),
    (Number("t", 0, 9), "1", "is '1'; expected a whole number"),
    (Number("t", 0, 9), 10**4000, f"is 1{'0' * 39}…; allowed are 0 to 9"),
    (Number("t", 0, 9), True, "is a truth value; expected a whole number"),
    (Number("t", 0, 9, is_text=True), 1, f"is a whole number; {DIGITS_EXPECTED}"),
    (Number("t", 0, 9, is_text=True), "1.0", f"is '1.0'; {DIGITS_EXPECTED}"),
    (Number("t", 0, 9, is_text=True), "²", f"is '²'; {DIGITS_EXPECTED}"),
    (Number("t", 0, 9, is_text=True), "9" * 30, f"is '{'9' * 30}'; {DIGITS_EXPECTED}"),
    (Number("t", 0, 9, is_text=True), "06", f"is '06'; {DIGITS_EXPECTED}"),
    (Number("t", 0, 9, is_text=True), "00", f"is '00'; {DIGITS_EXPECTED}"),
    (Flag("t"), 0, "is a whole number; expected true or false"),
]
FAULTY_IDS = [f"{value!r:.12} {message:.40}" for _, value, message in FAULTY]


def test_sound_values_pass():
    assert set(SOUND) == {None}


@pytest.mark.parametrize(("column", "value", "message"), FAULTY, ids=FAULTY_IDS)
def test_what_is_wrong_is_said(column, value, message):
    assert column.problem(value) == message
