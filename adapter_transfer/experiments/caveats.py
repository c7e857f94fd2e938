"""What spoils an experiment's answer although every run of it is sound: said by `plan` and in the report. No torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.tune import Tune
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.mixtures import is_mixture
from adapter_transfer.training.settings import TrainingSettings


def experiment_caveats(specs: Iterable[RunSpec], tune: Tune | None = None) -> tuple[str, ...]:
    """Caveats about the runs of one experiment.

    Learning rates that several scales share and nobody searched for, precisions and optimizers that vary with scale,
    what memory-saving training gives up, controls of another size than what they are a control of, and what was pulled.

    Args:
        tune: the experiment's search.
    """
    specs = list(specs)
    trained = [spec for spec in specs if spec.is_training]
    return (
        *_shared_rates(trained, tune),
        *_precisions(trained),
        *_optimizers(trained),
        *_given_up(trained),
        *_unequal_controls(trained),
        *_adopted(spec for spec in specs if spec.is_adoption),
    )


def _shared_rates(trained: Iterable[RunSpec], tune: Tune | None) -> Iterator[str]:
    scales: dict[tuple[str, str, float], dict[str, None]] = defaultdict(dict)
    for spec in trained:
        if not _is_searched(spec, tune):
            scales[spec.method, spec.phase, spec.training.learning_rate][spec.backbone] = None
    for (method, phase, rate), names in scales.items():
        if len(names) > 1:
            yield (
                f"{method} has one learning rate ({rate:g}) in the {phase} phase of {', '.join(names)}: a rate that "
                "suits some scales better than others shapes the slope by itself. Give each scale its own, or search "
                "with `tune:`."
            )


def _is_searched(spec: RunSpec, tune: Tune | None) -> bool:
    if tune is None or spec.phase not in tune.phases:
        return False
    return any("learning_rate" in trial.changes() for trial in tune.of(spec.method))


def _precisions(trained: Iterable[RunSpec]) -> Iterator[str]:
    for methods, groups in _by_scale(trained, lambda spec: spec.precision):
        yield (
            f"precision varies with scale for {methods} ({groups}): between these groups, a difference or a slope "
            "mixes precision with size. Scales of one precision compare; to compare them all, give them one that fits "
            "the largest (nf4)."
        )


def _optimizers(trained: Iterable[RunSpec]) -> Iterator[str]:
    for methods, groups in _by_scale(trained, lambda spec: _optimizer(spec.training)):
        yield (
            f"the optimizer varies with scale for {methods} ({groups}): between these groups, a difference or a slope "
            "mixes optimizer with size."
        )


def _by_scale(trained: Iterable[RunSpec], kind: Callable[[RunSpec], str]) -> Iterator[tuple[str, str]]:
    """Methods whose scales are not all of the same kinds, with the scales of each kind, both as text."""
    kinds: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    for spec in trained:
        kinds[spec.method][spec.backbone][kind(spec)] = None
    alike: dict[str, list[str]] = defaultdict(list)
    for method, scales in kinds.items():
        if len({frozenset(found) for found in scales.values()}) > 1:
            groups: dict[str, list[str]] = defaultdict(list)
            for backbone, found in scales.items():
                for name in found:
                    groups[name].append(backbone)
            alike["; ".join(f"{name}: {', '.join(there)}" for name, there in groups.items())].append(method)
    for text, methods in alike.items():
        yield ", ".join(methods), text


def _optimizer(training: TrainingSettings) -> str:
    weights = ", bf16 weights" if training.master_weights == "bf16" else ""
    update = " inside the backward pass" if training.updates_in_backward else ""
    return f"{training.optimizer}{update}{weights}"


def _unequal_controls(trained: Iterable[RunSpec]) -> Iterator[str]:
    """Controls that are trained on more or fewer examples, and so in more or fewer steps, than their base is."""
    sizes: dict[str, int] = {}
    for spec in trained:
        if not is_mixture(spec.task):  # those are made of controls with as many examples each
            most, there = spec.training.max_train_examples, spec.data[0].num_examples
            sizes.setdefault(spec.task, there if most is None else min(most, there))
    for name, size in sizes.items():
        base = TASKS[name].base.name
        if base != name and base in sizes and sizes[base] != size:
            yield (
                f"{name} is trained on {size:,} examples, and {base} on {sizes[base]:,}: they differ in the number of "
                "steps, too, and not only in what is learned. `max_train_examples` makes them equal."
            )


def _given_up(trained: Iterable[RunSpec]) -> Iterator[str]:
    """What full fine-tuning loses where it is made to fit a small card."""
    unclipped: dict[str, None] = {}
    rounded: dict[str, None] = {}
    for spec in trained:
        if spec.training.updates_in_backward:
            unclipped[f"{spec.method} of {spec.backbone}"] = None
        if spec.training.master_weights == "bf16":
            rounded[f"{spec.method} of {spec.backbone}"] = None
    if unclipped:
        yield (
            f"{', '.join(unclipped)}: weights are updated inside the backward pass (update: backward), so gradients "
            "are not clipped by their global norm."
        )
    if rounded:
        yield (
            f"{', '.join(rounded)}: weights are kept in bf16 and updates are rounded stochastically (master_weights: "
            "bf16); there are no fp32 master weights."
        )


def _adopted(adoptions: Iterable[RunSpec]) -> Iterator[str]:
    """What is not known of adapters that were pulled, or is less than of those that are trained here."""
    seeds: dict[str, dict[str, dict[int, None]]] = defaultdict(lambda: defaultdict(dict))
    unknown: dict[str, None] = {}
    told: dict[str, None] = {}
    precisions: dict[tuple[str, str, str], None] = {}
    for spec in adoptions:
        adopted = spec.adopted
        assert adopted is not None
        seeds[spec.intermediate][adopted.digest][spec.seed] = None
        (told if adopted.is_data_known else unknown)[spec.intermediate] = None
        if adopted.precision not in (None, spec.precision):
            precisions[spec.intermediate, str(adopted.precision), spec.precision] = None
    for name, trainings in seeds.items():
        for shared in trainings.values():
            if len(shared) > 1:
                yield (
                    f"{name}: one training of the intermediate stands below all seeds ({', '.join(map(str, shared))}); "
                    "the interval does not hold what another training of it would change."
                )
    for name in unknown:
        yield (
            f"{name}: what it was trained on is not known, or not all of it, so that a leak cannot be excluded: "
            "evaluated items may have been among it."
        )
    for name in (name for name in told if name not in unknown):
        yield (
            f"{name}: what it was trained on is what its author says. Going by that, no evaluated item is among it, "
            "which cannot be checked here."
        )
    for name, was, now in precisions:
        yield f"{name}: was trained on a backbone in {was}, and stands on one in {now} here."
