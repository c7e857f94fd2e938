"""What spoils an experiment's answer although every run of it is sound: said by `plan` and in the report. No torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from adapter_transfer.experiments.runs import RunSpec


def experiment_caveats(specs: Iterable[RunSpec], *, is_tuned: bool) -> tuple[str, ...]:
    """Caveats about the runs of one experiment.

    Args:
        is_tuned: the experiment searches for its hyper-parameters in every cell.
    """
    trained = [spec for spec in specs if spec.phase == "target"]
    return tuple(_fixed_rates(trained)) if not is_tuned else ()


def _fixed_rates(trained: Iterable[RunSpec]) -> Iterator[str]:
    rates: dict[str, dict[str, set[float]]] = defaultdict(lambda: defaultdict(set))
    for spec in trained:
        rates[spec.method][spec.backbone].add(spec.training.learning_rate)
    for method, by_scale in rates.items():
        distinct = {rate for found in by_scale.values() for rate in found}
        if len(by_scale) > 1 and len(distinct) == 1:
            yield (
                f"{method} has one learning rate ({distinct.pop():g}) at all {len(by_scale)} scales: a rate that suits "
                "some scales better than others shapes the slope by itself. Give each scale its own, or add `tune:`."
            )
