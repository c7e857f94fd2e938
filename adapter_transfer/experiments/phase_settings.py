"""The hyper-parameters of an experiment's trainings, for people: one entry for all seeds and cells alike. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.training.recipes import recipes_for
from adapter_transfer.training.settings import TrainingSettings


@dataclass(frozen=True)
class PhaseSettings:
    """How one phase is trained with one backbone and method.

    Attributes:
        changed: every other hyper-parameter that is not at its default, and the method's settings, as `name value`.
        sources: of the shipped values that came before the experiment's own rules; empty where there are none.
    """

    phase: str
    task: str
    backbone: str
    method: str
    settings: TrainingSettings
    changed: tuple[str, ...]
    sources: tuple[str, ...]


_SHOWN = ("learning_rate", "batch_size", "epochs", "max_length")


def phase_settings(specs: Iterable[RunSpec]) -> tuple[PhaseSettings, ...]:
    """What is trained how, in the order of the runs."""
    found: dict[PhaseSettings, None] = {}
    for spec in specs:
        if spec.phase == "evaluation":
            continue
        recipes = recipes_for(phase=spec.phase, method=spec.method, backbone=spec.backbone, task=spec.task)
        entry = PhaseSettings(
            phase=spec.phase,
            task=spec.task,
            backbone=spec.backbone,
            method=spec.method,
            settings=spec.training,
            changed=(*_changed(spec.training), *(f"{name} {value}" for name, value in spec.method_settings.items())),
            sources=tuple(dict.fromkeys(recipe.source for recipe in recipes)),
        )
        found[entry] = None
    return tuple(found)


def _changed(settings: TrainingSettings) -> Iterable[str]:
    for name, info in TrainingSettings.model_fields.items():
        value = getattr(settings, name)
        if name not in _SHOWN and value != info.default:
            yield f"{name} {value}"
