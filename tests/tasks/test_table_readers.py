"""CSV and TSV: what a row is, where it stands, and that no broken quote makes rows disappear unseen."""

from __future__ import annotations

import csv
import random

import pytest

from adapter_transfer.errors import DataError
from adapter_transfer.tasks import table_readers
from adapter_transfer.tasks.schema import PlacedRow, RowProblem
from adapter_transfer.tasks.table_readers import read_csv, read_tsv


def read(reader, tmp_path, content, **how):
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(reader(path, "f", **how))


def told(found):
    """Line → problem's message, and whether what follows is lost, of the rows that are none."""
    return {
        int(each.place.removeprefix("f:")): (each.message, each.ends_file)
        for each in found
        if isinstance(each, RowProblem)
    }


def rows_of(found):
    return {int(each.place.removeprefix("f:")): each.row for each in found if isinstance(each, PlacedRow)}


@pytest.mark.parametrize("reader", [read_csv, read_tsv])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "end", "end end end"])
def test_line_ends(reader, end, last, tmp_path):
    between = "," if reader is read_csv else "\t"
    lines = [["a", "b"], ["x\u2028y", " z "], ["", "\x85"]]
    content = end.join(between.join(fields) for fields in lines) + last.replace("end ", end).replace("end", end)
    found = read(reader, tmp_path, content)
    assert found == [PlacedRow({"a": "x\u2028y", "b": " z "}, "f:2"), PlacedRow({"a": "", "b": "\x85"}, "f:3")]


def test_a_quote_in_tsv_is_a_character(tmp_path):
    found = read(read_tsv, tmp_path, 'a\tb\n"one\ttwo"\n""\t"\n')
    assert rows_of(found) == {2: {"a": '"one', "b": 'two"'}, 3: {"a": '""', "b": '"'}}
    assert not told(found)


def test_quoted_fields_of_csv(tmp_path):
    content = 'a,b\n"x, ""y""\n\n\r\nz",1\n"",""\n"""",","\n"1\n2","3\n"\nplain,\n'
    found = read(read_csv, tmp_path, content)
    assert rows_of(found) == {
        2: {"a": 'x, "y"\n\n\r\nz', "b": "1"},
        6: {"a": "", "b": ""},
        7: {"a": '"', "b": ","},
        8: {"a": "1\n2", "b": "3\n"},
        11: {"a": "plain", "b": ""},
    }
    assert not told(found)


def test_csv_is_read_as_by_the_csv_module(tmp_path):
    generator = random.Random(5)
    parts = ["a", "é", " ", ",", '"', "\n", "\r\n", '""', "\u2028", "'", "\t"]
    for _ in range(200):
        rows = [["".join(generator.choices(parts, k=generator.randrange(6))) for _ in range(3)] for _ in range(6)]
        rows = [row for row in rows if any(row)]
        path = tmp_path / "f"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator=generator.choice(["\n", "\r\n"]), quoting=csv.QUOTE_NONNUMERIC)
            writer.writerows([["a", "b", "c"], *rows])
        found = list(read_csv(path, "f"))
        assert [list(each.row.values()) for each in found] == rows


# A change of the fifth of ten rows `"text 5, ""so""",5` of a CSV file, and the problem that it makes in line 6.
BROKEN_QUOTES = {
    "not closed": (lambda row: row.replace('so""",', 'so"",'), "text behind the closing quote of field 1"),
    "not opened": (lambda row: row[1:], "a quote inside of field 2"),
    "one too many": (lambda row: row.replace("text", 'te"xt'), "text behind the closing quote of field 1"),
    "one in a plain field": (lambda row: row.replace("5\n", '5"\n'), "a quote inside of field 2"),
    "opened in a plain field": (lambda row: row.replace(",5\n", ',"5\n'), "text behind the closing quote of field 2"),
    "not doubled": (lambda row: row.replace(', ""so', ', "so'), "text behind the closing quote of field 1"),
}


@pytest.mark.parametrize("name", BROKEN_QUOTES)
@pytest.mark.parametrize("plain_lines", [0, 3])
def test_a_broken_quote_is_told_of_its_row_and_the_others_are_read(name, plain_lines, tmp_path):
    change, message = BROKEN_QUOTES[name]
    rows = [f'"text {number}, ""so""",{number}\n' for number in range(1, 11)]
    rows[4] = change(rows[4])
    rows[5:5] = ["plain,0\n"] * plain_lines
    found = read(read_csv, tmp_path, "a,b\n" + "".join(rows))
    ((line, (text, ends_file)),) = told(found).items()
    assert (line, ends_file) == (6, True)
    assert text.startswith(message)
    assert len(rows_of(found)) == 9 + plain_lines
    assert rows_of(found)[7 + plain_lines] == {"a": 'text 6, "so"', "b": "6"}


