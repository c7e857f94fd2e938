"""Words and tags, a line each: sentences with their lines, and every planted fault."""

from __future__ import annotations

import re

import pytest

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.schema import PlacedRow, RowProblem
from adapter_transfer.tasks.tagged_lines import read_tagged_lines

SOUND = "Zoë\tN\nleft\tS[dcl]\\NP\n\n1\tN\n\n\nok\tN\n"


def read(tmp_path, content):
    path = tmp_path / "x.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_tagged_lines(path, "x.tsv"))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("after", ["", "\n", "\n\n"])
def test_sentences_stand_between_blank_lines(end, after, tmp_path):
    assert read(tmp_path, (SOUND + after).replace("\n", end)) == [
        PlacedRow({"words": ["Zoë", "left"], "tags": ["N", "S[dcl]\\NP"]}, "x.tsv:1"),
        PlacedRow({"words": ["1"], "tags": ["N"]}, "x.tsv:4"),
        PlacedRow({"words": ["ok"], "tags": ["N"]}, "x.tsv:7"),
    ]
    assert read(tmp_path, "\n\n") == read(tmp_path, "") == []


# What stands in the place of the second line, and what is told of it.
FAULTS = {
    "a tag missing": (b"left", "1 field; expected a word and its tag, a tab between them"),
    "three fields": (b"left\tVBD\tS", "3 fields; expected a word and its tag, a tab between them"),
    "a blank for the tab": (b"left S", "1 field; expected a word and its tag, a tab between them"),
    "blanks": (b"  ", "1 field; expected a word and its tag, a tab between them"),
    "a word empty": (b"\tS", "the word is empty"),
    "a tag empty": (b"left\t", "the tag is empty"),
    "a tag of blanks": (b"left\t \xc2\xa0", "the tag is empty"),
    "a word with a blank": (b"the door\tN", "the word 'the door' holds a blank"),
    "a word with another blank": (b"the\xc2\xa0door\tN", r"the word 'the\xa0door' holds a blank"),
    "a tag with a blank": (b"left\tS NP", "the tag 'S NP' holds a blank"),
    "not UTF-8": (b"caf\xe9\tN", "not UTF-8 at byte 4 of the line"),
    "two line ends": (b"left\tS\r\r", r"the tag 'S\r' holds a blank"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_line_is_told_and_takes_its_sentence_alone(name, tmp_path):
    line, message = FAULTS[name]
    found = read(tmp_path, SOUND.encode().replace(b"left\tS[dcl]\\NP", line))
    assert found[0] == RowProblem("x.tsv:2", message)
    assert [each.place for each in found[1:]] == ["x.tsv:4", "x.tsv:7"]


def test_several_faulty_lines_of_a_sentence_are_one_problem(tmp_path):
    (problem,) = read(tmp_path, "a\tN\nb\nc\tN\n\tN\n")
    expected = "1 field; expected a word and its tag, a tab between them; line 4: the word is empty"
    assert problem == RowProblem("x.tsv:2", expected)


@pytest.mark.parametrize("number", range(1, 5))
def test_a_file_that_is_cut_off_is_told_wherever_it_is_cut(number, tmp_path):
    """Cut inside of its last line (`ok`, a tab, `N`), or before its end."""
    *sound, problem = read(tmp_path, SOUND[:-number])
    assert [each.place for each in sound] == ["x.tsv:1", "x.tsv:4"]
    assert problem.place == "x.tsv:7"
    assert re.search("the file may be cut off", problem.message)


def test_a_byte_order_mark_is_no_part_of_a_word(tmp_path):
    first, *_ = read(tmp_path, b"\xef\xbb\xbf" + SOUND.encode())
    assert first == RowProblem("x.tsv:1", "begins with a byte-order mark")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"x\.tsv: no such file"):
        list(read_tagged_lines(tmp_path / "x.tsv", "x.tsv"))
