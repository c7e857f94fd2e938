"""The tasks there are. Adding one is a declaration in a file of its own, its name here, and one row in its test."""

from __future__ import annotations

from adapter_transfer.registry import Registry
from adapter_transfer.tasks.copa import XCOPA, XCOPA_TRANSLATE_TEST
from adapter_transfer.tasks.sandbox_tasks import EVENT_NLI, MICRO_COPA, NEXT_EVENT
from adapter_transfer.tasks.socialiqa import SOCIALIQA
from adapter_transfer.tasks.task import Task

TASKS: Registry[Task] = Registry("task", [NEXT_EVENT, EVENT_NLI, MICRO_COPA, SOCIALIQA, XCOPA, XCOPA_TRANSLATE_TEST])
