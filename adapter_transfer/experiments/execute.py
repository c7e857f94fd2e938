"""Executing a plan on this machine, here or with several workers. One failed run stops only what needs it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from adapter_transfer.experiments import worker
from adapter_transfer.experiments.events import Event, RunDone, RunFailed, RunSkipped, RunStarted
from adapter_transfer.experiments.machine import MachineSettings, available_cores
from adapter_transfer.experiments.plan import Plan
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.schedule import Schedule
from adapter_transfer.experiments.store import Store

_ENDING_SECONDS = 10.0


@dataclass
class Outcome:
    """How an execution ended."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, RunFailed] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def execute(
    plan: Plan,
    store: Store,
    settings: MachineSettings,
    *,
    num_workers: int = 1,
    tell: Callable[[Event], None] = lambda _: None,
) -> Outcome:
    """Runs everything of a plan that is not done and returns how each run ended.

    Args:
        num_workers: processes; 1 runs in this one. On the CPU each gets its share of the cores as threads, unless
            `settings.threads` says otherwise.
        tell: told every event, in this process.
    """
    done = [run.spec.id for run in plan.runs if run.status == "done"]
    schedule = Schedule(plan.todo, done)
    outcome = Outcome()

    def record(event: Event) -> None:
        if isinstance(event, RunDone):
            schedule.finish(event.run_id)
            outcome.done.append(event.run_id)
        elif isinstance(event, RunFailed):
            outcome.failed[event.run_id] = event
        tell(event)
        if isinstance(event, RunFailed):
            for lost in schedule.give_up(event.run_id):
                outcome.skipped[lost] = event.run_id
                tell(RunSkipped(lost, because=event.run_id))

    num_workers = min(num_workers, len(schedule))
    if settings.threads is None:
        settings = replace(settings, threads=max(1, available_cores() // max(1, num_workers)))
    if num_workers <= 1:
        _execute_here(schedule, store, settings, record)
    else:
        with _crew(num_workers, store, settings) as crew:
            _execute_with(crew, schedule, record)
    return outcome


def _execute_here(schedule: Schedule, store: Store, settings: MachineSettings, record: Callable[[Event], None]) -> None:
    if not len(schedule):
        return
    run = worker.open_session(store, settings)
    last: RunSpec | None = None
    while (spec := schedule.take(last, ())) is not None:
        record(RunStarted(spec.id, 0))
        run(spec, 0, record)
        last = spec


@dataclass
class _Member:
    """One worker process, seen from here."""

    number: int
    process: BaseProcess
    pipe: Connection
    current: RunSpec | None = None
    last: RunSpec | None = None


@dataclass
class _Crew:
    """The workers, and how to start another in the place of one that died."""

    store: Store
    settings: MachineSettings
    members: list[_Member] = field(default_factory=list)

    def hire(self, number: int) -> _Member:
        # spawn, not fork: torch's threads and CUDA do not survive a fork.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=worker.main, args=(number, self.store.root, self.settings, theirs), name=f"worker-{number}"
        )
        process.start()
        theirs.close()
        return _Member(number, process, ours)

    def rehire(self, member: _Member) -> _Member:
        """Starts a new worker in the place of one that died."""
        member.pipe.close()
        member.process.terminate()
        member.process.join()
        new = self.hire(member.number)
        self.members[self.members.index(member)] = new
        return new


@contextmanager
def _crew(num_workers: int, store: Store, settings: MachineSettings) -> Iterator[_Crew]:
    crew = _Crew(store, settings)
    try:
        for number in range(num_workers):
            crew.members.append(crew.hire(number))
        yield crew
    finally:
        for member in crew.members:
            if member.current is not None:
                member.process.terminate()  # interrupted: its run goes on from its checkpoint next time
            member.pipe.close()
        for member in crew.members:
            member.process.join(_ENDING_SECONDS)
            if member.process.is_alive():
                member.process.kill()
                member.process.join()


def _execute_with(crew: _Crew, schedule: Schedule, record: Callable[[Event], None]) -> None:
    while True:
        for member in list(crew.members):
            if member.current is None:
                _assign(member, crew, schedule, record)
        working = [member for member in crew.members if member.current is not None]
        if not working:
            return
        ready = wait([member.pipe for member in working])
        for member in working:
            if member.pipe in ready:
                _hear(member, record)


def _assign(member: _Member, crew: _Crew, schedule: Schedule, record: Callable[[Event], None]) -> None:
    busy = {other.current.backbone for other in crew.members if other.current is not None}
    spec = schedule.take(member.last, busy)
    if spec is None:
        return
    if not member.process.is_alive():  # before, and this run is not to blame
        member = crew.rehire(member)
    member.current = spec
    record(RunStarted(spec.id, member.number))
    with suppress(OSError):  # it died just now; `_hear` finds the pipe closed
        member.pipe.send(spec)


def _hear(member: _Member, record: Callable[[Event], None]) -> None:
    assert member.current is not None
    try:
        event: Event = member.pipe.recv()
    except (EOFError, OSError):
        event = RunFailed(member.current.id, member.number, _cause_of_death(member))
    if isinstance(event, RunDone | RunFailed):
        member.last, member.current = member.current, None
    record(event)


def _cause_of_death(member: _Member) -> str:
    member.process.join(_ENDING_SECONDS)
    code = member.process.exitcode
    if code is not None and code < 0:
        hint = "; the machine was probably out of memory" if code == -9 else ""
        return f"its worker process was ended by signal {-code}{hint}. Start again to go on from the last checkpoint."
    return f"its worker process ended with code {code}. Start again to go on from the last checkpoint."
