"""From results to cells: means over seeds, averages over languages, gains against `none` paired by seed.

Nothing is imputed. A seed that lacks a language of a set has no average over that set; a seed that only one side has
is left out of the gain and counted; a value that no run gave is None.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from adapter_transfer.analysis.degenerate import degenerate_reason
from adapter_transfer.experiments.results import Result, RunRecord
from adapter_transfer.languages import LANGUAGE_SETS, LANGUAGES

TRAINING_LANGUAGE = "en"
NO_INTERMEDIATE = "none"
ALONE = "alone"


@dataclass(frozen=True)
class Cell:
    """One combination of the grid; it has one run a seed."""

    backbone: str
    precision: str
    method: str
    composition: str
    intermediate: str
    target: str


@dataclass(frozen=True)
class LanguageSet:
    """Languages that are averaged, each with the same weight (macro average). A set of one is that language.

    Attributes:
        key: a language's code, "zero-shot", or a name of `LANGUAGE_SETS`.
        label: for people, with the number of languages where it is not one.
    """

    key: str
    label: str
    languages: tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """A figure with what stands behind it.

    Attributes:
        by_seed: seed → accuracy (0 to 1), or gain (difference of accuracies, −1 to 1).
        left_out: seeds that have no such figure: a language is missing, or the other side of the pair.
    """

    by_seed: Mapping[int, float]
    left_out: tuple[int, ...] = ()

    @property
    def num_seeds(self) -> int:
        return len(self.by_seed)

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.by_seed.values()) if self.by_seed else None

    @property
    def sd(self) -> float | None:
        """Standard deviation over seeds (n − 1), from two seeds on."""
        if self.num_seeds < 2:
            return None
        # Not `statistics.stdev`, which reckons in fractions: seconds for the tables of a large store.
        mean = statistics.fmean(self.by_seed.values())
        return math.sqrt(math.fsum((value - mean) ** 2 for value in self.by_seed.values()) / (self.num_seeds - 1))


@dataclass(frozen=True)
class Conflict:
    """Several runs that claim one cell and seed: other settings, data or versions. None of them is counted."""

    cell: Cell
    seed: int
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """Results by cell and seed; every figure is computed from here.

    Attributes:
        scores: cell → seed → language → result. Cells that are planned but have no result are there, empty.
        conflicts: what was left out because it is ambiguous.
        shared_trainings: pulled intermediates of which one training stands below several seeds.
    """

    scores: Mapping[Cell, Mapping[int, Mapping[str, Result]]]
    conflicts: tuple[Conflict, ...] = ()
    shared_trainings: frozenset[str] = frozenset()

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """In the order of tables: by target, precision, scale, method, then `none` first."""
        return tuple(sorted(self.scores, key=self._order))

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.target for cell in self.cells))

    def cells_of(self, target: str) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.target == target)

    def results_of(self, cell: Cell) -> list[Result]:
        """Every result of a cell that counts."""
        return self._results[cell]

    def chances(self, cell: Cell) -> frozenset[float]:
        """The accuracies of guessing in a cell's results: one, where every run was asked the same task."""
        return self._chances[cell]

    @cached_property
    def _results(self) -> dict[Cell, list[Result]]:
        return {
            cell: [result for languages in seeds.values() for result in languages.values()]
            for cell, seeds in self.scores.items()
        }

    @cached_property
    def _chances(self) -> dict[Cell, frozenset[float]]:
        return {cell: frozenset(result.chance for result in found) for cell, found in self._results.items()}

    def languages(self, target: str) -> tuple[str, ...]:
        """The languages in which any cell of a target was evaluated, English first, the others as registered."""
        present = {result.language for cell in self.cells_of(target) for result in self.results_of(cell)}
        known = [code for code in LANGUAGES if code in present]
        return (*known, *sorted(present.difference(known)))

    def zero_shot(self, target: str) -> LanguageSet | None:
        """Every evaluated language but the one that was trained on."""
        codes = tuple(code for code in self.languages(target) if code != TRAINING_LANGUAGE)
        if not codes:
            return None
        return LanguageSet("zero-shot", f"zero-shot ({count(len(codes), 'language')})", codes)

    def sets(self, target: str) -> tuple[LanguageSet, ...]:
        """English, zero-shot, and the named sets of which at least two languages are there and that say more."""
        present = self.languages(target)
        sets = [single(TRAINING_LANGUAGE)] if TRAINING_LANGUAGE in present else []
        zero_shot = self.zero_shot(target)
        if zero_shot is not None:
            sets.append(zero_shot)
            for name, codes in LANGUAGE_SETS.items():
                found = tuple(code for code in codes if code in present)
                if len(found) >= 2 and set(found) != set(zero_shot.languages):
                    of = str(len(found)) if len(found) == len(codes) else f"{len(found)} of {len(codes)}"
                    sets.append(LanguageSet(name, f"{name} ({of})", found))
        return tuple(sets)

    def main_set(self, target: str) -> LanguageSet | None:
        """What the answer is about: zero-shot, or English where nothing else was evaluated."""
        return self.zero_shot(target) or next(iter(self.sets(target)), None)

    def accuracy(self, cell: Cell, languages: LanguageSet) -> Estimate:
        """Accuracy of a cell, averaged over `languages` within each seed."""
        seeds = self.scores.get(cell, {})
        averages = {seed: _average(found, languages) for seed, found in seeds.items()}
        return _estimate(averages)

    def baseline(self, cell: Cell) -> Cell:
        """The cell without intermediate that a cell is compared with."""
        return Cell(cell.backbone, cell.precision, cell.method, NO_INTERMEDIATE, NO_INTERMEDIATE, cell.target)

    def gain(self, cell: Cell, languages: LanguageSet) -> Estimate:
        """Accuracy with the intermediate minus accuracy without, seed by seed, on equally many items.

        Raises:
            ValueError: if the cell has no intermediate.
        """
        if cell.intermediate == NO_INTERMEDIATE:
            raise ValueError(f"{cell} is a baseline, so it has no gain")
        with_, without = self.scores.get(cell, {}), self.scores.get(self.baseline(cell), {})
        gains: dict[int, float | None] = {}
        for seed in sorted({*with_, *without}):
            one, other = with_.get(seed, {}), without.get(seed, {})
            a, b = _average(one, languages), _average(other, languages)
            shared = [code for code in languages.languages if code in one and code in other]
            same = all(one[code].num_items == other[code].num_items for code in shared)
            gains[seed] = a - b if a is not None and b is not None and same else None
        return _estimate(gains)

    def degenerate(self, cell: Cell) -> dict[int, str]:
        """Seed → why that run is degenerate; only runs that were evaluated in English can be judged."""
        found = {}
        for seed, languages in self.scores.get(cell, {}).items():
            reason = degenerate_reason(languages[TRAINING_LANGUAGE]) if TRAINING_LANGUAGE in languages else None
            if reason is not None:
                found[seed] = reason
        return found

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return {cell.backbone: result.encoder_parameters for cell in self.scores for result in self.results_of(cell)}

    def encoder_parameters(self, backbone: str) -> int | None:
        """None where no run of the backbone is done."""
        return self._sizes.get(backbone)

    def total_parameters(self, backbone: str) -> int | None:
        """None where no run of the backbone is done."""
        return self._totals.get(backbone)

    @cached_property
    def _totals(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for cell in self.cells:
            for result in self.results_of(cell):
                found.setdefault(cell.backbone, result.total_parameters)
        return found

    def _order(self, cell: Cell) -> tuple[object, ...]:
        return (
            cell.target,
            _rank(cell.precision, ("fp32", "bf16", "fp16", "int8", "nf4")),
            self._sizes.get(cell.backbone, float("inf")),  # of unknown size: last
            cell.backbone,
            _rank(cell.method, ("full",)),
            _rank(cell.intermediate, (NO_INTERMEDIATE,)),
            cell.composition,
        )


def summarise(results: Sequence[Result], runs: Collection[RunRecord] = ()) -> Summary:
    """Groups results by cell, seed and language.

    Args:
        results: of any number of experiments; those of one cell and seed have to come from one target run.
        runs: also planned ones, so that cells without any result are known to be missing.
    """
    grouped: dict[tuple[Cell, int], list[Result]] = defaultdict(list)
    for result in results:
        grouped[_cell_of(result), result.seed].append(result)
    scores: dict[Cell, dict[int, dict[str, Result]]] = {}
    for run in runs:
        if run.phase in ("target", "evaluation"):
            names = (run.backbone, run.precision, run.method, run.composition, run.intermediate, run.task)
            scores.setdefault(Cell(*names), {})
    conflicts = []
    for (cell, seed), found in sorted(grouped.items(), key=lambda item: item[0][1]):
        seeds = scores.setdefault(cell, {})
        if _is_ambiguous(found):
            conflicts.append(Conflict(cell, seed, tuple(sorted({result.run for result in found}))))
        else:
            seeds[seed] = {result.language: result for result in found}
    return Summary(scores, tuple(conflicts), _shared_trainings(runs))


def _shared_trainings(runs: Iterable[RunRecord]) -> frozenset[str]:
    seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
    for run in runs:
        if "adopted" in run.metrics:
            seeds[run.intermediate, run.metrics["adopted"]["digest"]].add(run.seed)
    return frozenset(name for (name, _), found in seeds.items() if len(found) > 1)


def single(language: str) -> LanguageSet:
    """One language as a set."""
    return LanguageSet(language, LANGUAGES[language].name if language in LANGUAGES else language, (language,))


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 seed, 2 seeds."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _cell_of(result: Result) -> Cell:
    names = (result.backbone, result.precision, result.method, result.composition, result.intermediate)
    return Cell(*names, result.target)


def _is_ambiguous(found: Sequence[Result]) -> bool:
    """Whether these do not come from one target run, or say two things about one language.

    One target run may be evaluated twice, on other sets of languages; where these overlap they have to agree.
    """
    scores = {(result.language, result.num_correct, result.num_items) for result in found}
    return len({result.target_run for result in found}) > 1 or len(scores) > len({language for language, *_ in scores})


def _average(found: Mapping[str, Result], languages: LanguageSet) -> float | None:
    if any(code not in found for code in languages.languages):
        return None
    return statistics.fmean(found[code].accuracy for code in languages.languages)


def _estimate(by_seed: Mapping[int, float | None]) -> Estimate:
    there = {seed: value for seed, value in sorted(by_seed.items()) if value is not None}
    return Estimate(there, tuple(sorted(seed for seed in by_seed if seed not in there)))


def _rank(name: str, first: Sequence[str]) -> tuple[int, str]:
    return (first.index(name) if name in first else len(first), name)
