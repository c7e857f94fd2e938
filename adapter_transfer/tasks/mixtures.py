"""Mixtures: several tasks that are trained together, one adapter or model with a head for each.

A mixture is written by its tasks' names with `+` between them (`mnli+squad1+hellaswag`); `multi` is all that Phang et
al. 2020 (arXiv 2005.13013) train together. Its parts always stand in the catalog's order, so that one
mixture has one name.
"""

from __future__ import annotations

from collections.abc import Iterable

from adapter_transfer.errors import AdapterTransferError, ConfigError
from adapter_transfer.tasks.catalog import PAPER_TASKS, TASKS
from adapter_transfer.tasks.task import SEPARATOR, Task

MULTI = "multi"


def members(name: str) -> tuple[Task, ...]:
    """The tasks that are trained under a name: those of a mixture, or the one that is called so.

    Raises:
        UnknownNameError: for a task that there is not.
    """
    return tuple(TASKS[part] for part in _parts(name))


def mixture_name(name: str) -> str:
    """The name of a task or mixture as everybody writes it: tasks in the catalog's order, `multi` where it is that.

    Raises:
        UnknownNameError: for a task that there is not.
        ConfigError: if a task stands there twice or none beside a `+`, or one cannot be trained as an intermediate.
    """
    if SEPARATOR in name and not all(_parts(name)):
        raise ConfigError([f"{name}: no task stands beside a {SEPARATOR!r}; tasks are written as in mnli+squad1"])
    tasks = members(name)
    names = [task.name for task in tasks]
    problems = [f"{name}: {each!r} stands there twice" for each in dict.fromkeys(names) if names.count(each) > 1]
    problems += [f"{name}: {task.name!r} is no intermediate task" for task in tasks if "intermediate" not in task.roles]
    if problems:
        raise ConfigError(problems)
    return mixture_of(names)


def mixture_of(tasks: Iterable[str]) -> str:
    """The name under which some tasks are trained together; of one, its own."""
    names = dict.fromkeys(tasks)
    if set(names) == set(PAPER_TASKS):
        return MULTI
    order = list(TASKS)
    return SEPARATOR.join(sorted(names, key=lambda each: (order.index(TASKS[each].base.name), each)))


def check_mixture(name: str) -> str:
    """For fields that name what is trained: the name as everybody writes it.

    Raises:
        ValueError: with every problem.
    """
    try:
        return mixture_name(name)
    except AdapterTransferError as error:
        raise ValueError(str(error)) from None


def is_mixture(name: str) -> bool:
    """Whether several tasks are trained under this name."""
    return len(_parts(name)) > 1


def _parts(name: str) -> tuple[str, ...]:
    written = [part.strip() for part in name.split(SEPARATOR)] if SEPARATOR in name else [name]
    return tuple(part for each in written for part in (PAPER_TASKS if each == MULTI else (each,)))
