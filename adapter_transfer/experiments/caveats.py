"""What spoils an experiment's answer although every run of it is sound: said by `plan` and in the report. No torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.tune import Tune


def experiment_caveats(specs: Iterable[RunSpec], tune: Tune | None = None) -> tuple[str, ...]:
    """Caveats about the runs of one experiment: learning rates that several scales share and nobody searched for.

    Args:
        tune: the experiment's search.
    """
    scales: dict[tuple[str, str, float], dict[str, None]] = defaultdict(dict)
    for spec in specs:
        if spec.phase != "evaluation" and not _is_searched(spec, tune):
            scales[spec.method, spec.phase, spec.training.learning_rate][spec.backbone] = None
    return tuple(
        f"{method} has one learning rate ({rate:g}) in the {phase} phase of {', '.join(names)}: a rate that suits some "
        "scales better than others shapes the slope by itself. Give each scale its own, or search with `tune:`."
        for (method, phase, rate), names in scales.items()
        if len(names) > 1
    )


def _is_searched(spec: RunSpec, tune: Tune | None) -> bool:
    if tune is None or spec.phase not in tune.phases:
        return False
    return any("learning_rate" in trial.changes() for trial in tune.of(spec.method))
