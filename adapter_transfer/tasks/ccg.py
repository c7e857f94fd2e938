"""CCG supertagging: the lexical category of each word in CCGbank (Hockenmaier and Steedman 2007).

CCGbank is licensed by the Linguistic Data Consortium (LDC2005T13) and published nowhere that a program may read it
from: it is the user's own files that are read, `ccg/train.tsv` and `ccg/dev.tsv` in the folder of published files. By
custom these are sections 02 to 21 and section 00. The format of both, in UTF-8:

- a line for each word: the word, a tab, its category (`the<TAB>NP[nb]/N`), as CCGbank's leaf nodes have them;
- a blank line after each sentence; every line ends in a line feed.

There is no fixed set of categories: those of the training data are the tags, and one that occurs in validation alone
counts as wrong. Sentences have no ids: an example's id is the number of its sentence.
"""

from __future__ import annotations

from adapter_transfer.tasks.columns import ListOf, Text
from adapter_transfer.tasks.formats import Example
from adapter_transfer.tasks.schema import Form, Row
from adapter_transfer.tasks.sources import FileLayout, Part, Source
from adapter_transfer.tasks.tagged_lines import read_tagged_lines
from adapter_transfer.tasks.tagging_format import Tagging
from adapter_transfer.tasks.task import Task

_OWN_FILES = (
    "CCGbank is licensed (LDC2005T13) and cannot be downloaded: bring your own copy as ccg/train.tsv and ccg/dev.tsv, "
    "a word, a tab and its category a line, a blank line after each sentence."
)


def _text(row: Row) -> str:
    return " ".join(row["words"])


def _read(row: Row, number: int) -> Example:
    return Example(str(number), ((_text(row), None),), tuple(row["tags"]))


_FORM = Form((ListOf("words", Text("word")), ListOf("tags", Text("tag"))), _read, _text)


def _part(published: str) -> Part:
    return Part(
        published, ("en",), files=(FileLayout(f"ccg/{published}.tsv", _FORM, read_tagged_lines),), remark=_OWN_FILES
    )


CCG = Task(
    name="ccg",
    format=Tagging(),
    roles=("intermediate",),
    source=Source((_part("train"), _part("dev"))),
    splits={"train": "train", "validation": "dev"},
    summary="the syntactic category of each word of a sentence; reads your own files of CCGbank",
    licence="LDC (LDC2005T13), not free",
    reference="Hockenmaier and Steedman 2007, Computational Linguistics 33(3)",
)
