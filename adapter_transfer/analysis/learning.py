"""What the intermediates have learned: one line for each task that was trained, over its seeds."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapter_transfer.analysis.formats import MISSING, percent
from adapter_transfer.analysis.tables import Entry, Table
from adapter_transfer.experiments.adopted import Adopted
from adapter_transfer.experiments.results import RunRecord

_PULLED_NOTE = (
    "Of an intermediate that was pulled, nothing was trained here, and how its training went is not recorded."
)
_METRICS = {"accuracy": "accuracy", "f1": "F1", "span_f1": "span F1"}


@dataclass(frozen=True)
class _Learned:
    """What one training learned of one task.

    Attributes:
        member: of a mixture, the task; else empty.
    """

    member: str
    metric: str
    score: float
    chance: float | None
    num_items: int
    loss_first: float | None
    loss_last: float | None


def learning_table(runs: Sequence[RunRecord]) -> Table:
    """Loss at the start and at the end, and the English validation score, of every intermediate training.

    Of an intermediate that was pulled it says where from: what its training was like is not recorded here.
    """
    groups: dict[tuple[str, ...], list[_Learned]] = defaultdict(list)
    pulled: dict[tuple[str, ...], list[RunRecord]] = defaultdict(list)
    for run in runs:
        if run.phase != "intermediate" or run.status != "done":
            continue
        if "adopted" in run.metrics:
            origin = Adopted.from_json(run.metrics["adopted"]).origin
            pulled[run.task, origin, run.backbone, run.precision, run.method].append(run)
        else:
            for learned in _learned(run.metrics):
                cell = (run.task, learned.member, run.backbone, run.precision, run.method, learned.metric)
                groups[cell].append(learned)
    headers = ("intermediate", "trained as", "seeds", "loss", "at the end", "metric", "validation, %", "chance, %", "n")
    rows = (
        *(_row(cell, found) for cell, found in groups.items()),
        *(_pulled_row(cell, len(found)) for cell, found in pulled.items()),
    )
    pairs = [(each.loss_first, each.loss_last) for found in groups.values() for each in found]
    fell = [last < first for first, last in pairs if first is not None and last is not None]
    trained_note = (
        "Losses are training losses in nats, of the first and of the last logged steps; scores are of the English "
        f"validation items. The loss fell in {sum(fell)} of {len(fell)}."
    )
    notes = (*([trained_note] if groups else []), *([_PULLED_NOTE] if pulled else []))
    return Table("What the intermediates learned", headers, rows, notes)


def _learned(metrics: Mapping[str, Any]) -> Iterator[_Learned]:
    for member, trained in metrics.get("tasks", {}).items():
        score = metrics["validations"][member]
        metric = score["metric"]
        yield _Learned(
            member,
            metric,
            score[metric],
            trained.get("chance"),
            score["num_items"],
            trained["train_loss_first"],
            trained["train_loss_last"],
        )
    if not metrics.get("tasks") and "validation_loss" in metrics:
        yield _Learned(
            "",
            metrics.get("validation_metric", "accuracy"),
            # Runs of earlier versions know accuracy only.
            metrics.get("validation_score", metrics.get("validation_accuracy", 0.0)),
            metrics.get("chance"),
            metrics.get("num_validation", 0),
            metrics.get("train_loss_first"),
            metrics.get("train_loss_last"),
        )


def _row(cell: tuple[str, ...], found: Sequence[_Learned]) -> tuple[Entry, ...]:
    task, member, backbone, precision, method, metric = cell
    name = f"{task}: {member}" if member else task
    chance, num_items = found[0].chance, found[0].num_items
    return (
        Entry(name, tone="name"),
        Entry(" · ".join((backbone, precision, method))),
        Entry(str(len(found)), len(found)),
        _mean([each.loss_first for each in found]),
        _mean([each.loss_last for each in found]),
        Entry(_METRICS.get(metric, metric)),
        _share(statistics.fmean(each.score for each in found)),
        _share(chance) if chance is not None else Entry(MISSING),
        Entry(f"{num_items:,}", num_items),
    )


def _pulled_row(cell: tuple[str, ...], num_seeds: int) -> tuple[Entry, ...]:
    task, origin, *trained_as = cell
    return (
        Entry(task, tone="name"),
        Entry(" · ".join(trained_as)),
        Entry(str(num_seeds), num_seeds),
        Entry(f"pulled from {origin}"),
        *(Entry(MISSING, tone="missing") for _ in range(5)),
    )


def _share(value: float) -> Entry:
    return Entry(percent(value), 100 * value)


def _mean(values: Sequence[float | None]) -> Entry:
    there = [value for value in values if value is not None]
    if not there:
        return Entry(MISSING, tone="missing")
    mean = statistics.fmean(there)
    return Entry(f"{mean:.3f}", mean)
