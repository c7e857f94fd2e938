"""SocialIQA: questions about social situations, three answers (Sap et al. 2019).

Published splits are named as in the v1.4 release (`trn`, `dev`, `tst`); the Hub has the first two, as `train` and
`validation`. Rows have no ids: an example's id is its row's number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path

from adapter_transfer.tasks.asking import Asking
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.columns import OneOf, Text
from adapter_transfer.tasks.formats import Example
from adapter_transfer.tasks.readers import numbered_lines, read_jsonl
from adapter_transfer.tasks.schema import Form, PlacedRow, Row, RowProblem
from adapter_transfer.tasks.sources import FileLayout, HubParquet, Part, Source
from adapter_transfer.tasks.task import Task


def _read(row: Row, number: int, label: OneOf) -> Example:
    first = f"{row['context']} {row['question']}"
    answers = tuple((first, row[answer]) for answer in ("answerA", "answerB", "answerC"))
    return Example(str(number), answers, label.allowed.index(row[label.name].removesuffix("\n")))


def _form(label: OneOf) -> Form:
    texts = (Text("context"), Text("question"), Text("answerA"), Text("answerB"), Text("answerC"))
    return Form((*texts, label), partial(_read, label=label), "context")


_RELEASE = _form(OneOf("correct", ("A", "B", "C")))
# Older conversions on the Hub hold the lines of the label files with their ends ("1\n").
_NUMBERED = _form(OneOf("label", ("1", "2", "3"), is_line=True))


def _read_with_labels(path: Path, name: str) -> Iterator[PlacedRow | RowProblem]:
    """Rows of `dev.jsonl` with the labels of `dev-labels.lst`, a line each, as in the leaderboard's archive.

    Only their order says which label is whose. After a line that is no row (blank, or two of a broken row) that is
    uncertain, even where both files have as many lines: such a fault cannot be left out.
    """
    labels_name = f"{name.removesuffix('.jsonl')}-labels.lst"
    labels = _read_labels(path.with_name(Path(labels_name).name), labels_name)
    for placed, label in zip_longest(read_jsonl(path, name), labels):
        if placed is None or label is None:
            shorter = name if placed is None else labels_name
            yield RowProblem(shorter, "has fewer rows than the other of the two files", ends_file=True)
            return
        if isinstance(label, RowProblem):
            yield label
        if isinstance(placed, RowProblem):
            yield replace(placed, ends_file=True)
        elif isinstance(label, str):
            yield PlacedRow({**placed.row, "label": label}, placed.place)


def _read_labels(path: Path, name: str) -> Iterator[str | RowProblem]:
    """The label in each line; blank lines at the end are ignored."""
    labels = [line.decode("ascii", "replace").strip() for _, line in numbered_lines(path, name)]
    while labels and not labels[-1]:
        labels.pop()
    for number, label in enumerate(labels, start=1):
        yield label or RowProblem(f"{name}:{number}", "a blank line", ends_file=True)


def _part(published: str, num_rows: int, archive: str | None = None, on_hub: str | None = None) -> Part:
    file = f"socialIQa_v1.4_{published}.jsonl"
    layouts = [FileLayout(f"{folder}{file}", _RELEASE) for folder in ("socialiqa/", "socialIQa_v1.4/", "")]
    if archive is not None:
        labels = f"{archive}-labels.lst"
        folders = ("socialiqa-train-dev", "socialiqa/socialiqa-train-dev")
        layouts += [
            FileLayout(f"{folder}/{archive}.jsonl", _NUMBERED, _read_with_labels, beside=(f"{folder}/{labels}",))
            for folder in folders
        ]
    return Part(
        published,
        ("en",),
        num_rows=num_rows,
        files=tuple(layouts),
        # The dataset itself is a script, which `datasets` runs no more; the Hub keeps its rows as parquet.
        hub=None
        if on_hub is None
        else HubParquet(
            "allenai/social_i_qa", f"default/{on_hub}/*.parquet", _NUMBERED, revision="refs/convert/parquet"
        ),
    )


SOCIALIQA = Task(
    name="socialiqa",
    format=MultipleChoice(num_choices=3),
    roles=("intermediate",),
    source=Source(
        (
            _part("trn", 33_410, archive="train", on_hub="train"),
            _part("dev", 1_954, archive="dev", on_hub="validation"),
            _part("tst", 2_224),
        )
    ),
    splits={"train": "trn", "validation": "dev"},
    summary="what people feel, want and do next: a situation, a question and three answers",
    licence="CC BY 4.0",
    reference="Sap et al. 2019, arXiv 1904.09728",
    asking=Asking(),
)
