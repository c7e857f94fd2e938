"""The display of an execution: a line a worker and one for all, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from adapter_transfer.experiments.events import Event, RunAdvanced, RunDone, RunFailed, RunSkipped, RunStarted
from adapter_transfer.experiments.outcomes import title
from adapter_transfer.experiments.plan import ImpossibleCell, Plan, PlannedRun
from adapter_transfer_cli.output import errors

Tell = Callable[[Event], None]

_SECONDS_BETWEEN_LINES = 10.0


def print_notes(plan: Plan) -> None:
    """What people should know of the data, and what spoils the answer; on standard error."""
    for note in plan.notes:
        errors().print(f"note: {note}", markup=False, soft_wrap=True)
    for warning in plan.warnings:
        errors().print(f"warning: {warning}", markup=False, soft_wrap=True, style="yellow")


def run_title(run: PlannedRun) -> str:
    """A planned run in a few words, with what it tries."""
    return f"{title(run.spec)} ({run.trial})" if run.trial else title(run.spec)


def cell_title(cell: ImpossibleCell) -> str:
    """An impossible cell in a few words."""
    return f"{cell.backbone} {cell.precision} {cell.method} on {cell.intermediate} ({cell.composition})"


@contextmanager
def show_progress(plan: Plan, *, quiet: bool = False) -> Iterator[Tell]:
    """Gives a function to tell events to, which shows them on standard error."""
    titles = {run.spec.id: run_title(run) for run in plan.runs}
    if quiet or not plan.todo:
        yield lambda event: None
    elif errors().is_terminal:
        with _bars() as progress:
            yield _Bars(progress, titles, len(plan.todo))
    else:
        yield _Lines(titles, len(plan.todo))


def _bars() -> Progress:
    return Progress(
        # On a narrow screen the description is cut, never the counters.
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=12),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors(),
        transient=True,
        expand=True,
    )


class _Bars:
    """A bar for the whole, one for each worker."""

    def __init__(self, progress: Progress, titles: dict[str, str], num_todo: int) -> None:
        self._progress, self._titles = progress, titles
        self._all = progress.add_task("runs", total=num_todo, note="")
        self._workers: dict[int, TaskID] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                task = self._worker(event.worker)
                self._progress.reset(task, total=None, description=self._titles[event.run_id], note="loading")
            case RunAdvanced():
                note = f"loss {event.loss:.3f}" if event.loss is not None else event.doing
                if event.validation_score is not None:
                    note = f"validation {event.validation_score:.1%}"
                self._progress.update(self._worker(event.worker), completed=event.done, total=event.total, note=note)
            case RunDone() | RunFailed() | RunSkipped():
                self._progress.advance(self._all)
                if isinstance(event, RunFailed):
                    _explain_failure(event, self._titles)

    def _worker(self, number: int) -> TaskID:
        if number not in self._workers:
            self._workers[number] = self._progress.add_task("starting", total=None, note="")
        return self._workers[number]


class _Lines:
    """A line when a run is done, and where it prepares for long; for logs and pipes."""

    def __init__(self, titles: dict[str, str], num_todo: int) -> None:
        self._titles, self._num_todo = titles, num_todo
        self._num_ended = 0
        self._told = 0.0
        self._started: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._started[event.run_id] = time.monotonic()
        if isinstance(event, RunAdvanced) and event.doing and self._is_due(event):
            line = f"{event.doing}: {event.done:,} of {event.total:,}"
            errors().print(line, markup=False, soft_wrap=True)
        if isinstance(event, RunDone | RunFailed | RunSkipped):
            self._num_ended += 1
        if isinstance(event, RunDone):
            seconds = time.monotonic() - self._started[event.run_id]
            errors().print(
                f"[{self._num_ended}/{self._num_todo}] {self._titles[event.run_id]} ({seconds:.0f} s)",
                markup=False,
                soft_wrap=True,
            )
        if isinstance(event, RunFailed):
            _explain_failure(event, self._titles)

    def _is_due(self, event: RunAdvanced) -> bool:
        """Whether the last line is long ago, or this is the end."""
        now = time.monotonic()
        is_due = event.done == event.total or now - self._told >= _SECONDS_BETWEEN_LINES
        self._told = now if is_due else self._told
        return is_due


def _explain_failure(event: RunFailed, titles: dict[str, str]) -> None:
    what = "busy" if event.is_busy else "failed"
    errors().print(f"{what}: {titles[event.run_id]}: {event.message}", style="red", markup=False, soft_wrap=True)
