"""What runs cost, before anything is downloaded or trained: memory, arithmetic, time, disk. No torch.

The arithmetic itself is `training.memory` and `training.flops`; what a run asks of it is `demands`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from adapter_transfer.backbones.at_hand import download_bytes
from adapter_transfer.backbones.token_counting import BYTES_PER_TOKEN
from adapter_transfer.experiments.advice import Advice, advise
from adapter_transfer.experiments.data import SplitRef
from adapter_transfer.experiments.demands import Demand, demand
from adapter_transfer.experiments.estimates import Estimates
from adapter_transfer.experiments.rates import Rates
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.tokens import MOST_EXAMPLES, TokenTables
from adapter_transfer.training.memory import MemoryEstimate, Workload, trained_parameters

_BYTES_OF_FP32 = 4
_CHECKPOINTS = 3
"""Two are kept, and the next one is whole before the oldest goes."""


@dataclass(frozen=True)
class Conditions:
    """What costs depend on beside the runs.

    Attributes:
        memory_bytes: of the card; None gives no verdict.
        rates: how fast it is.
        token_budget: that the machine is told; None leaves it to each run.
        tables: count tokens.
    """

    memory_bytes: int | None = None
    rates: Rates = field(default_factory=Rates)
    token_budget: int | None = None
    tables: TokenTables = field(default_factory=TokenTables)


@dataclass(frozen=True)
class RunCost:
    """What one run costs.

    Attributes:
        trained_parameters: head included, and the whole table where it trains, trimmed or not; 0 for an evaluation.
        total_parameters: of the backbone as it is published.
        memory: of an NVIDIA card; of a mixture, with the task that takes most.
        flops: of the whole run.
        fits: whether the card holds it; None where none is named.
        disk_bytes: that stay: artifact (body or adapters, and every head) and predictions, roughly.
        checkpoint_bytes: that come on top while it trains.
        seconds: None where no rate is known.
        demand: what all of this follows from.
        advice: what to change so that it fits; None where it does, or nobody knows.
    """

    trained_parameters: int
    total_parameters: int
    memory: MemoryEstimate
    flops: float
    fits: bool | None
    disk_bytes: int
    checkpoint_bytes: int
    seconds: float | None
    demand: Demand
    advice: Advice | None = None

    def as_json(self) -> dict[str, Any]:
        """For machines. `peak_memory_bytes` is what a card must have: headroom included."""
        return {
            "trained_parameters": self.trained_parameters,
            "total_parameters": self.total_parameters,
            "peak_memory_bytes": self.memory.total,
            "memory": {**asdict(self.memory), "headroom": dict(self.memory.headroom)},
            "fits": self.fits,
            "flops": round(self.flops),
            "seconds": self.seconds,
            "disk_bytes": self.disk_bytes,
            "checkpoint_bytes": self.checkpoint_bytes,
            "tokens": {
                "num_padded": round(self.demand.trained.num + self.demand.evaluated.num),
                "longest_row": self.demand.longest,
                "num_kept": self.demand.num_kept if self.demand.spec.vocabulary else None,
                "counted_by": self.demand.basis,
                "is_seen_whole": self.demand.is_seen_whole,
            },
            "advice": None if self.advice is None else str(self.advice),
        }


@dataclass(frozen=True)
class TotalCost:
    """What the runs that are still to be done cost together.

    Attributes:
        seconds: one after the other; None where the rate of one of them is unknown.
        disk_bytes: that stay.
        checkpoint_bytes: of the largest training, while it runs.
        download_bytes: weights that are not here yet, by backbone.
    """

    flops: float
    seconds: float | None
    disk_bytes: int
    checkpoint_bytes: int
    download_bytes: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "flops": round(self.flops), "download_bytes": dict(self.download_bytes)}


def run_costs(specs: Sequence[RunSpec], conditions: Conditions) -> dict[str, RunCost]:
    """Run id → what it costs, with advice where it does not fit.

    Raises:
        DataError: if data, a tokenizer or a configuration cannot be read.
    """
    read = _all_splits(specs)
    # Seeds differ in nothing that costs.
    alike = {_cost_key(spec): spec for spec in specs}
    demands = {
        key: demand(spec, conditions.tables, read=read, token_budget=conditions.token_budget)
        for key, spec in alike.items()
    }
    estimates = Estimates()
    costs = {key: _cost(found, estimates, conditions) for key, found in demands.items()}
    advice = _advice(costs.values(), conditions.memory_bytes, estimates)
    found = {}
    for spec in specs:
        cost = costs[_cost_key(spec)]
        words = advice.get(_group(spec)) if cost.fits is False else None
        found[spec.id] = replace(cost, demand=replace(cost.demand, spec=spec), advice=words)
    return found


def total_cost(costs: Mapping[str, RunCost]) -> TotalCost:
    """The sum of some runs.

    Args:
        costs: those that are to be done.
    """
    seconds = [cost.seconds for cost in costs.values()]
    backbones = {cost.demand.spec.backbone: cost.demand.spec.declaration for cost in costs.values()}
    downloads = {name: download_bytes(declaration) for name, declaration in backbones.items()}
    return TotalCost(
        flops=sum(cost.flops for cost in costs.values()),
        seconds=None if None in seconds else sum(each for each in seconds if each is not None),
        disk_bytes=sum(cost.disk_bytes for cost in costs.values()),
        checkpoint_bytes=max((cost.checkpoint_bytes for cost in costs.values()), default=0),
        download_bytes={name: size for name, size in downloads.items() if size},
    )


def how_counted(costs: Iterable[RunCost]) -> str:
    """How tokens were counted, where that was not exact; empty where it was."""
    costs = list(costs)
    bases = {cost.demand.basis for cost in costs}
    told = []
    if "bytes" in bases:
        told.append(
            f"estimated as a token for every {BYTES_PER_TOKEN} bytes of text (and a kept token for every distinct "
            "word) where the tokenizer is not on this machine"
        )
    if "sample" in bases:
        told.append("those of an even sample where a split is large")
    sentences = [f"Tokens are {'; '.join(told)}."] if told else []
    if not all(cost.demand.is_seen_whole for cost in costs):
        sentences.append(
            f"Of a split with more than {MOST_EXAMPLES:,} examples not every text is looked at: its longest row is "
            "taken to be as long as max_length allows, and at least so many rows of a trimmed table are kept."
        )
    return " ".join(sentences)


def _cost(found: Demand, estimates: Estimates, conditions: Conditions) -> RunCost:
    spec, workloads = found.spec, found.workloads()
    if spec.is_adoption:
        return _cost_of_adoption(found, conditions)
    memory = max(map(estimates.memory, workloads), key=lambda estimate: estimate.total)
    flops, rate = estimates.flops(found), conditions.rates.of(spec)
    capacity = conditions.memory_bytes
    artifact, checkpoint = _disk(found, workloads[0], memory)
    return RunCost(
        trained_parameters=_trained(found, workloads[0]) if found.is_training else 0,
        total_parameters=spec.declaration.parameters().total,
        memory=memory,
        flops=flops,
        fits=None if capacity is None else memory.total <= capacity,
        disk_bytes=artifact + sum(task.prediction_bytes for task in found.tasks),
        checkpoint_bytes=checkpoint,
        seconds=None if rate is None else flops / rate,
        demand=found,
    )


def _cost_of_adoption(found: Demand, conditions: Conditions) -> RunCost:
    """Nothing but a copy of some files, however large the card."""
    return RunCost(
        trained_parameters=0,
        total_parameters=found.spec.declaration.parameters().total,
        memory=MemoryEstimate(weights=0, gradients=0, optimizer=0, activations=0, workspace=0, peak=0),
        flops=0.0,
        fits=None if conditions.memory_bytes is None else True,
        disk_bytes=0,
        checkpoint_bytes=0,
        seconds=0.0,
        demand=found,
    )


def _disk(found: Demand, workload: Workload, memory: MemoryEstimate) -> tuple[int, int]:
    """Bytes of the artifact and of checkpoints.

    Args:
        workload: of any of its tasks: each has all heads.
    """
    spec = found.spec
    if not found.is_training:
        return 0, 0
    width = 2 if spec.training.master_weights == "bf16" else _BYTES_OF_FP32
    copies = 2 if spec.training.select == "best" else 1
    checkpoint = _CHECKPOINTS * (copies * width * trained_parameters(workload) + memory.optimizer)
    return width * _trained(found, workload), checkpoint


def _trained(found: Demand, workload: Workload) -> int:
    """Parameters that train, the whole table's among them: one that was trimmed is written back."""
    return trained_parameters(replace(workload, fields=found.spec.declaration.known_fields()))


