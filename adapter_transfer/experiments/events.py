"""What an execution tells while it goes on. The CLI shows it; the library never prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class RunStarted:
    """A worker has taken a run."""

    run_id: str
    worker: int


@dataclass(frozen=True)
class RunAdvanced:
    """Steps (training) or rows (evaluation) done of a run.

    Attributes:
        doing: what is counted where it is neither: `tokenizing anli`, say.
    """

    run_id: str
    worker: int
    done: int
    total: int
    loss: float | None = None
    validation_score: float | None = None
    doing: str = ""


@dataclass(frozen=True)
class RunDone:
    """A run is in the store, complete."""

    run_id: str
    worker: int


@dataclass(frozen=True)
class RunFailed:
    """A run stopped with an error.

    Attributes:
        message: for people.
        trace: for `--debug`; empty where there is none.
        is_busy: it did not fail, another process works on it.
    """

    run_id: str
    worker: int
    message: str
    trace: str = ""
    is_busy: bool = False


@dataclass(frozen=True)
class RunSkipped:
    """A run that cannot start because a parent failed."""

    run_id: str
    because: str


Event: TypeAlias = RunStarted | RunAdvanced | RunDone | RunFailed | RunSkipped
