"""The sandbox's own tasks, over files that travel with this package (made by `adapter_transfer.sandbox`)."""

from __future__ import annotations

from adapter_transfer.tasks.columns import Number, OneOf, Text, Texts
from adapter_transfer.tasks.copa import copa_columns, read_copa
from adapter_transfer.tasks.formats import Classification, Example, MultipleChoice
from adapter_transfer.tasks.schema import Form, Row
from adapter_transfer.tasks.sources import package_files
from adapter_transfer.tasks.task import Task

_LAST_IDX = 9_999
_LANGUAGES = ("en", "qa", "qb", "qc")
_ENGLISH = {"train": ("en",), "validation": ("en",)}
_REFERENCE = "made by adapter_transfer.sandbox"


def _read_next_event(row: Row, number: int) -> Example:
    """Which of the endings follows the context."""
    return Example(str(row["idx"]), tuple((row["context"], ending) for ending in row["endings"]), row["label"])


def _read_premise_hypothesis(row: Row, number: int) -> Example:
    """Natural language inference in its usual fields."""
    return Example(str(row["idx"]), ((row["premise"], row["hypothesis"]),), row["label"])


NEXT_EVENT = Task(
    name="next-event",
    format=MultipleChoice(num_choices=4),
    roles=("intermediate",),
    source=package_files(
        "sandbox/data/next-event/{language}/{split}.jsonl",
        Form(
            (Text("context"), Texts("endings", 4), OneOf("label", (0, 1, 2, 3)), Number("idx", 0, _LAST_IDX)),
            _read_next_event,
            "context",
        ),
        _ENGLISH,
    ),
    splits={"train": "train", "validation": "validation"},
    summary="sandbox: which of four events follows (like HellaSwag or SocialIQA)",
    licence="Apache-2.0",
    reference=_REFERENCE,
    is_sandbox=True,
)

EVENT_NLI = Task(
    name="event-nli",
    format=Classification(labels=("entailment", "neutral", "contradiction")),
    roles=("intermediate",),
    source=package_files(
        "sandbox/data/event-nli/{language}/{split}.jsonl",
        Form(
            (Text("premise"), Text("hypothesis"), OneOf("label", (0, 1, 2)), Number("idx", 0, _LAST_IDX)),
            _read_premise_hypothesis,
            "premise",
        ),
        _ENGLISH,
    ),
    splits={"train": "train", "validation": "validation"},
    summary="sandbox: does the second sentence follow from the first (like MNLI)",
    licence="Apache-2.0",
    reference=_REFERENCE,
    is_sandbox=True,
)

MICRO_COPA = Task(
    name="micro-copa",
    format=MultipleChoice(num_choices=2),
    roles=("target",),
    source=package_files(
        "sandbox/data/micro-copa/{language}/{split}.jsonl",
        Form(copa_columns(_LAST_IDX), read_copa, "premise"),
        {"train": ("en",), "validation": _LANGUAGES, "test": _LANGUAGES},
    ),
    splits={"train": "train", "validation": "validation", "test": "test"},
    summary="sandbox: cause or effect of a premise, two choices, four languages (like COPA and XCOPA)",
    licence="Apache-2.0",
    reference=_REFERENCE,
    is_sandbox=True,
)
