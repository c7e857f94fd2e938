"""Columns say what is wrong with a value, in few words; sound values of every script pass."""

from __future__ import annotations

import pytest

from adapter_transfer.tasks.columns import Flag, ListOf, Number, Object, OneOf, Text, Texts, Unused

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
    Texts("t").problem([]),
    Texts("t").problem(["a", "b", "a"]),
    Unused("t").problem(""),
    Unused("t", int).problem(-3),
    Unused("t", list).problem([None]),
    ListOf("t", Number("n", 0, 9)).problem([]),
    ListOf("t", Number("n", 0, 9), 2).problem([9, 9]),
    Object("t", (Text("a"), Text("b", is_optional=True))).problem({"a": "x"}),
    ListOf("t", Object("o", (Text("a"),))).problem([{"a": "x"}, {"a": "y"}]),
]

# Control characters, variation selectors, fillers and others that show nothing, although they are no blanks.
INVISIBLE = [
    *("", "\x00", "\x01\x02", "\x85", "\ufe0f", "\U000e0100", "\u034f", "\u180b", "\u180e", "\u180f", "\u17b4"),
    *("\u115f", "\u1160", "\u3164", "\uffa0", "\u2800", "\ue000", "\U000e0001", " \u3164\u2800\u200b\n"),
]

NUMBERS = "(value 2) is 10; allowed are 0 to 9; (value 3) is null; expected a whole number"
OBJECT = "(its 'a' is missing); (its 'b' is a whole number; expected true or false); (its 'c' is unknown)"

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
    (Texts("t"), None, "is null; expected a list of texts"),
    (Texts("t"), ["a", "b", 1], "(text 3) is a whole number; expected a text"),
    (Unused("t"), None, "is null; expected a text"),
    (Unused("t"), "caf\ufffd", "holds U+FFFD, the mark of text that was decoded with the wrong encoding"),
    (Unused("t"), "\ud83d", "holds half a surrogate pair at character 1, which no encoding can write"),
    (Unused("t", int), True, "is a truth value; expected a whole number"),
    (Unused("t", dict), [1], "is a list; expected an object"),
    (ListOf("t", Text("x")), "ab", "is a text; expected a list"),
    (ListOf("t", Text("x"), 2), ["a"], "has 1 values; expected 2"),
    (ListOf("t", Number("n", 0, 9)), [1, 10, None], NUMBERS),
    (Object("t", (Text("a"),)), ["a"], "is a list; expected an object"),
    (Object("t", (Text("a"), Flag("b"))), {"b": 1, "c": 2}, OBJECT),
    (ListOf("t", Object("o", (Text("a"),))), [{"a": "x"}, {"a": " "}], "(value 2) (its 'a' is blank)"),
]
FAULTY_IDS = [f"{value!r:.12} {message:.40}" for _, value, message in FAULTY]


def test_sound_values_pass():
    assert set(SOUND) == {None}


@pytest.mark.parametrize(("column", "value", "message"), FAULTY, ids=FAULTY_IDS)
def test_what_is_wrong_is_said(column, value, message):
    assert column.problem(value) == message
