"""JSON Lines: what ends a line, what is ignored, and files that cannot be read."""

from __future__ import annotations

import pytest

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.readers import read_jsonl
from adapter_transfer.tasks.schema import PlacedRow, RowProblem


def test_lines_end_at_line_feeds_only(tmp_path):
    path = tmp_path / "rows.jsonl"
    for end in ("", "\n", "\r\n", "\n\n\r\n"):
        path.write_bytes(f'{{"a": "x\u2028y\x85"}}\r\n{{"a": 2}}{end}'.encode())
        first, second = PlacedRow({"a": "x\u2028y\x85"}, "rows:1"), PlacedRow({"a": 2}, "rows:2")
        assert list(read_jsonl(path, "rows")) == [first, second]


def test_blank_lines_are_faults_unless_they_end_the_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{}\n\n \n{"a": 1}\n\n')
    found = list(read_jsonl(path, "rows"))
    assert [each.place for each in found] == ["rows:1", "rows:2", "rows:3", "rows:4"]
    assert [isinstance(each, RowProblem) for each in found] == [False, True, True, False]
    path.write_bytes(b"")
    assert list(read_jsonl(path, "rows")) == []


def test_a_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(DataError, match=r"^rows: no such file$"):
        list(read_jsonl(tmp_path / "missing.jsonl", "rows"))
    with pytest.raises(DataError, match=r"^rows: cannot be read \(Is a directory\)$"):
        list(read_jsonl(tmp_path, "rows"))
