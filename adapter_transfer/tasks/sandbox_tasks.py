"""The sandbox's own tasks, over files that travel with this package (made by `adapter_transfer.sandbox`)."""

from __future__ import annotations

from adapter_transfer.tasks.asking import Asking
from adapter_transfer.tasks.choice_formats import Classification, MultipleChoice
from adapter_transfer.tasks.columns import Number, OneOf, Text, Texts
from adapter_transfer.tasks.copa import COPA_ASKING, copa_columns, read_copa
from adapter_transfer.tasks.formats import Example
from adapter_transfer.tasks.schema import Form, Row
from adapter_transfer.tasks.sources import package_files
from adapter_transfer.tasks.span_format import SpanExtraction
from adapter_transfer.tasks.tagging_format import Tagging
from adapter_transfer.tasks.task import Task

_LAST_IDX = 9_999
_LANGUAGES = ("en", "qa", "qb", "qc")
_TRAINED = {"train": ("en",), "validation": _LANGUAGES}
_LAST_CHARACTER = 999
_REFERENCE = "made by adapter_transfer.sandbox"


def _read_next_event(row: Row, number: int) -> Example:
    """Which of the endings follows the context."""
    return Example(str(row["idx"]), tuple((row["context"], ending) for ending in row["endings"]), row["label"])


def _read_premise_hypothesis(row: Row, number: int) -> Example:
    """Natural language inference in its usual fields."""
    return Example(str(row["idx"]), ((row["premise"], row["hypothesis"]),), row["label"])


def _read_question(row: Row, number: int) -> Example:
    """A passage and a question; what is without an answer has neither of its fields."""
    if ("answer" in row) != ("answer_start" in row):
        raise ValueError("of columns 'answer' and 'answer_start' there is one; expected both or none")
    label = ((row["answer"], row["answer_start"]),) if "answer" in row else ()
    return Example(str(row["idx"]), ((row["question"], row["context"]),), label)


def _read_tagged(row: Row, number: int) -> Example:
    """Words and their tags, a blank between two."""
    return Example(str(row["idx"]), ((row["text"], None),), tuple(row["tags"].split(" ")))


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
        _TRAINED,
    ),
    splits={"train": "train", "validation": "validation"},
    summary="sandbox: which of four events follows (like HellaSwag or SocialIQA)",
    licence="Apache-2.0",
    reference=_REFERENCE,
    is_sandbox=True,
    asking=Asking(has_question=False),
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
        _TRAINED,
    ),
    splits={"train": "train", "validation": "validation"},
    summary="sandbox: does the second sentence follow from the first (like MNLI)",
    licence="Apache-2.0",
    reference=_REFERENCE,
    is_sandbox=True,
)

_QUESTIONS = (Text("context"), Text("question"), Number("idx", 0, _LAST_IDX))

EVENT_QA = Task(
    name="event-qa",
    format=SpanExtraction(),
    roles=("intermediate",),
    source=package_files(
        "sandbox/data/event-qa/{language}/{split}.jsonl",
        Form((*_QUESTIONS, Text("answer"), Number("answer_start", 0, _LAST_CHARACTER)), _read_question, "context"),
        _TRAINED,
    ),
    splits={"train": "train", "validation": "validation"},
    summary="sandbox: which of three sentences tells the cause, or the effect (like SQuAD)",
    licence="Apache-2.0",
    reference=_REFERENCE,
    is_sandbox=True,
)

EVENT_QA2 = Task(
    name="event-qa2",
    format=SpanExtraction(has_unanswerable=True),
    roles=("intermediate",),
    source=package_files(
        "sandbox/data/event-qa2/{language}/{split}.jsonl",
        Form(
            (
                *_QUESTIONS,
                Text("answer", is_optional=True),
                Number("answer_start", 0, _LAST_CHARACTER, is_optional=True),
            ),
            _read_question,
            "context",
        ),
        _TRAINED,
    ),
    splits={"train": "train", "validation": "validation"},
    summary="sandbox: which of three sentences tells the cause, or the effect, or none of them (like SQuAD 2.0)",
    licence="Apache-2.0",
    reference=_REFERENCE,
    is_sandbox=True,
)

EVENT_TAGS = Task(
    name="event-tags",
    format=Tagging(tags=("B-RESULT", "I-RESULT", "B-EXCLUDED", "I-EXCLUDED", "O"), scheme="bio"),
    roles=("intermediate",),
    source=package_files(
        "sandbox/data/event-tags/{language}/{split}.jsonl",
        Form((Text("text"), Text("tags"), Number("idx", 0, _LAST_IDX)), _read_tagged, "text"),
        _TRAINED,
    ),
    splits={"train": "train", "validation": "validation"},
    summary="sandbox: which of four events follows, and which cannot (tags of words)",
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
    asking=COPA_ASKING,
)
