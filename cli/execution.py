"""What `demo`, `compare`, `train` and `evaluate` share: run a plan with a display, then say how it went."""

from __future__ import annotations

import logging

from adapter_transfer.errors import RunFailedError, StoreError
from adapter_transfer.experiments.execute import Outcome, execute
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import Plan
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli.output import errors
from adapter_transfer_cli.progress import cell_title, show_progress, title


def configure_logs(debug: bool) -> None:
    """Logs to standard error: warnings, or with --debug everything of ours."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if debug:
        logging.getLogger("adapter_transfer").setLevel(logging.DEBUG)


def run_plan(plan: Plan, store: Store, settings: MachineSettings, *, workers: int, quiet: bool, debug: bool) -> None:
    """Runs what is not done, showing progress.

    Raises:
        StoreError: if nothing failed but another process works on some of the runs.
        RunFailedError: if runs failed; the others were finished and kept.
    """
    configure_logs(debug)
    _announce(plan, quiet)
    with show_progress(plan, quiet=quiet) as tell:
        outcome = execute(plan, store, settings, num_workers=workers, tell=tell)
    if debug:
        for failure in outcome.failed.values():
            errors().print(failure.trace, markup=False)
    _raise_for(outcome, plan)


def _announce(plan: Plan, quiet: bool) -> None:
    if quiet:
        return
    num_done = len(plan.runs) - len(plan.todo)
    errors().print(f"{plan.name}: {len(plan.runs)} runs, {num_done} done already, {len(plan.todo)} to do")
    for cell in plan.impossible:
        errors().print(f"skipped: {cell_title(cell)}: {cell.reason}", markup=False, soft_wrap=True)


def _raise_for(outcome: Outcome, plan: Plan) -> None:
    if not outcome.failed:
        return
    specs = {run.spec.id: run.spec for run in plan.runs}
    lines = [f"{title(specs[failure.run_id])}: {failure.message}" for failure in outcome.failed.values()]
    skipped = f"; {len(outcome.skipped)} that stand on them were not started" if outcome.skipped else ""
    if all(failure.is_busy for failure in outcome.failed.values()):
        raise StoreError(
            f"{len(lines)} runs belong to another process{skipped}. Wait for it, or use another --store.\n"
            + "\n".join(lines)
        )
    kept = "The others are kept; the same command tries these again."
    summary = f"{len(lines)} of {len(plan.runs)} runs failed{skipped}. {kept}"
    raise RunFailedError("\n".join([summary, *lines]))
