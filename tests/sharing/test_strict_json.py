"""JSON of strangers: bounded and unambiguous. What is refused is in `test_attacks`."""

from __future__ import annotations

import json

import pytest

from adapter_transfer.sharing.strict_json import MAX_DEPTH, control_character, keys_in, parse_strict, texts_in


def test_what_json_can_say_is_read_as_it_is():
    value = {"a": [1, -2.5, 1e-4, True, None, "é 你好 \n\t"], "b": {"c": {}}, "n": 2**63 - 1}
    assert parse_strict(json.dumps(value).encode()) == value
    assert parse_strict(json.dumps(value, ensure_ascii=False).encode()) == value


def test_the_deepest_that_is_read():
    def nested(depth):
        return b'{"a":' * depth + b"1" + b"}" * depth

    parse_strict(nested(MAX_DEPTH - 1))
    with pytest.raises(ValueError, match="nested more than 32 deep"):
        parse_strict(nested(MAX_DEPTH))


def test_keys_and_texts_of_every_level():
    value = {"a": [{"b": "x"}, ["y", 1]], "c": None}
    assert sorted(keys_in(value)) == ["a", "b", "c"]
    assert sorted(texts_in(value)) == ["a", "b", "c", "x", "y"]


@pytest.mark.parametrize("text", ["plain", "two\nlines\tand\r\n", "naïve 你好 \u200d\u200c", "\u200fעברית"])
def test_scripts_of_all_languages_are_no_control_characters(text):
    assert control_character(text) is None


@pytest.mark.parametrize("char", ["\x1b", "\x07", "\x9b", "\x00", "\x7f", "\u202e", "\u2066", "\ud800"])
def test_what_terminals_obey_is_found(char):
    assert control_character(f"a{char}b") == char