def test_a_quote_that_is_never_closed(tmp_path, monkeypatch):
    content = 'a,b\n"open,1\n' + "plain,0\n" * 200
    found = read(read_csv, tmp_path, content)
    assert told(found) == {2: ("a quoted field is not closed before the file ends", True)}
    assert len(rows_of(found)) == 200
    monkeypatch.setattr(table_readers, "_MOST_BYTES", 100)
    assert told(read(read_csv, tmp_path, content)) == {2: ("a quoted field is not closed within 100 bytes", True)}
    long = f'a,b\n"{"x" * 80}",1\nplain,0\n'
    assert not told(read(read_csv, tmp_path, long))


@pytest.mark.parametrize("reader", [read_csv, read_tsv])
def test_fields_and_columns_must_agree(reader, tmp_path):
    content = "a\tb\tc\n1\t2\n1\t2\t3\n1\t2\t3\t4\n1\t2\t3\n1\t2"
    content = content.replace("\t", ",") if reader is read_csv else content
    found = read(reader, tmp_path, content)
    assert told(found) == {
        2: ("2 fields; the first line names 3 columns", False),
        4: ("4 fields; the first line names 3 columns", False),
        6: ("the last line is cut off: 2 fields; the first line names 3 columns", False),
    }
    assert list(rows_of(found)) == [3, 5]


@pytest.mark.parametrize("reader", [read_csv, read_tsv])
def test_bytes_that_are_no_text(reader, tmp_path):
    content = b"a,b\n1,caf\xe9\n2,\xc3\n3,x\0y\n4,\xc3\xa9\n5,\xe2\x82"
    content = content if reader is read_csv else content.replace(b",", b"\t")
    found = read(reader, tmp_path, content)
    assert told(found) == {
        2: ("column 'b' is not UTF-8 at its byte 4", False),
        3: ("column 'b' is not UTF-8 at its byte 1", False),
        4: ("column 'b' holds a NUL byte", False),
        6: ("the last line is cut off: column 'b' is not UTF-8 at its byte 1", False),
    }
    assert rows_of(found) == {5: {"a": "4", "b": "é"}}


@pytest.mark.parametrize("reader", [read_csv, read_tsv])
def test_blank_lines_are_faults_unless_they_end_the_file(reader, tmp_path):
    found = read(reader, tmp_path, "a\n1\n\n \n2\n\n")
    assert told(found) == {3: ("a blank line", False), 4: ("a blank line", False)}
    assert list(rows_of(found)) == [2, 5]


@pytest.mark.parametrize("reader", [read_csv, read_tsv])
@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"b,c", "the first line should name the columns: 'a' is missing; 'c' is unknown"),
        (b"a,b,b", "the first line should name the columns: 'b' stands twice"),
        (b"\xef\xbb\xbfa,b", r"the first line should name the columns: 'a' is missing; '\ufeffa' is unknown"),
        (b"a,\xe9", "the first line, which should name the columns, is not UTF-8"),
        (b"", "the first line should name the columns: 'a' is missing; 'b' is missing; '' is unknown"),
    ],
)
def test_another_header_ends_the_file_at_once(reader, header, message, tmp_path):
    content = header + b"\n1,2\n1,2\n"
    content = content if reader is read_csv else content.replace(b",", b"\t")
    assert told(read(reader, tmp_path, content, columns=("a", "b"))) == {1: (message, True)}


def test_a_header_that_is_no_csv(tmp_path):
    assert told(read(read_csv, tmp_path, 'a"x,b\n1,2\n')) == {
        1: ("a quote inside of field 1, which does not begin with one", True)
    }


@pytest.mark.parametrize("reader", [read_csv, read_tsv])
def test_columns_may_stand_in_any_order(reader, tmp_path):
    between = b"," if reader is read_csv else b"\t"
    (row,) = read(reader, tmp_path, b"\n".join([between.join([b"b", b"a"]), between.join([b"1", b"2"])]), columns="ab")
    assert row.row == {"a": "2", "b": "1"}


@pytest.mark.parametrize("reader", [read_csv, read_tsv])
def test_files_without_rows(reader, tmp_path):
    assert told(read(reader, tmp_path, "")) == {1: ("the file is empty; its first line should name the columns", True)}
    assert read(reader, tmp_path, "a\n") == []
    with pytest.raises(DataError, match=r"^f: no such file$"):
        list(reader(tmp_path / "missing", "f"))


@pytest.mark.parametrize("reader", [read_csv, read_tsv])
def test_rows_are_given_before_the_file_is_read(reader, tmp_path, monkeypatch):
    taken = []

    def lines(path, name):
        for number in range(1, 1000):
            taken.append(number)
            yield number, b"a\n"

    monkeypatch.setattr(table_readers, "numbered_lines", lines)
    next(reader(tmp_path, "f"))
    assert taken == [1, 2]


def test_published_csv_is_read_as_by_the_csv_module(shared_data):
    for name in ("r1", "r2", "r3"):
        path = shared_data / "anli" / f"ANLI_analysis_{name}_dev.csv"
        with path.open(newline="", encoding="utf-8") as file:
            expected = list(csv.DictReader(file, strict=True))
        assert [each.row for each in read_csv(path, name)] == expected
