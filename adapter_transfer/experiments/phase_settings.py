"""The hyper-parameters of an experiment's trainings, for people: one entry for all seeds and cells alike. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from adapter_transfer.errors import UnknownNameError
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.training.recipes import Recipe, recipes_for
from adapter_transfer.training.settings import Phase, TrainingSettings


@dataclass(frozen=True)
class PhaseSettings:
    """How one phase is trained with one backbone and method.

    Attributes:
        cell: what else tells the training from others, where a search may choose otherwise for each cell.
        changed: every other hyper-parameter that is not at its default, and the method's settings, as `name value`.
        sources: of the shipped values that are in force, each with their names; empty where there are none.
    """

    phase: str
    task: str
    backbone: str
    method: str
    cell: str
    settings: TrainingSettings
    changed: tuple[str, ...]
    sources: tuple[str, ...]


_SHOWN = ("learning_rate", "batch_size", "epochs", "max_length")


def phase_settings(specs: Iterable[RunSpec], *, is_tuned: bool = False) -> tuple[PhaseSettings, ...]:
    """What is trained how, in the order of the runs.

    Args:
        is_tuned: hyper-parameters were searched for in each cell.
    """
    found: dict[PhaseSettings, None] = {}
    for spec in specs:
        if spec.phase == "evaluation" or spec.is_adoption:
            continue
        entry = PhaseSettings(
            phase=spec.phase,
            task=spec.task,
            backbone=spec.backbone,
            method=spec.method,
            cell=_cell(spec) if is_tuned else "",
            settings=spec.training,
            changed=(*_changed(spec.training), *(f"{name} {value}" for name, value in spec.method_settings.items())),
            sources=tuple(_sources(_recipes(spec, spec.phase), spec.training)),
        )
        found[entry] = None
    return tuple(found)


def _cell(spec: RunSpec) -> str:
    stands_on = "none" if spec.intermediate == "none" else f"{spec.intermediate} {spec.composition}"
    return spec.precision if spec.phase == "intermediate" else f"{spec.precision}, after {stands_on}"


def _recipes(spec: RunSpec, phase: Phase) -> Sequence[Recipe]:
    try:
        return recipes_for(phase=phase, method=spec.method, backbone=spec.backbone, task=spec.task)
    except UnknownNameError:  # a run from elsewhere, of a task that is not here: no value of it is shipped
        return ()


def _sources(recipes: Sequence[Recipe], settings: TrainingSettings) -> Iterable[str]:
    last = {name: recipe for recipe in recipes for name in recipe.values}
    for recipe in dict.fromkeys(recipes):
        names = [
            name for name, value in recipe.values.items() if last[name] is recipe and getattr(settings, name) == value
        ]
        if names:
            yield f"{', '.join(names)}: {recipe.source}"


def _changed(settings: TrainingSettings) -> Iterable[str]:
    for name, info in TrainingSettings.model_fields.items():
        value = getattr(settings, name)
        if name not in _SHOWN and value != info.default:
            yield f"{name} {value}"
