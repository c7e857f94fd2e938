"""Tagged text: a word and its tag a line, with a tab between them; a blank line after each sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from adapter_transfer.tasks.readers import numbered_lines
from adapter_transfer.tasks.schema import PlacedRow, RowProblem


@dataclass
class _Sentence:
    """What is read of a sentence so far.

    Attributes:
        first: number of its first line.
        wrong: (line, what is wrong with it), in order.
    """

    first: int
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    wrong: list[tuple[int, str]] = field(default_factory=list)

    def add(self, number: int, line: bytes) -> None:
        try:
            fields = line.decode("utf-8").split("\t")
        except UnicodeDecodeError as error:
            self.wrong.append((number, f"not UTF-8 at byte {error.start + 1} of the line"))
            return
        if len(fields) != 2:
            number_of = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
            self.wrong.append((number, f"{number_of}; expected a word and its tag, a tab between them"))
            return
        word, tag = fields
        for name, text in (("word", word), ("tag", tag)):
            if not text.strip():
                self.wrong.append((number, f"the {name} is empty"))
            elif any(map(str.isspace, text)):
                self.wrong.append((number, f"the {name} {text!r} holds a blank"))
        if word.startswith("\ufeff"):
            self.wrong.append((number, "begins with a byte-order mark"))
        self.words.append(word)
        self.tags.append(tag)

    def placed(self, name: str) -> PlacedRow | RowProblem:
        if not self.wrong:
            return PlacedRow({"words": self.words, "tags": self.tags}, f"{name}:{self.first}")
        (line, message), *others = self.wrong
        return RowProblem(f"{name}:{line}", "; ".join([message, *(f"line {n}: {text}" for n, text in others)]))


def read_tagged_lines(path: Path, name: str) -> Iterator[PlacedRow | RowProblem]:
    """The sentences of a file in UTF-8, LF or CRLF, as rows {"words": [...], "tags": [...]}, each at its first line.

    A sentence with faulty lines is one problem, placed at the first of these. Lines end in a line feed, the last one
    too: of a file that was cut off, the last tag would be another one, and nothing would tell.

    Raises:
        DataError: if the file cannot be read at all.
    """
    sentence: _Sentence | None = None
    number, line = 0, b"\n"
    for number, line in numbered_lines(path, name):
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        if text:
            sentence = sentence or _Sentence(number)
            sentence.add(number, text)
        elif sentence is not None:
            yield sentence.placed(name)
            sentence = None
    if sentence is not None and not line.endswith(b"\n"):
        sentence.wrong.append((number, "the last line has no end, so the file may be cut off; a line feed mends it"))
    if sentence is not None:
        yield sentence.placed(name)
