"""What to change so that runs fit a card, as lines of a configuration: what costs least comes first. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapter_transfer.backbones.zoo import BACKBONES, QUANTIZED
from adapter_transfer.experiments.demands import NO_CHANGE, Change, Demand
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.training.memory import Workload

Needs = Callable[[Workload], int]
"""Workload → bytes that a card must have."""

LEAST_BUDGET = 256
_COMFORTABLE_BUDGET = 1024
"""Below it, matrices get so small that a card waits; recomputing layers costs less."""

ADAPTERS = "seq_bn"
"""The method that is named where full fine-tuning cannot be made to fit."""

_EIGHT_BITS: Mapping[str, Any] = {"optimizer": "adamw-8bit"}
IN_BACKWARD: Mapping[str, Any] = {
    **_EIGHT_BITS,
    "update": "backward",
    "master_weights": "bf16",
    "max_grad_norm": None,
}


@dataclass(frozen=True)
class Advice:
    """What to change in a configuration.

    Attributes:
        rules: entries for `training`.
        trims: `trim_vocabulary: true`.
        precisions: (backbone as it is written, precision) to take in place of what is there.
        despair: what to say where nothing of this helps.
    """

    rules: tuple[str, ...] = ()
    trims: bool = False
    precisions: tuple[tuple[str, str], ...] = ()
    despair: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Lines of a configuration."""
        lines = [f"# {line}" for line in self.despair]
        if self.rules:
            lines += ["training:", *(f"  - {rule}" for rule in self.rules)]
        if self.trims:
            lines.append("trim_vocabulary: true")
        if self.precisions:
            lines.append("backbones:")
            for name in dict.fromkeys(name for name, _ in self.precisions):
                chosen = ", ".join(precision for other, precision in self.precisions if other == name)
                lines.append(f"  - {{{name}, precisions: [{chosen}]}}")
        return "\n".join(lines)


def together(advice: Iterable[Advice]) -> Advice:
    """Several pieces of advice as one."""
    found = list(advice)
    return Advice(
        rules=tuple(dict.fromkeys(rule for one in found for rule in one.rules)),
        trims=any(one.trims for one in found),
        precisions=tuple(dict.fromkeys(pair for one in found for pair in one.precisions)),
        despair=tuple(dict.fromkeys(line for one in found for line in one.despair)),
    )


def advise(demands: Sequence[Demand], memory_bytes: int, needs: Needs) -> Advice:
    """What to change so that runs of one backbone, precision and method fit.

    Only what changes no result comes first (a trimmed table, smaller micro-batches, recomputed layers), then what
    changes it a little (8-bit moments; another precision of a frozen backbone), then what gives something up.

    Args:
        demands: those runs, of which one does not fit at least.
        memory_bytes: of the card.
    """
    # The largest run first: most changes are refused by it alone.
    ordered = sorted(demands, key=lambda demand: max(map(needs, demand.workloads())), reverse=True)

    def fits(change: Change) -> bool:
        return all(needs(workload) <= memory_bytes for demand in ordered for workload in demand.workloads(change))

    for changes in _changes(ordered):
        # Not always is less needed for smaller micro-batches: gradients lie there between them.
        if fits(changes[0]) or fits(changes[-1]):
            return _written(ordered[0].spec, next(change for change in changes if fits(change)))
    return _last_resort(ordered, needs)


def _changes(demands: Sequence[Demand]) -> Iterator[Sequence[Change]]:
    """What could be changed, cheapest first; of each, the same with ever smaller micro-batches."""
    spec = demands[0].spec
    could_trim = not spec.vocabulary
    budget = max(demand.budget() for demand in demands)
    for level in _levels(spec):
        updates_at_once = level.training.get("update", spec.training.update) == "backward"
        for recomputes, trims, least in (
            (False, False, _COMFORTABLE_BUDGET),
            (False, True, _COMFORTABLE_BUDGET),
            (True, False, LEAST_BUDGET),
            (True, True, LEAST_BUDGET),
        ):
            if (trims and not could_trim) or (recomputes and spec.training.gradient_checkpointing):
                continue
            training = {**level.training, **({"gradient_checkpointing": True} if recomputes else {})}
            smaller = [] if updates_at_once else _smaller_budgets(budget, least)
            yield [
                Change(training, level.precision, trims),
                *(Change({**training, "token_budget": tokens}, level.precision, trims) for tokens in smaller),
            ]


def _levels(spec: RunSpec) -> Iterator[Change]:
    """From what changes nothing to what gives most up."""
    yield NO_CHANGE
    method = METHODS[spec.method]
    if method.kind == "full":
        if spec.training.update == "step" and spec.training.master_weights == "fp32":
            if spec.training.optimizer == "adamw":
                yield Change(_EIGHT_BITS)
            if spec.precision in ("bf16", "fp32"):
                yield Change(IN_BACKWARD, precision=None if spec.precision == "bf16" else "bf16")
        return
    if spec.precision == "fp32":
        yield Change(precision="bf16")
    if spec.precision not in QUANTIZED and "nf4" not in method.refused_precisions:
        yield Change(precision="nf4")


def _smaller_budgets(budget: int, least: int) -> Iterator[int]:
    while budget // 2 >= least:
        budget //= 2
        yield budget


def _written(spec: RunSpec, change: Change) -> Advice:
    rules, precisions = [], []
    if change.training:
        values = ", ".join(f"{name}: {_value(value)}" for name, value in change.training.items())
        rules.append(f"{{when: {{method: {spec.method}, backbone: {spec.backbone}}}, {values}}}")
    if change.precision is not None:
        own = "" if spec.backbone in BACKBONES else f", model: {spec.declaration.source}"
        precisions.append((f"name: {spec.backbone}{own}", change.precision))
    return Advice(tuple(rules), change.trims, tuple(precisions))


def _value(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _last_resort(demands: Sequence[Demand], needs: Needs) -> Advice:
    """What to say where nothing helps."""
    spec = demands[0].spec
    adapters = METHODS[ADAPTERS]
    small = Change({"gradient_checkpointing": True, "token_budget": LEAST_BUDGET}, "nf4", trims=True)
    settings = adapters.parse_settings({}).model_dump(mode="json")
    plain = {name: type(spec.training).model_fields[name].default for name in ("optimizer", "update", "master_weights")}
    others = (
        replace(
            demand,
            spec=replace(
                demand.spec,
                method=ADAPTERS,
                method_settings=settings,
                composition="none",
                training=demand.spec.training.model_copy(update=plain),
            ),
        )
        for demand in demands
    )
    least = max(needs(workload) for other in others for workload in other.workloads(small))
    return Advice(
        despair=(
            f"{spec.method} on {spec.backbone} does not fit; even {ADAPTERS} on nf4 needs {least / 2**30:.1f} GiB",
        )
    )
