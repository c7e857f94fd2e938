"""Questions are read from fields and lines as they stand there, and every problem is told with its line."""

from __future__ import annotations

import io
import json
import tracemalloc

import pytest

from adapter_transfer.errors import ConfigError
from adapter_transfer.prediction.questions import (
    MAX_LINE_BYTES,
    Question,
    QuestionError,
    batches,
    question_from_fields,
    read_questions,
)

COPA = {"premise": "The rain fell.", "question": "effect", "choice1": "It got wet.", "choice2": "It got dry."}


def lines(*rows):
    return io.BytesIO(b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows))


def test_the_fields_of_xcopa_are_a_question():
    fields = {**COPA, "idx": 7, "label": 1, "changed": False}
    question = question_from_fields(fields)
    assert question == Question("The rain fell.", "effect", ("It got wet.", "It got dry."), "7", label=1)
    assert question.fields == {"label": 1, "changed": False}


def test_choices_may_be_a_list_and_an_id_comes_before_a_number():
    question = question_from_fields({"premise": "p", "choices": ["a", "b", "c"], "id": "x", "idx": 3, "question": ""})
    assert question.choices == ("a", "b", "c") and question.id == "x" and question.fields == {"idx": 3}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"premise": None}, "premise is None, not a text"),
        ({"question": 3}, "question is 3, not a text"),
        ({"choice2": ["a"]}, "choice 2 is ['a'], not a text"),
        ({"choice2": " "}, "choice 2 is empty"),
        ({"choice4": "d"}, "there is 'choice4', but no choice3"),
        ({"choices": ["a", "b"]}, "choices are given twice"),
        ({"label": 2}, "label 2"),
        ({"label": True}, "label True"),
        ({"id": []}, "its id is []"),
        ({"premise": "\ud800"}, "half a character"),
    ],
)
def test_what_is_wrong_with_fields_is_told(change, told):
    with pytest.raises(ConfigError) as error:
        question_from_fields({**COPA, **change})
    assert told in str(error.value)


def test_too_few_and_too_many_choices_are_refused():
    for choices, told in ((["a"], "1 choice;"), (["a"] * 65, "65 choices"), ([], "no choices"), ("ab", "not a list")):
        with pytest.raises(ConfigError, match=told):
            question_from_fields({"premise": "p", "question": "cause", "choices": choices})


def test_all_problems_of_a_question_are_told_at_once():
    with pytest.raises(ConfigError) as error:
        question_from_fields({"premise": 1, "question": 2, "choice1": 3, "choice2": 4, "label": "x"})
    assert len(error.value.problems) == 5


def test_lines_are_read_in_order_and_have_their_numbers_for_ids():
    source = lines(COPA, b"", {**COPA, "id": "own"}, b"  \r", COPA)
    assert [question.id for question in read_questions(source, "f")] == ["1", "own", "5"]


def test_a_byte_order_mark_and_signs_that_look_like_line_ends_do_no_harm():
    text = b"\xef\xbb\xbf" + json.dumps({**COPA, "premise": "a\u2028b"}, ensure_ascii=False).encode() + b"\r\n"
    (question,) = read_questions(io.BytesIO(text), "f")
    assert question.premise == "a\u2028b"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"[1]", "expected a JSON object"),
        (b'{"premise": "x"', "not JSON"),
        (b"\xff", "not UTF-8 at byte 1"),
        (b'{"premise": "a", "premise": "b"}', "'premise' stands twice"),
        (json.dumps(COPA).replace("}", ', "x": NaN}').encode(), "NaN is not JSON"),
        (json.dumps(COPA).replace("}", ', "x": 1e999}').encode(), "'1e999' is not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"x": ' + b"1" * 9_000 + b"}", "not JSON that can be used"),
        (b'{"premise": "' + b"x" * MAX_LINE_BYTES + b'"}', "longer than"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else "",
)
def test_a_line_that_is_no_question_is_told_with_its_number(line, told):
    reading = read_questions(lines(COPA, line, COPA), "items.jsonl")
    assert next(reading).id == "1"
    with pytest.raises(QuestionError) as error:
        list(reading)
    assert str(error.value).startswith("items.jsonl:2: ") and told in str(error.value)


def test_every_wrong_line_is_told_and_no_question_is_given_after_the_first():
    reading = read_questions(lines(COPA, b"{", COPA, {**COPA, "question": "why"}, b"7"), "f", problems_of_why)
    given = []
    with pytest.raises(QuestionError) as error:
        for question in reading:
            given.append(question.id)
    assert given == ["1"]
    assert [line.split(":")[1] for line in str(error.value).splitlines()] == ["2", "4", "5"]


def problems_of_why(question):
    return ["why?"] if question.question == "why" else []


def test_of_many_wrong_lines_the_first_are_told_and_the_rest_counted():
    with pytest.raises(QuestionError) as error:
        list(read_questions(lines(COPA, *[b"{"] * 50), "f"))
    assert len(str(error.value).splitlines()) == 21 and "30 more lines" in str(error.value)


def test_a_file_of_another_kind_is_one_message():
    with pytest.raises(QuestionError) as error:
        list(read_questions(lines(*json.dumps([COPA], indent=1).encode().splitlines()), "data.json"))
    assert len(str(error.value).splitlines()) == 1
    assert "none of its 8 lines is a question" in str(error.value) and "one object a line" in str(error.value)
    assert "data.json:1: not JSON" in str(error.value)


def test_a_large_file_does_not_lie_in_memory():
    line = json.dumps({**COPA, "premise": "rain " * 100}).encode() + b"\n"

    class Endless(io.RawIOBase):
        """10,000 lines (more than 5 MB), made as they are read."""

        left = 10_000

        def readline(self, size=-1):
            self.left -= 1
            return line if self.left >= 0 else b""

    tracemalloc.start()
    count = sum(len(group) for group in batches(read_questions(Endless(), "f"), 256))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 10_000 and peak < 2 * 2**20


def test_a_line_of_a_gigabyte_is_never_held():
    class Huge(io.RawIOBase):
        """One line of a GiB without an end."""

        left = 2**30

        def readline(self, size=-1):
            size = min(self.left, size)
            self.left -= size
            return b"x" * size

    tracemalloc.start()
    with pytest.raises(QuestionError, match="longer than"):
        list(read_questions(Huge(), "f"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_batches_keep_the_order():
    assert list(batches(map(str, range(5)), 2)) == [["0", "1"], ["2", "3"], ["4"]]
    assert list(batches([], 2)) == []
