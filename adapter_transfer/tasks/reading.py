"""What a user may say about how published data is read. What it is read into is in `task`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

QuestionField = Literal["repaired", "as-published"]
"""Whether known errors of the publisher are mended (XCOPA's `question`, see `copa`) or left as they are."""

BadRows = Literal["fail", "skip"]
"""Whether a faulty row stops everything, or is left out, counted and reported."""


@dataclass(frozen=True)
class Reading:
    """How one split is read; together with the folder of published files it says which examples there are.

    Attributes:
        published: name of the published split, in the vocabulary of its task (`Task.published_splits`).
        question_field: whether known errors are repaired.
        on_bad_row: what is done about a faulty row.
        revisions: (Hub dataset, commit) of every dataset that is needed; empty where files are read.
    """

    published: str
    question_field: QuestionField = "repaired"
    on_bad_row: BadRows = "fail"
    revisions: tuple[tuple[str, str], ...] = ()
