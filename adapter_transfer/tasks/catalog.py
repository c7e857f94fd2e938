"""The tasks there are. Adding one is one declaration here (and one row in its test)."""

from __future__ import annotations

from adapter_transfer.registry import Registry
from adapter_transfer.tasks.formats import Classification, Example, MultipleChoice
from adapter_transfer.tasks.sources import PackageFiles, Row
from adapter_transfer.tasks.task import Split, Task

# The usual COPA input: the question is asked in English in every language (XCOPA, Ponti et al. 2020, section 4).
COPA_PROMPTS = {"cause": "What was the cause?", "effect": "What happened as a result?"}


def read_copa(row: Row) -> Example:
    """An example of a row in XCOPA's own fields: rows are (premise + question, choice)."""
    question = row["question"]
    if question not in COPA_PROMPTS:
        raise ValueError(f"question {question!r}; allowed are {', '.join(COPA_PROMPTS)}")
    first = f"{row['premise']} {COPA_PROMPTS[question]}"
    return Example(str(row["idx"]), ((first, row["choice1"]), (first, row["choice2"])), row["label"])


def read_next_event(row: Row) -> Example:
    """Which of the endings follows the context."""
    return Example(str(row["idx"]), tuple((row["context"], ending) for ending in row["endings"]), row["label"])


def read_premise_hypothesis(row: Row) -> Example:
    """Natural language inference in its usual fields."""
    return Example(str(row["idx"]), ((row["premise"], row["hypothesis"]),), row["label"])


_SANDBOX_LANGUAGES = ("en", "qa", "qb", "qc")
_SPLITS: dict[Split, str] = {"train": "train", "validation": "validation"}
_ENGLISH: dict[Split, tuple[str, ...]] = {"train": ("en",), "validation": ("en",)}

TASKS: Registry[Task] = Registry(
    "task",
    [
        Task(
            name="next-event",
            format=MultipleChoice(num_choices=4),
            roles=("intermediate",),
            source=PackageFiles("sandbox/data/next-event/{language}/{split}.jsonl"),
            splits=_SPLITS,
            read=read_next_event,
            languages=_ENGLISH,
            summary="sandbox: which of four events follows (like HellaSwag or SocialIQA)",
            licence="Apache-2.0",
            reference="made by adapter_transfer.sandbox",
            is_sandbox=True,
        ),
        Task(
            name="event-nli",
            format=Classification(labels=("entailment", "neutral", "contradiction")),
            roles=("intermediate",),
            source=PackageFiles("sandbox/data/event-nli/{language}/{split}.jsonl"),
            splits=_SPLITS,
            read=read_premise_hypothesis,
            languages=_ENGLISH,
            summary="sandbox: does the second sentence follow from the first (like MNLI)",
            licence="Apache-2.0",
            reference="made by adapter_transfer.sandbox",
            is_sandbox=True,
        ),
        Task(
            name="micro-copa",
            format=MultipleChoice(num_choices=2),
            roles=("target",),
            source=PackageFiles("sandbox/data/micro-copa/{language}/{split}.jsonl"),
            splits={**_SPLITS, "test": "test"},
            read=read_copa,
            languages={"train": ("en",), "validation": _SANDBOX_LANGUAGES, "test": _SANDBOX_LANGUAGES},
            summary="sandbox: cause or effect of a premise, two choices, four languages (like COPA and XCOPA)",
            licence="Apache-2.0",
            reference="made by adapter_transfer.sandbox",
            is_sandbox=True,
        ),
    ],
)
