"""An experiment's runs to their end, stage after stage, and how that ended: as nothing, or as one error. No torch."""

from __future__ import annotations

from collections.abc import Callable

from adapter_transfer.errors import RunFailedError, StoreError
from adapter_transfer.experiments.execute import Outcome
from adapter_transfer.experiments.plan import Plan
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store


def title(spec: RunSpec) -> str:
    """A run in a few words."""
    stands_on = "" if spec.intermediate in ("none", spec.task) else f" on {spec.intermediate} ({spec.composition})"
    return f"{spec.phase} {spec.task}{stands_on} · {spec.backbone} {spec.precision} {spec.method} seed {spec.seed}"


def run_stages(plan: Plan, run: Callable[[Plan], object], replan: Callable[[], Plan]) -> None:
    """Runs a plan, then what follows from its searches, until nothing does.

    Args:
        run: runs what can be run of a plan now.
        replan: the plan again, with what the store has got meanwhile.

    Raises:
        RunFailedError: if runs failed, and not only as trials of searches that others have won.
    """
    while True:
        try:
            run(plan)
        except RunFailedError:
            following = replan()
            if following.num_pending >= plan.num_pending:
                raise
        else:
            if not plan.num_pending:
                return
            following = replan()
        plan = following


def require_success(outcome: Outcome, plan: Plan) -> None:
    """Passes an execution in which nothing failed.

    Raises:
        StoreError: if nothing failed but another process works on some of the runs.
        RunFailedError: if runs failed; the others were finished and kept.
    """
    if not outcome.failed:
        return
    specs = {run.spec.id: run.spec for run in plan.runs}
    lines = [f"{title(specs[failure.run_id])}: {failure.message}" for failure in outcome.failed.values()]
    skipped = f"; {len(outcome.skipped)} that stand on them were not started" if outcome.skipped else ""
    if all(failure.is_busy for failure in outcome.failed.values()):
        raise StoreError(
            f"{len(lines)} {'run' if len(lines) == 1 else 'runs'} held by another process{skipped}. Wait for it, or "
            "use another --store.\n" + "\n".join(lines)
        )
    kept = "The others are kept; the same command tries these again."
    summary = f"{len(lines)} of {len(plan.runs)} runs failed{skipped}. {kept}"
    raise RunFailedError("\n".join([summary, *lines]))


def require_undamaged(plan: Plan, store: Store) -> None:
    """Passes a plan whose runs can all be read where they are done.

    Raises:
        StoreError: if some cannot.
    """
    if not plan.damaged:
        return
    lines = [f"{store.run_dir(run.spec.id)} ({title(run.spec)}): {run.reason}" for run in plan.damaged]
    raise StoreError(
        f"{len(lines)} of {len(plan.runs)} runs are damaged and were left alone. Restore the folder of each from a "
        "copy, or remove it to have the run done again.\n" + "\n".join(lines)
    )
