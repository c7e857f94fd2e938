"""A worker: takes runs, runs them in a session, tells what happens; as a process of its own, it ends with its parent.

The session is imported inside `open_session`: a parent that only hands out runs never loads torch (several seconds).
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from adapter_transfer.errors import AdapterTransferError
from adapter_transfer.experiments.events import Event, RunAdvanced, RunDone, RunFailed
from adapter_transfer.experiments.lease import LeaseHeldError
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import RunDoneError, Store

if TYPE_CHECKING:
    from adapter_transfer.experiments.session import Session
    from adapter_transfer.training.loop import Progress

Tell = Callable[[Event], None]

# A worker whose parent was killed lets go of its run a moment later; a restart should not trip over it.
_LEASE_PATIENCE_SECONDS = 5.0
_LEASE_POLL_SECONDS = 0.2


def open_session(store: Store, settings: MachineSettings) -> Callable[[RunSpec, int, Tell], None]:
    """Loads what computing needs and returns a function that runs one run for a worker of a given number."""
    from adapter_transfer.experiments.session import Session

    session = Session(store, settings)
    return lambda spec, worker, tell: _run_one(session, spec, worker, tell)


def _run_one(session: Session, spec: RunSpec, worker: int, tell: Tell) -> None:
    """Runs one run; its progress and its end are told, errors too, so that independent runs go on."""

    def advance(progress: Progress) -> None:
        figures = (progress.loss, progress.validation_score)
        tell(RunAdvanced(spec.id, worker, progress.step, progress.num_steps, *figures, doing=progress.doing))

    deadline = time.monotonic() + _LEASE_PATIENCE_SECONDS
    while True:
        try:
            session.execute(spec, advance)
        except RunDoneError:
            pass  # by another process, a moment ago
        except LeaseHeldError as error:
            if time.monotonic() < deadline:
                time.sleep(_LEASE_POLL_SECONDS)
                continue
            tell(RunFailed(spec.id, worker, str(error), is_busy=True))
            return
        except AdapterTransferError as error:
            tell(RunFailed(spec.id, worker, str(error), traceback.format_exc()))
            return
        except Exception as error:  # a bug, or the machine: other runs may still go well
            tell(RunFailed(spec.id, worker, f"{type(error).__name__}: {error}", traceback.format_exc()))
            return
        tell(RunDone(spec.id, worker))
        return


def main(number: int, store_root: Path, settings: MachineSettings, pipe: Connection) -> None:
    """The worker process: answers each `RunSpec` with events, until its pipe is closed."""
    # Ctrl-C goes to the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(format=f"worker {number}: %(levelname)s %(name)s: %(message)s")
    logging.getLogger("adapter_transfer").setLevel(settings.log_level)
    run = open_session(Store.open(store_root), settings)
    while True:
        try:
            spec: RunSpec = pipe.recv()
        except EOFError:
            return
        run(spec, number, pipe.send)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        # At once, so that the run's lease is free for whoever starts again.
        os._exit(1)
