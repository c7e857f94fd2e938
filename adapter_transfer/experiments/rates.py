"""How fast this machine computes, as people say it or as finished runs show it. No torch."""

from __future__ import annotations

import logging
import platform
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.errors import AdapterTransferError
from adapter_transfer.experiments.demands import demand
from adapter_transfer.experiments.estimates import Estimates
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.tokens import TokenTables

MOST_RUNS = 200
"""Finished runs that are looked at: a plan should take seconds."""

_Key = tuple[str, ...]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rates:
    """Floating-point operations a second.

    Attributes:
        source: where they come from, for people; empty where there are none.
        everywhere: the rate of every run; None where they differ.
        by_precision: precision → rate.
        by_run: backbone, precision and method, or the first of these → rate. A rate of another scale is no guess: small
            models wait for their own overhead.
    """

    source: str = ""
    everywhere: float | None = None
    by_precision: Mapping[Precision, float] = field(default_factory=dict)
    by_run: Mapping[_Key, float] = field(default_factory=dict)

    def of(self, spec: RunSpec) -> float | None:
        """The rate of a run; None where nobody knows."""
        if self.everywhere is not None:
            return self.everywhere
        if spec.precision in self.by_precision:
            return self.by_precision[spec.precision]
        names = (spec.backbone, spec.precision, spec.method)
        return next((self.by_run[names[:n]] for n in (3, 2, 1) if names[:n] in self.by_run), None)


def recorded_rates(store: Store | None, card: str | None, tables: TokenTables) -> Rates:
    """The rates of finished trainings in a store, those of this machine only.

    Args:
        card: name of the NVIDIA card here; None where there is none.
        tables: count the tokens that they validated on, which is part of the time that they took.
    """
    found: dict[_Key, list[float]] = defaultdict(list)
    num_runs, estimates = 0, Estimates()
    done = [] if store is None else [run_id for run_id, status in store.statuses().items() if status == "done"]
    for run_id in done[:MOST_RUNS]:
        assert store is not None
        try:
            stored = store.read(run_id)
            rate = _rate(stored.run, stored.metrics or {}, card, tables, estimates)
        except (AdapterTransferError, KeyError, TypeError, ValueError) as error:
            logger.debug("run %s tells no rate: %s", run_id, error)  # damaged, of another version, or its backbone gone
            continue
        if rate is None:
            continue
        names, value = rate
        num_runs += 1
        for length in (1, 2, 3):
            found[names[:length]].append(value)
    if not num_runs:
        return Rates()
    told = "1 finished training" if num_runs == 1 else f"{num_runs} finished trainings"
    medians = {names: statistics.median(values) for names, values in found.items()}
    return Rates(f"as {told} in this store ran on this machine", by_run=medians)


def _rate(
    run: Mapping[str, Any], metrics: Mapping[str, Any], card: str | None, tables: TokenTables, estimates: Estimates
) -> tuple[_Key, float] | None:
    machine, seconds = metrics["finished_by"]["machine"], metrics.get("seconds")
    its_card = machine["gpu"] if machine["device"] == "cuda" else None
    spec = RunSpec.from_description(run["description"])
    if (machine["platform"], its_card) != (platform.platform(), card) or not seconds or not spec.is_training:
        return None
    planned = demand(spec, tables, token_budget=machine["token_budget"])
    # It may have stopped early, and validated less, too.
    share = metrics.get("num_padded_tokens", planned.trained.num) / planned.trained.num
    return (spec.backbone, spec.precision, spec.method), share * estimates.flops(planned) / seconds