def _advice(
    costs: Iterable[RunCost], memory_bytes: int | None, estimates: Estimates
) -> dict[tuple[str, str, str], Advice]:
    """For each backbone, precision and method of which a run does not fit."""
    groups: dict[tuple[str, str, str], list[RunCost]] = defaultdict(list)
    for cost in costs:
        if not cost.demand.spec.is_adoption:
            groups[_group(cost.demand.spec)].append(cost)
    return {
        group: advise(
            [cost.demand for cost in members], memory_bytes, lambda workload: estimates.memory(workload).total
        )
        for group, members in groups.items()
        if memory_bytes is not None and any(cost.fits is False for cost in members)
    }


def _group(spec: RunSpec) -> tuple[str, str, str]:
    return spec.backbone, spec.precision, spec.method


def _cost_key(spec: RunSpec) -> tuple[Any, ...]:
    """Equal where two runs cost the same."""
    settings = (repr(sorted(spec.method_settings.items())), spec.training.model_dump_json())
    data = (tuple(ref.digest for ref in spec.data), bool(spec.vocabulary))
    return (*_group(spec), spec.backbone_digest, spec.phase, spec.task, spec.composition, *settings, *data)


def _all_splits(specs: Iterable[RunSpec]) -> tuple[SplitRef, ...]:
    """Everything that an experiment reads; while a search is on, its evaluations are in the vocabulary only."""
    return tuple(dict.fromkeys(ref for spec in specs for ref in (*spec.data, *spec.vocabulary)))
