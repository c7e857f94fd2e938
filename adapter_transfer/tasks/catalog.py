"""The tasks there are. Adding one is a declaration in a file of its own, its name here, and one row in its test."""

from __future__ import annotations

from adapter_transfer.registry import Registry
from adapter_transfer.tasks.ccg import CCG
from adapter_transfer.tasks.commonsenseqa import COMMONSENSEQA
from adapter_transfer.tasks.controls import derive_task
from adapter_transfer.tasks.copa import XCOPA, XCOPA_BALANCED_COPA, XCOPA_TRANSLATE_TEST
from adapter_transfer.tasks.cosmosqa import COSMOSQA
from adapter_transfer.tasks.hellaswag import HELLASWAG
from adapter_transfer.tasks.nli import ANLI, MNLI
from adapter_transfer.tasks.qqp import QQP
from adapter_transfer.tasks.sandbox_tasks import EVENT_NLI, EVENT_QA, EVENT_QA2, EVENT_TAGS, MICRO_COPA, NEXT_EVENT
from adapter_transfer.tasks.socialiqa import SOCIALIQA
from adapter_transfer.tasks.squad import SQUAD1, SQUAD2
from adapter_transfer.tasks.task import Task

PAPER_TASKS: tuple[str, ...] = (
    "anli",
    "mnli",
    "qqp",
    "squad1",
    "squad2",
    "hellaswag",
    "cosmosqa",
    "commonsenseqa",
    "ccg",
)
"""The intermediate tasks that Phang et al. 2020 (arXiv 2005.13013, table 1) train, alone and together."""

TASKS: Registry[Task] = Registry(
    "task",
    [
        NEXT_EVENT,
        EVENT_NLI,
        EVENT_QA,
        EVENT_QA2,
        EVENT_TAGS,
        MICRO_COPA,
        ANLI,
        MNLI,
        QQP,
        SQUAD1,
        SQUAD2,
        HELLASWAG,
        COSMOSQA,
        COMMONSENSEQA,
        CCG,
        SOCIALIQA,
        XCOPA,
        XCOPA_TRANSLATE_TEST,
        XCOPA_BALANCED_COPA,
    ],
    derive=derive_task,
)
"""Every task by its name; controls that can be made of one (`controls`) are there by theirs, without being listed."""
