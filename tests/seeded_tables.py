"""Faults of rows in tables (`seeded_faults` has those of JSON Lines and XML), and how a part is read alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from seeded_faults import Fault, Parts

from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.schema import RowProblem, SchemaError
from adapter_transfer.tasks.sources import FileLayout, Part, Source
from adapter_transfer.tasks.task import Task, load_examples


def split_lines(content: bytes) -> Parts:
    """A table without quoting: the first line, and a row a line."""
    lines = content.splitlines(keepends=True) if b"\r" in content else content.split(b"\n")
    rows = [line if line.endswith(b"\n") else line + b"\n" for line in lines if line]
    return rows[0], rows[1:], b""


def split_csv(content: bytes) -> Parts:
    """A table with quoted fields, which hold line ends; rows as Python's reader finds them."""
    lines = io.StringIO(content.decode(), newline="")
    reader, texts = csv.reader(lines), content.decode().split("\n")
    ends = [reader.line_num for _ in reader]
    records = ["\n".join(texts[start:end]) + "\n" for start, end in zip([0, *ends], ends, strict=False)]
    return records[0].encode(), [record.encode() for record in records[1:]], b""


def write_fields(row: bytes, change: Callable[[list[str]], list[str]], *, quotes: bool) -> bytes:
    if not quotes:
        return "\t".join(change(row.decode().rstrip("\n").split("\t"))).encode() + b"\n"
    (fields,) = csv.reader(io.StringIO(row.decode(), newline=""))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(change(fields))
    return text.getvalue().encode()


def table_faults(columns: Sequence[str], text: str, label: str, item: str | None, *, quotes: bool) -> list[Fault]:
    """Faults of a row of CSV (`quotes`) or TSV.

    Args:
        text: a column of text, not the last.
        label: the column of the label.
        item: a column of numbers.
    """
    at, number = list(columns).index(text), len(columns)

    def put(column: str, value: str) -> Callable[[bytes], bytes]:
        place = list(columns).index(column)
        return lambda row: write_fields(
            row, lambda fields: [*fields[:place], value, *fields[place + 1 :]], quotes=quotes
        )

    def with_bytes(value: bytes) -> Callable[[bytes], bytes]:
        return lambda row: put(text, "MARK, so")(row).replace(b"MARK", value)

    def cut(fields: list[str]) -> list[str]:
        return [*fields[:at], fields[at][:5]]

    faults = [
        Fault("label outside", put(label, "maybe"), f"column '{label}' is 'maybe'; allowed are"),
        Fault("label blank", put(label, ""), f"column '{label}' is ''; allowed are"),
        Fault("label in capitals", put(label, "ENTAILMENT"), f"column '{label}' is 'ENTAILMENT'; allowed are"),
        Fault("text empty", put(text, ""), f"column '{text}' is blank"),
        Fault("text of blanks", put(text, " \u3000"), f"column '{text}' is blank"),
        Fault("text of fillers", put(text, "\u3164\ufe0f"), f"column '{text}' is blank"),
        Fault("wrongly decoded", put(text, "caf\ufffd"), f"column '{text}' holds U\\+FFFD"),
        Fault("not UTF-8", with_bytes(b"caf\xe9"), f"column '{text}' is not UTF-8 at its byte 4"),
        Fault("half a character", with_bytes(b"\xe2\x82"), f"column '{text}' is not UTF-8 at its byte 1"),
        Fault("a NUL byte", with_bytes(b"a\0"), f"column '{text}' holds a NUL byte"),
        Fault(
            "a field too few",
            lambda row: write_fields(row, lambda fields: fields[:-1], quotes=quotes),
            f"{number - 1} fields; the first line names {number} columns",
        ),
        Fault(
            "a field too many",
            lambda row: write_fields(row, lambda fields: [*fields[:at], "x", *fields[at:]], quotes=quotes),
            f"{number + 1} fields; the first line names {number} columns",
        ),
        Fault("a blank line", lambda row: b"\n" + row, "a blank line"),
        Fault(
            "cut off",
            lambda row: write_fields(row, cut, quotes=quotes).rstrip(b'\n"'),
            "the last line is cut off|is not closed before the file ends",
            is_last=True,
        ),
    ]
    if item is not None:
        faults += [
            Fault("id is no number", put(item, "12a"), f"column '{item}' is '12a'; expected a text of digits"),
            Fault("id with leading zeros", put(item, "012"), f"column '{item}' is '012'; expected"),
            Fault("id negative", put(item, "-1"), f"column '{item}' is '-1'; expected a text of digits"),
            Fault("id outside", put(item, "1000001"), f"column '{item}' is 1000001; allowed are"),
        ]
    if not quotes:
        return [*faults, Fault("two rows in a line", lambda row: row[:-1] + row, f"{2 * number - 1} fields")]
    broken = {
        "a quote not closed": (',"QUOTED, so",', ',"QUOTED, so,'),
        "a quote not opened": (',"QUOTED, so",', ',QUOTED, so",'),
        "a quote not doubled": (',"QUOTED, so",', ',"QUO"TED, so",'),
        "text behind a quote": (',"QUOTED, so",', ',"QUOTED, so"x,'),
    }

    def breaking(sound: str, changed: str) -> Callable[[bytes], bytes]:
        def plant(row: bytes) -> bytes:
            one_line = write_fields(
                row, lambda fields: [*(each.replace("\r", "").replace("\n", " ") for each in fields)], quotes=True
            )
            quoted = put(text, "QUOTED, so")(one_line)
            # The first column has no comma before it.
            found = (b"," + quoted).replace(sound.encode(), changed.encode(), 1)
            assert found != b"," + quoted
            return found[1:]

        return plant

    def run_together(row: bytes) -> bytes:
        # In one line: those of a row that cannot be told from the next are faults of their own.
        one = write_fields(
            row, lambda fields: ["QUOTED, so", *(" ".join(each.split()) for each in fields[1:])], quotes=True
        )
        return one.rstrip() + one

    faults.append(Fault("two rows in a line", run_together, f"a quote inside of field {number}", ends_file=True))
    # What is told depends on what stands after it; that it is told, and where, does not.
    message = "quote|closed"
    return faults + [Fault(name, breaking(*change), message, ends_file=True) for name, change in broken.items()]


def part_alone(task: Task, part: Part, layout: FileLayout) -> Task:
    """A task whose training set is one layout of one part."""
    alone = replace(part, published="alone", files=(layout,), members=(), num_rows=None)
    return replace(task, source=Source((alone,)), splits={"train": "alone"})


def problems_of(task: Task, folder: Path) -> tuple[RowProblem, ...]:
    """Everything that is wrong with the training set."""
    try:
        return load_examples(task, "train", "en", Reading("alone"), folder).problems
    except SchemaError as error:
        return error.problems
