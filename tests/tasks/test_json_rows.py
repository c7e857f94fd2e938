"""One JSON object of rows: lines, what can be read past, and what cannot."""

from __future__ import annotations

import json
import re

import pytest

from adapter_transfer.errors import DataError
from adapter_transfer.tasks import json_rows
from adapter_transfer.tasks.json_rows import read_json_rows
from adapter_transfer.tasks.schema import PlacedRow, RowProblem

CHUNKS = pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 16])


@pytest.fixture(autouse=True)
def chunks(request, monkeypatch):
    if "chunk_bytes" in request.fixturenames:
        monkeypatch.setattr(json_rows, "_CHUNK_BYTES", request.getfixturevalue("chunk_bytes"))


def read(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_json_rows(path, "f"))


@CHUNKS
@pytest.mark.parametrize("end", ["", "\n", "\r\n \t\n"])
def test_rows_and_their_lines(chunk_bytes, end, tmp_path):
    content = '{\n "a": {"x": "é\u2028}"},\r\n\n "b":\n {"x": 1,\n  "y": [2]\n}, "c": {}}' + end
    assert read(tmp_path, content) == [
        PlacedRow({"key": "a", "x": "é\u2028}"}, "f:2"),
        PlacedRow({"key": "b", "x": 1, "y": [2]}, "f:4"),
        PlacedRow({"key": "c"}, "f:7"),
    ]
    assert read(tmp_path, "{}" + end) == []


# What is put in place of the second of three rows that take a line each, and the problem told of line 3.
READ_PAST = {
    "no object": (b'"1": 12', "expected a JSON object, found a whole number"),
    "a list": (b'"1": [{}]', "expected a JSON object, found a list"),
    "a key twice": (b'"0": {"x": 1}', "the key '0' stands already in line 2"),
    "a field twice": (b'"1": {"x": 1, "x": 2}', "'x' stands twice in an object"),
    "a field named key": (b'"1": {"key": 1}', "column 'key' is unknown"),
    "not UTF-8": (b'"1": {"x": "caf\xe9"}', "not UTF-8 in line 3"),
    "half a character": (b'"1": {"x": "\xe2\x82"}', "not UTF-8 in line 3"),
}


@CHUNKS
@pytest.mark.parametrize("name", READ_PAST)
def test_faulty_rows_that_can_be_read_past(name, chunk_bytes, tmp_path):
    row, message = READ_PAST[name]
    first, fault, last = read(tmp_path, b'{\n"0": {"x": 0},\n' + row + b',\n"2": {"x": 2}\n}\n')
    assert fault == RowProblem("f:3", message)
    assert (first.row, last) == ({"key": "0", "x": 0}, PlacedRow({"key": "2", "x": 2}, "f:4"))


# As above, with the line at which the file cannot be read on.
BROKEN = {
    "no JSON": (b'"1": {"x": nothing}', 3, r"not JSON \(Expecting value, line 3\)"),
    "a quote too few": (b'"1": {"x": "one}', 3, r"not JSON \("),
    "a NUL byte": (b'"1": {"x": "a\0b"}', 3, r"not JSON \(Invalid control character at, line 3\)"),
    # The next row seems to be one of its fields, which a form knows as an unknown column.
    "a brace too few": (b'"1": {"x": 1', 6, "expected ',', found the end of the file, which is cut off"),
    "a comma too few": (b'"1": {"x": 1} "3": {}', 3, "expected ',', found '\"'"),
    "a comma too many": (b'"1": {},', 3, "not JSON"),
    "a key without quotes": (b"1: {}", 3, "expected the key of a row, found a whole number"),
    "no colon": (b'"1" {}', 3, "expected ':', found '{'"),
    "nested too deep": (b'"1": ' + b"[" * 200_000, 3, "not JSON that can be used"),
    "not UTF-8 between rows": (b'"1": {} \xe9', 3, r"expected ',', found '\\udce9'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_faults_that_end_the_file(name, tmp_path):
    row, line, message = BROKEN[name]
    *rows, fault = read(tmp_path, b'{\n"0": {"x": 0},\n' + row + b',\n"2": {"x": 2}\n}\n')
    assert rows[0] == PlacedRow({"key": "0", "x": 0}, "f:2")
    assert fault.ends_file
    assert fault.place == f"f:{line}"
    assert re.match(message, fault.message)


def test_a_file_that_was_cut_anywhere_says_so(tmp_path):
    content = json.dumps({str(number): {"x": f"t{number}"} for number in range(4)}, indent=1)
    for length in range(1, len(content)):
        *rows, fault = read(tmp_path, content[:length])
        assert isinstance(fault, RowProblem), length
        assert fault.ends_file
        assert all(isinstance(row, PlacedRow) for row in rows)
        line = int(fault.place.removeprefix("f:"))
        assert line <= content[:length].count("\n") + 1
    assert len(read(tmp_path, content)) == 4


def test_what_is_no_object_of_rows(tmp_path):
    for content, line, message in (
        ("", 1, "expected '{', found the end of the file, which is cut off"),
        ('\n[{"x": 1}]', 2, "expected '{', found '['"),
        ('\ufeff{"a": {}}', 1, "expected '{', found '\\ufeff'"),
        ('{"a": {}}\n\n{"b": {}}', 3, "expected the end of the file, found '{'"),
    ):
        assert read(tmp_path, content)[-1] == RowProblem(f"f:{line}", message, ends_file=True)
    with pytest.raises(DataError, match=r"^f: no such file$"):
        list(read_json_rows(tmp_path / "missing", "f"))
    with pytest.raises(DataError, match=r"^f: cannot be read \(Is a directory\)$"):
        list(read_json_rows(tmp_path, "f"))


def test_a_value_that_does_not_end_is_not_searched_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "_CHUNK_BYTES", 10)
    monkeypatch.setattr(json_rows, "_MOST_CHARACTERS", 50)
    assert not [each for each in read(tmp_path, f'{{"a": {{"x": "{"y" * 30}"}}}}') if isinstance(each, RowProblem)]
    (fault,) = read(tmp_path, f'{{"a": {{"x": "{"y" * 300}')
    assert fault == RowProblem("f:1", "not JSON, or not closed within 50 characters", ends_file=True)


def test_published_rows(shared_data):
    for half, number in (("dev", 1_000), ("train", 8_999)):
        path = shared_data / "qqp" / "textpair-sample" / f"{half}.json"
        expected = [{"key": key, **row} for key, row in json.loads(path.read_text("utf-8")).items()]
        found = list(read_json_rows(path, half))
        assert len(found) == number
        assert [each.row for each in found] == expected
