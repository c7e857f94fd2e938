"""SQuAD's JSON: every question with its place, and whatever has no place in the layout."""

from __future__ import annotations

import copy
import json
import re

import pytest

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.schema import PlacedRow, RowProblem
from adapter_transfer.tasks.squad_json import read_squad_json

FILE = {
    "version": "1.1",
    "data": [
        {
            "title": "A",
            "paragraphs": [{"context": "a", "qas": [{"id": "1"}, {"id": "2"}]}, {"context": "b", "qas": []}],
        },
        {"title": "B", "paragraphs": [{"context": "c", "qas": [{"id": "3"}]}]},
    ],
}


def read(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return list(read_squad_json(path, "x.json"))


def changed(*keys):
    """A copy of the file, and the object in it that the keys lead to."""
    content = copy.deepcopy(FILE)
    inner = content
    for key in keys:
        inner = inner[key]
    return content, inner


def test_a_row_is_a_question_with_its_paragraph_and_article_placed_by_counting(tmp_path):
    assert read(tmp_path, FILE) == [
        PlacedRow({"title": "A", "context": "a", "id": "1"}, "x.json: article 1, paragraph 1, question 1"),
        PlacedRow({"title": "A", "context": "a", "id": "2"}, "x.json: article 1, paragraph 1, question 2"),
        PlacedRow({"title": "B", "context": "c", "id": "3"}, "x.json: article 2, paragraph 1, question 1"),
    ]


def test_a_title_or_context_that_is_missing_is_left_to_the_schema(tmp_path):
    content, article = changed("data", 1)
    del article["title"], article["paragraphs"][0]["context"]
    assert read(tmp_path, content)[-1] == PlacedRow({"id": "3"}, "x.json: article 2, paragraph 1, question 1")


# Where, what stands there instead, the place and the message, whether the rest can be trusted, questions that are left.
MISPLACED = [
    (("data", 1), "text", "article 2", "expected an object, found a text", True, 2),
    (("data", 0, "paragraphs"), None, "article 1", "'paragraphs' is null; expected a list", True, 1),
    (("data", 0, "paragraphs", 0), ["a"], "article 1, paragraph 1", "expected an object, found a list", True, 1),
    (("data", 0, "paragraphs", 0, "qas"), {}, "article 1, paragraph 1", "'qas' is an object; expected a list", True, 1),
    (
        ("data", 0, "paragraphs", 0, "qas", 1),
        7,
        "article 1, paragraph 1, question 2",
        "expected an object, found a whole number",
        False,
        2,
    ),
]


@pytest.mark.parametrize(("keys", "value", "place", "message", "ends_file", "left"), MISPLACED)
def test_what_is_of_another_kind_is_told_where_it_stands(keys, value, place, message, ends_file, left, tmp_path):
    content, inner = changed(*keys[:-1])
    inner[keys[-1]] = value
    found = read(tmp_path, content)
    assert [each for each in found if isinstance(each, RowProblem)] == [
        RowProblem(f"x.json: {place}", message, ends_file)
    ]
    assert sum(isinstance(each, PlacedRow) for each in found) == left


@pytest.mark.parametrize(
    ("keys", "place", "allowed"),
    [
        ((), "x.json", "data, version"),
        (("data", 0), "x.json: article 1", "paragraphs, title"),
        (("data", 0, "paragraphs", 1), "x.json: article 1, paragraph 2", "qas, context"),
    ],
)
def test_what_is_unknown_around_questions_is_told(keys, place, allowed, tmp_path):
    content, inner = changed(*keys)
    inner["why"] = 1
    problems = [each for each in read(tmp_path, content) if isinstance(each, RowProblem)]
    assert problems == [RowProblem(place, f"'why' is unknown; allowed are {allowed}")]


def test_a_file_that_is_not_of_articles(tmp_path):
    assert read(tmp_path, [1]) == [RowProblem("x.json", "expected an object, found a list", ends_file=True)]
    assert read(tmp_path, {"version": "1.1"}) == [RowProblem("x.json", "'data' is missing", ends_file=True)]
    assert read(tmp_path, {"data": []}) == []


def test_a_key_that_stands_twice_is_told_at_its_question_or_around_it(tmp_path):
    sound = json.dumps(FILE)
    of_answer = sound.replace('{"id": "3"}', '{"id": "3", "answers": [{"text": "a", "text": "b"}]}').encode()
    *_, problem = read(tmp_path, of_answer)
    assert problem == RowProblem("x.json: article 2, paragraph 1, question 1", "'text' stands twice in an object")
    of_paragraph = sound.replace('{"context": "c"', '{"context": "b", "context": "c"').encode()
    problem = next(each for each in read(tmp_path, of_paragraph) if isinstance(each, RowProblem))
    message = "'context' stands twice in an object"
    assert problem == RowProblem("x.json: article 2, paragraph 1", message, ends_file=True)
    hidden = sound.replace('{"id": "3"}', '{"id": "3", "context": "other"}').encode()
    assert read(tmp_path, hidden)[-1].message == "'context' is known already from the paragraph or the article"


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (json.dumps(FILE, indent=1).encode()[:80], "x.json:8", "not JSON"),
        (json.dumps(FILE).encode()[:-1], "x.json:1", "not JSON"),
        (json.dumps(FILE, indent=1).encode().replace(b'"B"', b'"\xe9"'), "x.json:25", "not UTF-8 at byte 14 of"),
        (b"", "x.json:1", "not JSON"),
        (b"[" * 200_000, "x.json:1", "not JSON that can be used"),
        (b"\xef\xbb\xbf" + json.dumps(FILE).encode(), "x.json:1", "not JSON .*BOM"),
    ],
)  # fmt: skip
def test_a_file_that_is_cut_off_or_damaged_is_told_with_its_line(content, place, message, tmp_path):
    (problem,) = read(tmp_path, content)
    assert (problem.place, problem.ends_file) == (place, True)
    assert re.match(message, problem.message), problem


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"x\.json: no such file"):
        list(read_squad_json(tmp_path / "x.json", "x.json"))
    with pytest.raises(DataError, match=r"x\.json: cannot be read"):
        list(read_squad_json(tmp_path, "x.json"))
