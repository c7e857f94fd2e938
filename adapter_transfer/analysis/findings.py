"""What the records say, in plain sentences. They describe these runs; nothing here is a test or an interval."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

from adapter_transfer.analysis.formats import points
from adapter_transfer.analysis.summaries import ALONE, NO_INTERMEDIATE, Cell, Estimate, LanguageSet, Summary, count
from adapter_transfer.tasks.controls import CONTROLS, control_of


@dataclass(frozen=True)
class Finding:
    """The answer about one target task.

    Attributes:
        lead: what is answered, in a sentence.
        items: one sentence for each way of transferring.
        caveat: how far to trust it.
        controls: likewise for the intermediates that are controls, whose gain is none that a task brought.
    """

    lead: str
    items: tuple[str, ...]
    caveat: str
    controls: tuple[str, ...] = ()


CONTROLS_LEAD = "Controls, which an intermediate has to exceed before its gain says anything of what it teaches:"


@dataclass(frozen=True)
class Series:
    """One way of transferring at several scales: what a line in a plot is.

    Attributes:
        cells: one a scale, the smallest first.
    """

    target: str
    precision: str
    intermediate: str
    method: str
    composition: str
    cells: tuple[Cell, ...]


def series_of(summary: Summary, target: str, random_backbones: Collection[str] = ()) -> tuple[Series, ...]:
    """The cells with an intermediate, as lines over scales.

    Args:
        random_backbones: backbones that are no scale of the others (random weights) and so stand on no line.
    """
    grouped: dict[tuple[str, str, str, str], list[Cell]] = {}
    for cell in summary.cells_of(target):
        if cell.intermediate != NO_INTERMEDIATE and cell.backbone not in random_backbones:
            key = (cell.precision, cell.intermediate, cell.method, cell.composition)
            grouped.setdefault(key, []).append(cell)
    return tuple(Series(target, *key, tuple(cells)) for key, cells in grouped.items())


def find(summary: Summary, target: str, random_backbones: Collection[str] = ()) -> Finding:
    """Mean gain of each method at each scale on the languages that were not trained on."""
    main = summary.main_set(target)
    if main is None:
        return Finding(f"No run on {target} has been evaluated yet, so there is no finding.", (), "")
    if all(cell.composition == ALONE for cell in summary.cells_of(target)):
        lead = f"Intermediates alone were asked {target}, without a target phase: there is no baseline to gain over."
        return Finding(lead, (), "")
    series = series_of(summary, target, random_backbones)
    if not series and any(cell.intermediate != NO_INTERMEDIATE for cell in summary.cells_of(target)):
        lead = (
            f"Every cell with an intermediate on {target} is a control with random weights: its figures stand in the "
        )
        return Finding(f"{lead}tables, and no finding is drawn from them.", (), "")
    gains = {one: [(cell, summary.gain(cell, main)) for cell in one.cells] for one in series}
    told = {one: found for one, found in gains.items() if any(gain.by_seed for _, gain in found)}
    items = tuple(_sentence(one, found, series) for one, found in told.items() if control_of(one.intermediate) is None)
    controls = tuple(_sentence(one, found, series) for one, found in told.items() if control_of(one.intermediate))
    if not told:
        why = "has no seed with and without an intermediate" if series else "has no intermediate to compare with none"
        return Finding(f"What is finished on {target} {why}, so no gain can be given yet.", (), "")
    caveat = _caveat([gain for found in told.values() for _, gain in found if gain.by_seed])
    if not items:
        lead = f"Every intermediate with a gain on {target} is a control, so no finding is drawn, {_where(main)}."
        return Finding(lead, (), caveat, controls)
    what = f"{target} (a control itself: {CONTROLS[kind]})" if (kind := control_of(target)) else target
    lead = f"What training on an intermediate task first changed in accuracy on {what}, {_where(main)}:"
    return Finding(lead, items, caveat, controls)


def _where(languages: LanguageSet) -> str:
    if len(languages.languages) == 1:
        return f"in one language ({languages.languages[0]}) alone"
    codes = ", ".join(languages.languages)
    return f"averaged over {count(len(languages.languages), 'language')} never fine-tuned on ({codes})"


def _sentence(one: Series, found: list[tuple[Cell, Estimate]], series: tuple[Series, ...]) -> str:
    means = [(cell.backbone, gain.mean) for cell, gain in found if gain.mean is not None]
    missing = [cell.backbone for cell, gain in found if gain.mean is None]
    figures = ", ".join(f"{points(mean)} on {backbone}" for backbone, mean in means)
    text = f"{series_name(one, series)} after {one.intermediate}: {figures} (points). {_direction(means)}"
    return f"{text} No gain yet on {', '.join(missing)}." if missing else text


def series_name(one: Series, series: tuple[Series, ...]) -> str:
    """A series' method, with composition and precision where these tell it from another."""
    same = [other for other in series if (other.method, other.intermediate) == (one.method, one.intermediate)]
    name = one.method
    if len({other.composition for other in same}) > 1:
        name += f" · {one.composition}"
    if len({other.precision for other in series}) > 1:
        name += f" · {one.precision}"
    return name


def _direction(means: list[tuple[str, float]]) -> str:
    if len(means) < 2:
        return "With one scale, nothing can be said about scale."
    steps = [later - earlier for (_, earlier), (_, later) in pairwise(means)]
    if all(step > 0 for step in steps):
        return "In these runs the gain is larger at each larger scale."
    if all(step < 0 for step in steps):
        return "In these runs the gain is smaller at each larger scale."
    most = max(means, key=lambda item: item[1])[0]
    return f"In these runs the gain does not go one way with scale; it is largest on {most}."


def _caveat(gains: list[Estimate]) -> str:
    numbers = sorted({gain.num_seeds for gain in gains})
    seeds = count(numbers[0], "seed") if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds"
    return (
        f"Each figure is a mean over {seeds}, paired with the runs without intermediate. It describes these runs: no "
        "interval and no test stands behind it, and with so few seeds a difference of several points may be chance."
        if numbers[-1] < 10
        else f"Each figure is a mean over {seeds}, paired with the runs without intermediate. It describes these runs: "
        "no interval and no test stands behind it."
    )
