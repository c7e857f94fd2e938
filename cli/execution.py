"""What `demo`, `compare`, `train` and `evaluate` share: run a plan with a display, then say how it went."""

from __future__ import annotations

from pathlib import Path

from adapter_transfer.backbones.zoo import QUANTIZED
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.outcomes import require_success, require_undamaged
from adapter_transfer.experiments.plan import Plan
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli.output import errors
from adapter_transfer_cli.progress import cell_title, print_notes, show_progress


def run_plan(
    plan: Plan, store_dir: Path, settings: MachineSettings, *, workers: int, quiet: bool, debug: bool
) -> Store:
    """Runs what is not done, showing progress, and returns the store, which is made here if there is something to run.

    Whatever would make every run fail is told before anything is made or started.

    Raises:
        ConfigError: if a tracker is unknown or not installed, or bitsandbytes is not and a run needs it.
        DeviceError: if the device cannot be had.
        StoreError: if runs are damaged, the store cannot be used, or nothing failed but another process works on some
            of the runs.
        RunFailedError: if runs failed; the others were finished and kept.
    """
    if plan.todo:
        _require_machine(settings, plan)
    store = Store.open(store_dir)
    _announce(plan, quiet)
    with show_progress(plan, quiet=quiet) as tell:
        outcome = execute(plan, store, settings, num_workers=workers, tell=tell)
    if debug:
        for failure in outcome.failed.values():
            errors().print(failure.trace, markup=False)
    require_success(outcome, plan)
    require_undamaged(plan, store)
    return store


def _require_machine(settings: MachineSettings, plan: Plan) -> None:
    quantized = {spec.precision for spec in plan.todo} & QUANTIZED
    optimizers = {spec.training.optimizer for spec in plan.todo if spec.phase != "evaluation"} - {"adamw"}
    if settings.device == "cpu" and not settings.trackers and not quantized and not optimizers:
        return
    # Loads torch, several seconds that the usual call on the CPU leaves to its workers.
    from adapter_transfer.backbones.quantization import require_bitsandbytes
    from adapter_transfer.training.optimizers import require_optimizer
    from adapter_transfer.training.runtime import require_device, require_trackers

    require_device(settings.device)
    require_trackers(settings.trackers)
    for precision in sorted(quantized):
        require_bitsandbytes(precision)
    for optimizer in sorted(optimizers):
        require_optimizer(optimizer)


def _announce(plan: Plan, quiet: bool) -> None:
    if quiet:
        return
    num_done = len(plan.runs) - len(plan.todo)
    pending = f", {plan.num_pending} more after the search" if plan.num_pending else ""
    errors().print(f"{plan.name}: {len(plan.runs)} runs, {num_done} done already, {len(plan.todo)} to do{pending}")
    print_notes(plan)
    for cell in plan.impossible:
        errors().print(f"skipped: {cell_title(cell)}: {cell.reason}", markup=False, soft_wrap=True)
