"""How well the runs of a bundle answer, language by language, as the report reckons it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from adapter_transfer.analysis.answers import read_answer_table
from adapter_transfer.analysis.effects import Effects
from adapter_transfer.analysis.run_descriptions import splits_of
from adapter_transfer.analysis.summaries import Cell, single, summarise
from adapter_transfer.experiments.data import SplitRef
from adapter_transfer.experiments.results import Result, read_results, without_repeats
from adapter_transfer.experiments.store import Store
from adapter_transfer.sharing.package import Score

_AS_PUBLISHED = "as-published"


@dataclass(frozen=True)
class Scored:
    """What is known of how well runs answer.

    Attributes:
        scores: by task and language, English first.
        items: the test splits behind them.
    """

    scores: tuple[Score, ...] = ()
    items: tuple[SplitRef, ...] = ()


def score_runs(store: Store, run_ids: Collection[str]) -> Scored:
    """The scores of exactly these runs of one cell, from the store's evaluations of them.

    Intervals are the report's (`statistics.intervals`): over items and seeds, none below three seeds. Where runs were
    evaluated on several versions of the items, the one that most of them answered counts, repaired before as published.

    Raises:
        StoreError: if the store's folder, or an evaluation in it, cannot be read.
    """
    found = without_repeats(result for result in read_results(store) if result.target_run in run_ids)
    results = list(_on_one_version(found))
    if not results:
        return Scored()
    summary = summarise(results)
    scores: list[Score] = []
    for target in summary.targets:
        effects = Effects(summary, read_answer_table(store, summary, target))
        for cell in summary.cells_of(target):
            scores += [_score(effects, cell, language) for language in summary.languages(target)]
    used = {(result.target, result.language): result.run for result in results}
    return Scored(tuple(scores), tuple(_items(store, used.items())))


def _on_one_version(results: Sequence[Result]) -> Iterator[Result]:
    by_language: dict[tuple[str, str], dict[str, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        by_language[result.target, result.language][result.data].append(result)
    for versions in by_language.values():
        yield from min(versions.values(), key=_rank)


def _rank(results: Sequence[Result]) -> tuple[bool, int, str]:
    return results[0].question_field == _AS_PUBLISHED, -len(results), results[0].data


def _score(effects: Effects, cell: Cell, language: str) -> Score:
    results = [found[language] for found in effects.summary.scores[cell].values() if language in found]
    effect = effects.accuracy(cell, single(language))
    # Without the answers to single items there is still the mean, and no interval.
    value = statistics.fmean(result.accuracy for result in results) if effect.value is None else effect.value
    interval = effect.interval
    return Score(
        task=cell.target,
        language=language,
        value=value,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        num_items=results[0].num_items,
        num_seeds=len(results) if effect.value is None else effect.num_seeds,
        chance=results[0].chance,
    )


def _items(store: Store, used: Iterable[tuple[tuple[str, str], str]]) -> Iterator[SplitRef]:
    for (task, language), run_id in used:
        refs = splits_of(store.read(run_id))
        yield from (ref for ref in refs if (ref.task, ref.split, ref.language) == (task, "test", language))
