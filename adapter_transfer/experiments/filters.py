"""Choosing results by what they are of: names are checked before anything is left out. No torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import get_args

from adapter_transfer.backbones.zoo import BACKBONES, Precision
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.experiment import INTERMEDIATE_TASKS, TARGET_TASKS
from adapter_transfer.experiments.records import Result
from adapter_transfer.languages import expand_languages
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.composition import ResolvedComposition
from adapter_transfer.registry import unknown_name_message
from adapter_transfer.tasks.mixtures import members

_CHOICES: Mapping[str, Collection[str]] = {
    "backbone": BACKBONES,
    "precision": get_args(Precision),
    "method": METHODS,
    "composition": get_args(ResolvedComposition),
    "intermediate": ("none", *INTERMEDIATE_TASKS),
    "target": TARGET_TASKS,
}
"""Filter → what it may name; languages have sets and are checked by their own."""


def check_filters(named: Mapping[str, Sequence[str] | None], there: Sequence[Result]) -> None:
    """Passes filters (field of a result → names) of which every name is known, here or in the results.

    Raises:
        ConfigError: with every name that there is not, and the nearest that there is.
    """
    # Users' own backbones are known by their results alone.
    known = {key: dict.fromkeys((*names, *(getattr(r, key) for r in there))) for key, names in _CHOICES.items()}
    problems = [
        unknown_name_message(key, name, known[key])
        for key, names in named.items()
        for name in names or ()
        if name not in known[key] and not (key in ("intermediate", "target") and _is_made_of_tasks(name))
    ]
    if problems:
        raise ConfigError(problems)


def chosen_results(
    there: Sequence[Result],
    named: Mapping[str, Sequence[str] | None],
    languages: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[Result]:
    """The results that every filter lets through; one that names nothing lets all.

    Args:
        named: field of a result (backbone, precision, method, composition, intermediate, target) → names.
        languages: codes, and names of sets of languages.

    Raises:
        ConfigError: with every name that there is not, and the nearest that there is.
    """
    check_filters(named, there)
    wanted = {**named, "language": expand_languages(languages), "seed": seeds}
    return [r for r in there if all(not values or getattr(r, key) in values for key, values in wanted.items())]


def _is_made_of_tasks(name: str) -> bool:
    """Whether it names a control or a mixture, which nobody lists."""
    try:
        return bool(members(name))
    except ConfigError:
        return False
