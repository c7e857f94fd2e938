"""What `plan` shows to people: the runs, seeds together, and what they cost; readable on 80 columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from adapter_transfer.experiments.advice import together
from adapter_transfer.experiments.costs import RunCost, TotalCost
from adapter_transfer.experiments.outcomes import title
from adapter_transfer.experiments.plan import Plan, PlannedRun
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer_cli.output import console, print_table
from adapter_transfer_cli.quantities import disk, duration, gib, scientific, short


def print_runs(made: Plan) -> None:
    """The runs, one line for all seeds that are equally far; then what is impossible, and why."""
    groups: dict[tuple[str, ...], list[PlannedRun]] = defaultdict(list)
    several = len({run.spec.target for run in made.runs if run.spec.target is not None}) > 1
    for run in made.runs:
        groups[(*_names(run.spec), run.status, str(run.is_trial))].append(run)
    print_table(
        ["phase", "backbone", "", "method", "intermediate", "composition", "task", "seeds", "status"],
        [
            [*names, ", ".join(str(seed) for seed in sorted({run.spec.seed for run in runs})), _status(runs)]
            for (*names, _, _), runs in groups.items()
        ],
        # An intermediate run's is its intermediate; of all others the experiment has one, unless controls add some.
        droppable=() if several else ("task",),
    )
    for run in made.runs:
        if run.reason:
            text = f"{run.status} {run.spec.id[:8]}, {title(run.spec)}: {run.reason}"
            console().print(text, markup=False, soft_wrap=True)
    if made.impossible:
        print_table(
            [
                "backbone",
                "precision",
                "method",
                "intermediate",
                "composition",
                *(["target"] if several else []),
                "reason",
            ],
            [
                [
                    c.backbone,
                    c.precision,
                    c.method,
                    c.intermediate,
                    c.composition,
                    *([c.target] if several else []),
                    c.reason,
                ]
                for c in made.impossible
            ],
            title="Impossible",
        )


def print_costs(made: Plan, costs: Mapping[str, RunCost]) -> None:
    """What runs cost that train or evaluate the same with the same: the largest need of memory, the sum of the rest."""
    groups: dict[tuple[str, ...], list[RunCost]] = defaultdict(list)
    for run in made.runs:
        spec = run.spec
        verb = "evaluate" if spec.phase == "evaluation" else "adopt" if spec.is_adoption else "train"
        groups[f"{verb} {spec.task}", spec.backbone, spec.precision, spec.method].append(costs[spec.id])
    print_table(
        ["what", "backbone", "", "method", "runs", "trains", "GiB", "fits", "FLOPs", "time", "disk"],
        [[*names, *_cost_cells(members)] for names, members in groups.items()],
        numeric=[False] * 4 + [True, True, True, False, True, True, True],
        droppable=("trains", "disk"),
    )


def print_advice(costs: Iterable[RunCost], memory_bytes: int, *, has_budget: bool) -> None:
    """What does not fit, and the lines with which it would.

    Args:
        has_budget: `--token-budget` is given, which goes before what the configuration says.
    """
    groups: dict[str, list[RunCost]] = defaultdict(list)
    for cost in costs:
        if cost.advice is not None:
            spec = cost.demand.spec
            groups[f"{spec.method} on {spec.backbone} in {spec.precision}"].append(cost)
    if not groups:
        return
    largest = {what: max(cost.memory.total for cost in members) for what, members in groups.items()}
    told = ", ".join(f"{what} ({gib(size)})" for what, size in largest.items())
    advice = together(cost.advice for members in groups.values() for cost in members if cost.advice is not None)
    without = ", and leave --token-budget out" if has_budget else ""
    hint = f" What would fit, as lines of the configuration (merge them with those that are there{without}):"
    console().print(f"Does not fit in {gib(memory_bytes)}: {told}.{hint}", markup=False, soft_wrap=True)
    console().print(str(advice), markup=False, soft_wrap=True)


def total_line(total: TotalCost) -> str:
    """What runs cost together, in a line."""
    parts = [f"{scientific(total.flops)} FLOPs"]
    if total.seconds is not None:
        parts.append(f"{duration(total.seconds)} one after the other")
    parts.append(f"{disk(total.disk_bytes)} on disk")
    if total.checkpoint_bytes:
        parts.append(f"up to {disk(total.checkpoint_bytes)} of checkpoints while a run trains")
    downloads = total.download_bytes
    if downloads:
        each = ", ".join(f"{name} {disk(size)}" for name, size in downloads.items())
        parts.append(f"about {disk(sum(downloads.values()))} to download ({each})")
    return ", ".join(parts)


def legend_line(costs: Sequence[RunCost]) -> str:
    """What the figures are, and what is in them."""
    names = dict.fromkeys(name for cost in costs for name in cost.memory.headroom)
    held = f", {' and '.join(names)} included" if names else ""
    return (
        f"GiB is the peak of one run on an NVIDIA card, estimated{held}; FLOPs, time and disk are those of all runs "
        "of a line."
    )


def _names(spec: RunSpec) -> tuple[str, ...]:
    return (
        spec.phase,
        spec.backbone,
        spec.precision,
        spec.method,
        spec.intermediate,
        spec.composition,
        spec.task,
    )


def _status(alike: Sequence[PlannedRun]) -> str:
    """How far runs are; of a search, what one of them tries, or how many there are."""
    status, trials = alike[0].status, list(dict.fromkeys(run.trial for run in alike))
    if not alike[0].is_trial:
        return status
    if len(trials) > 1:
        return f"{status}, {len(trials)} trials"
    return f"{status}, trial: {trials[0]}" if trials[0] else f"{status}, trial"


def _cost_cells(members: Sequence[RunCost]) -> list[str]:
    largest = max(members, key=lambda cost: cost.memory.total)
    seconds = [cost.seconds for cost in members if cost.seconds is not None]
    size = largest.memory.total
    return [
        str(len(members)),
        short(largest.trained_parameters) if largest.trained_parameters else "–",
        f"{size / 2**30:.{1 if size >= 2**30 else 2}f}",
        {True: "yes", False: "no", None: "?"}[largest.fits],
        scientific(sum(cost.flops for cost in members)),
        duration(sum(seconds)) if len(seconds) == len(members) else "?",
        disk(sum(cost.disk_bytes for cost in members)),
    ]
