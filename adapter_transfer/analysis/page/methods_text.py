"""The methods of these very runs in prose, to be pasted into a paper. Nothing is said that the records do not show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from adapter_transfer.analysis.answer import Answer
from adapter_transfer.analysis.formats import items_text, parameters_text
from adapter_transfer.analysis.selection import SELECTION_NOTE
from adapter_transfer.analysis.statistics.intervals import LEVEL, MIN_SEEDS, NUM_DRAWS
from adapter_transfer.analysis.summaries import ALONE, NO_INTERMEDIATE, Cell, count, single
from adapter_transfer.experiments.results import RunRecord
from adapter_transfer.sharing.references import is_hub_adapter
from adapter_transfer.tasks.controls import control_of

_PACKAGES = ("adapter-transfer", "torch", "transformers", "adapters")


def methods_text(answers: Sequence[Answer], runs: Sequence[RunRecord]) -> list[str]:
    """Paragraphs: what was trained and asked, how it was evaluated, and by what each figure was computed."""
    told = [_design(answer) for answer in answers if answer.languages is not None]
    if not told:
        return ["No run has been evaluated yet, so there are no methods to describe."]
    return [*told, SELECTION_NOTE, *_statistics(answers), *_software(runs)]


def _design(answer: Answer) -> str:
    summary = answer.effects.summary
    evaluated = [cell for cell in summary.cells_of(answer.target) if summary.results_of(cell)]
    # An intermediate alone is asked a target that it was not trained on.
    cells = [cell for cell in evaluated if cell.composition != ALONE]
    alone = list(dict.fromkeys(cell.intermediate for cell in evaluated if cell.composition == ALONE))
    untrained = [f"We asked {answer.target} of models trained on {_and(alone)} alone."] if alone else []
    if not cells:
        return untrained[0]
    results = [result for cell in cells for result in summary.results_of(cell)]
    sizes = {cell.backbone: summary.encoder_parameters(cell.backbone) for cell in cells}
    scales = [f"{name} ({parameters_text(size)})" for name, size in sizes.items() if size is not None]
    methods = list(dict.fromkeys(cell.method for cell in cells))
    precisions = list(dict.fromkeys(cell.precision for cell in cells))
    numbers = Counter(len(summary.scores[cell]) for cell in cells)
    fewest, most = min(numbers), max(numbers)
    each = count(most, "seed") if fewest == most else f"{fewest} to {most} seeds"
    seeds = sorted({seed for cell in cells for seed in summary.scores[cell]})
    codes = summary.languages(answer.target)
    chances = sorted({result.chance for result in results})
    told = (
        f"We fine-tuned {count(len(scales), 'encoder')} (encoder parameters in brackets: {_and(scales)}) in "
        f"{_and(precisions)} on {answer.target} with {_and(methods)}{_before(cells)}, {each} a cell "
        f"({_and(list(map(str, seeds)))}).{_pairing(cells)} We report accuracy on "
        f"{items_text({result.num_items for result in results}, len(codes))} test items (items × languages: "
        f"{', '.join(single(code).label for code in codes)}), chance being "
        f"{_and([f'{100 * chance:.0f} %' for chance in chances])}.{_averages(answer)}"
    )
    return " ".join([told, *untrained])


def _before(cells: Sequence[Cell]) -> str:
    names = [name for name in dict.fromkeys(cell.intermediate for cell in cells) if name != NO_INTERMEDIATE]
    pulled = [name for name in names if is_hub_adapter(name)]
    tasks = [name for name in names if control_of(name) is None and name not in pulled]
    controls = [name for name in names if control_of(name) is not None]
    told = [f"English intermediate training on {_and(tasks)}"] if tasks else []
    told += [f"training on the {'control' if len(controls) == 1 else 'controls'} {_and(controls)}"] if controls else []
    told += [f"taking over the pulled {'adapter' if len(pulled) == 1 else 'adapters'} {_and(pulled)}"] if pulled else []
    without = ", and without it (none)" if any(cell.intermediate == NO_INTERMEDIATE for cell in cells) else ""
    return f" after {_and(told)}{without}" if told else ""


def _pairing(cells: Sequence[Cell]) -> str:
    kinds = {cell.intermediate == NO_INTERMEDIATE for cell in cells}
    if False not in kinds:
        return ""
    compared = " and is compared with the run without of that seed" if True in kinds else ""
    return f" A run with an intermediate stands on the intermediate run of its own seed{compared}."


def _averages(answer: Answer) -> str:
    languages = answer.languages
    if languages is None or len(languages.languages) < 2:
        return ""
    names = _and([single(code).label for code in languages.languages])
    return f" Averages give each language the same weight; those in the answer are over {names}."


def _statistics(answers: Sequence[Answer]) -> list[str]:
    gains = [gain for answer in answers for gain in answer.gains.values() if gain.value is not None]
    if not gains:
        return []
    sizes = "all parameters" if any(answer.abscissa == "total" for answer in answers) else "the encoder's parameters"
    text = (
        "A gain is accuracy with the intermediate minus accuracy without, paired by item and seed. Its slope is that "
        f"of least squares on log₁₀ of {sizes}, in accuracy, in log odds and in log odds above chance; scale is said "
        "to amplify the gain only where the intervals of all three lie above zero, over the scales whose accuracies "
        "are above chance by two standard errors."
    )
    if any(gain.interval is not None for gain in gains):
        return [
            f"{text} Intervals ({100 * LEVEL:.0f} %) take items and seeds as crossed samples (Clark 1973), and are "
            f"given from {MIN_SEEDS} seeds on: the variance by items is that of bootstrap draws of items, each with "
            f"all its languages, cells and seeds ({NUM_DRAWS:,} draws in log odds, the limit of ever more draws in "
            "accuracy), that by seeds comes from the spread of paired runs less what single answers add to it, and "
            "the interval is a generalised one (Weerahandi 1993), which knows the seeds' variance only as well as so "
            "few tell it. p-values are those of the intervals, corrected by Holm's method within a family of "
            "comparisons; a sign-flip permutation test over run pairs stands beside them."
        ]
    reasons = dict.fromkeys(gain.reason for gain in gains if gain.reason)
    why = f" ({_and(list(reasons))})" if reasons else f"; they take {MIN_SEEDS} seeds"
    return [f"{text} No intervals are given{why}."]


def _software(runs: Sequence[RunRecord]) -> list[str]:
    parts = []
    for name in _PACKAGES:
        versions = sorted({run.versions[name] for run in runs if name in run.versions})
        if versions:
            parts.append(f"{name} {' and '.join(versions)}")
    return [f"Software: {', '.join(parts)}."] if parts else []


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
