"""The answer in words: one sentence, then one for each way of transferring, and how far to trust them.

Every figure in them is an `Effect`, so that what has no interval says why, and nothing is imputed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from adapter_transfer.analysis.amplification import Amplification
from adapter_transfer.analysis.formats import interval_text, points
from adapter_transfer.analysis.summaries import LanguageSet, count
from adapter_transfer.tasks.controls import CONTROLS, control_of

if TYPE_CHECKING:
    from adapter_transfer.analysis.answer import Answer

CONTROLS_LEAD = "Controls, which an intermediate has to exceed before its gain says anything of what it teaches:"


def worded(answer: Answer, main: LanguageSet) -> Answer:
    """The answer with its sentences."""
    real = [found for found in answer.amplifications if control_of(found.series.intermediate) is None]
    controls = [found for found in answer.amplifications if control_of(found.series.intermediate) is not None]
    caveats = (_basis(answer, main), *_caveats(answer))
    if not answer.amplifications:
        why = next(
            (effect.reason for effect in answer.gains.values() if effect.value is None and effect.reason),
            "no seed was evaluated both with and without an intermediate",
        )
        told = f"What is finished on {answer.target} gives no gain yet: {why}."
        return replace(answer, sentence=told, caveats=caveats)
    items = tuple(_item(answer, found) for found in real)
    told_controls = tuple(_item(answer, found) for found in controls)
    if not real:
        told = f"Every intermediate with a gain on {answer.target} is a control, so no answer is drawn."
        return replace(answer, sentence=told, controls=told_controls, caveats=caveats)
    sentence = _sentence(answer, real)
    return replace(answer, sentence=sentence, items=items, controls=told_controls, caveats=caveats)


def _sentence(answer: Answer, found: Sequence[Amplification]) -> str:
    what = _what(answer.target)
    if all(not one.slope.effects for one in found):
        gains = [(one, cell) for one in found for cell in one.series.cells if answer.gains[cell].value is not None]
        scales = tuple(dict.fromkeys(cell.backbone for _, cell in gains))
        told = [
            f"{interval_text(answer.gains[cell])} with {_way(answer, one)}" + f" on {cell.backbone}" * (len(scales) > 1)
            for one, cell in gains[:_MOST]
        ]
        more = f", and {len(gains) - _MOST} more below" if len(gains) > _MOST else ""
        lead = (
            f"With runs at one scale ({scales[0]})"
            if len(scales) == 1
            else f"With no way of transferring at two sizes ({', '.join(scales)})"
        )
        return f"{lead} nothing can be said about scale; there, the gain on {what} in points is {_and(told)}{more}."
    sloped = [one for one in found if one.slope.accuracy is not None]
    intermediates = dict.fromkeys(one.series.intermediate for one in sloped)
    if len(sloped) <= _MOST and len(intermediates) == 1:
        parts = [f"{_slope_text(one)} with {answer.name(one.series)}" for one in sloped]
        verdicts = _verdicts(sloped, [answer.name(one.series) for one in sloped])
        return (
            f"For each tenfold of parameters, the gain of {next(iter(intermediates))} on {what} changes by "
            f"{_and(parts)}: {verdicts}."
        )
    if len(sloped) <= _MOST:
        ways = [_way(answer, one) for one in sloped]
        parts = [f"{_slope_text(one)} with {way}" for one, way in zip(sloped, ways, strict=True)]
        verdicts = _verdicts(sloped, ways)
        return f"For each tenfold of parameters, the gain on {what} changes by {_and(parts)}: {verdicts}."
    return _numbers(answer, what, sloped)


def _numbers(answer: Answer, what: str, sloped: Sequence[Amplification]) -> str:
    """The sentence of more ways than it can name."""
    words = {"amplifies": "grows with scale", "dampens": "shrinks", "undecided": "is undecided"}
    parts = []
    for verdict, word in words.items():
        ways = [_way(answer, one) for one in sloped if one.verdict == verdict]
        names = f" ({_and(ways)})" if verdict != "undecided" and 0 < len(ways) <= _MOST else ""
        parts.append(f"{word} in {len(ways)}{names}")
    unknown = sum(one.verdict == "unknown" for one in sloped)
    parts += [f"has no interval in {unknown}"] if unknown else []
    values = [one.slope.accuracy.value or 0.0 for one in sloped if one.slope.accuracy is not None]
    return (
        f"Of {len(sloped)} ways of transferring, the gain on {what} {_and(parts)}; slopes lie between "
        f"{points(min(values))} and {points(max(values))} points per tenfold of parameters."
    )


def _way(answer: Answer, found: Amplification) -> str:
    return f"{answer.name(found.series)} after {found.series.intermediate}"


_MOST = 3
"""What one sentence, or one list of problems, can name; of more it gives the number."""

_VERDICTS = {
    "amplifies": "scale amplifies it",
    "dampens": "scale makes it smaller",
    "undecided": "no amplification is shown",
    "unknown": "these runs cannot say whether scale amplifies it",
}


def _verdicts(found: Sequence[Amplification], ways: Sequence[str]) -> str:
    verdicts = dict.fromkeys(one.verdict for one in found)
    if len(verdicts) == 1:
        text = _VERDICTS[found[0].verdict]
        return f"{text}, for any of them" if len(found) > 1 and found[0].verdict == "undecided" else text
    parts = []
    for verdict in verdicts:
        names = [way for one, way in zip(found, ways, strict=True) if one.verdict == verdict]
        parts.append(f"{_VERDICTS[verdict]} with {_and(names)}")
    return "; ".join(parts)


def _item(answer: Answer, found: Amplification) -> str:
    gains = [(cell, answer.gains[cell]) for cell in found.series.cells]
    figures = ", ".join(f"{interval_text(gain)} on {cell.backbone}" for cell, gain in gains if gain.value is not None)
    text = f"{answer.name(found.series)} after {found.series.intermediate}: gain {figures} (points)."
    missing = [cell.backbone for cell, gain in gains if gain.value is None]
    if found.slope.accuracy is not None:
        text += f" Slope {_slope_text(found)}: {_VERDICTS[found.verdict]}, because {found.reason}."
    else:
        text += f" No slope: {found.reason}."
    return f"{text} No gain yet on {', '.join(missing)}." if missing else text


def _slope_text(found: Amplification) -> str:
    slope = found.slope.accuracy
    return (
        f"{interval_text(slope)} points"
        if slope is not None and slope.value is not None
        else "nothing that can be told"
    )


def _basis(answer: Answer, main: LanguageSet) -> str:
    """What the figures are of, and what their brackets are, where there are any."""
    told = f"{_where(main)[0].upper()}{_where(main)[1:]}."
    if any(effect.interval is not None for effect in answer.gains.values()):
        seeds = sorted({effect.num_seeds for effect in answer.gains.values() if effect.interval is not None})
        number = count(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
        told += f" In brackets: 95 % intervals over test items and {number}."
    return told


def _caveats(answer: Answer) -> tuple[str, ...]:
    found = []
    reasons = dict.fromkeys(
        effect.reason for effect in answer.gains.values() if effect.value is not None and effect.interval is None
    )
    found += [f"{reason[0].upper()}{reason[1:]}." for reason in reasons]
    summary = answer.effects.summary
    num_runs = sum(len(summary.scores[cell]) for cell in summary.cells_of(answer.target))
    if answer.degenerate and len(answer.degenerate) == num_runs:
        found.append("Every run learned nothing (degenerate), so no figure here says what an intermediate does.")
    elif answer.degenerate:
        cells = len({cell for cell, _ in answer.degenerate})
        found.append(
            f"{count(len(answer.degenerate), 'run')} of {count(cells, 'cell')} learned nothing (degenerate) and "
            f"{'is' if len(answer.degenerate) == 1 else 'are'} part of every figure; the tables give gains and "
            "slopes without them, too."
        )
    shared = sorted({cell.intermediate for cell in answer.gains} & summary.shared_trainings)
    found += [
        f"{name} was pulled, and one training of it stands below all seeds: the interval does not hold what another "
        "training of it would change."
        for name in shared
    ]
    decided = sum(one.verdict in ("amplifies", "dampens") for one in answer.amplifications)
    if decided and len(answer.amplifications) > _MOST:
        found.append(
            f"{len(answer.amplifications)} ways of transferring have a verdict each, not corrected for their number: "
            "by itself each is wrong in at most 5 % of experiments, so of many some may be."
        )
    problems = answer.effects.answers.problems
    found += [f"Left out: {problem}." for problem in problems[:_MOST]]
    found += [f"{len(problems) - _MOST} more were left out."] if len(problems) > _MOST else []
    return tuple(found)


def _what(target: str) -> str:
    kind = control_of(target)
    return f"{target} (a control itself: {CONTROLS[kind]})" if kind is not None else target


def _where(languages: LanguageSet) -> str:
    if len(languages.languages) == 1:
        return f"in one language ({languages.languages[0]}) alone"
    codes = ", ".join(languages.languages)
    return f"averaged over {count(len(languages.languages), 'language')} never fine-tuned on: {codes}"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
