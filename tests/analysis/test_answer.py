"""The answer in words: one sentence with its interval, correct, and no more than the runs say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from adapter_transfer.analysis.answer import find_answer
from adapter_transfer.analysis.answers import AnswerTable
from adapter_transfer.analysis.summaries import summarise
from adapter_transfer.experiments.results import Result, RunRecord

TARGET = "micro-copa"
Grid = Callable[..., list[Result]]
Answered = Callable[[list[Result]], AnswerTable]


def test_the_sentence_gives_each_slope_with_its_interval(grid: Grid, answered: Answered) -> None:
    results = grid(seeds=[1, 2, 3])
    answer = find_answer(summarise(results), answered(results), TARGET)
    full, adapter = answer.amplifications
    assert full.slope.accuracy is not None and full.slope.accuracy.interval is not None
    low, high = full.slope.accuracy.interval.low, full.slope.accuracy.interval.high
    assert low < full.slope.accuracy.value < high
    assert f"[{100 * low:+.1f}, {100 * high:+.1f}] points with full" in answer.sentence
    assert answer.sentence.startswith(
        "For each tenfold of parameters, the gain of next-event on micro-copa changes by "
    )
    assert answer.caveats == (
        "Averaged over 3 languages never fine-tuned on: qa, qb, qc. In brackets: 95 % intervals over test items and "
        "3 seeds.",
    )
    for found in (full, adapter):
        excluded = [effect.interval.low > 0 for effect in found.slope.effects.values() if effect.interval is not None]
        assert len(excluded) == 3 and found.verdict == ("amplifies" if all(excluded) else "undecided")
    assert len(answer.items) == 2


def test_gains_are_those_of_the_records(grid: Grid, answered: Answered) -> None:
    results = grid(seeds=[1, 2, 3])
    summary = summarise(results)
    answer = find_answer(summary, answered(results), TARGET)
    main = summary.main_set(TARGET)
    assert main is not None
    for cell, gain in answer.gains.items():
        assert gain.value == pytest.approx(summary.gain(cell, main).mean, abs=1e-9)
        assert gain.interval is not None and gain.interval.low < gain.interval.high


@pytest.mark.parametrize("seeds", [[1], [1, 2]])
def test_below_three_seeds_there_is_no_interval_and_the_reason_is_told(
    grid: Grid, answered: Answered, seeds: list[int]
) -> None:
    results = grid(seeds=seeds)
    answer = find_answer(summarise(results), answered(results), TARGET)
    assert "[" not in answer.sentence and "brackets" not in answer.caveats[0]
    assert "cannot say whether scale amplifies it" in answer.sentence
    assert all(found.verdict == "unknown" for found in answer.amplifications)
    assert any("cannot be told from fewer than 3" in caveat for caveat in answer.caveats)


def test_one_scale_says_nothing_about_scale(grid: Grid, answered: Answered) -> None:
    results = grid(scales=["nano"], seeds=[1, 2, 3])
    answer = find_answer(summarise(results), answered(results), TARGET)
    assert answer.sentence.startswith("With runs at one scale (nano) nothing can be said about scale")
    assert "tenfold" not in answer.sentence
    assert all("one scale says nothing about scale" in item for item in answer.items)


def test_ways_at_one_scale_each_say_nothing_about_scale(grid: Grid, answered: Answered) -> None:
    wanted = {("nano", "full"), ("micro", "seq_bn")}
    results = [result for result in grid(seeds=[1, 2, 3]) if (result.backbone, result.method) in wanted]
    answer = find_answer(summarise(results), answered(results), TARGET)
    assert answer.sentence.startswith("With no way of transferring at two sizes (nano, micro) nothing can be said")
    assert "with full after next-event on nano and " in answer.sentence


def test_without_the_answers_there_are_values_and_no_intervals(grid: Grid) -> None:
    answer = find_answer(summarise(grid(seeds=[1, 2, 3])), None, TARGET)
    assert all(gain.value is not None and gain.interval is None for gain in answer.gains.values())
    assert "The answers to single items were not read" in answer.caveats[1]


def test_a_control_stands_on_no_line(grid: Grid, answered: Answered) -> None:
    results = grid(seeds=[1, 2, 3])
    answer = find_answer(summarise(results), answered(results), TARGET, random_backbones=["mini"])
    assert not any("mini" in item for item in answer.items)
    only = find_answer(summarise(grid(scales=["nano"])), None, TARGET, random_backbones=["nano"])
    assert "control with random weights" in only.sentence and not only.items


def test_what_is_missing_is_named(grid: Grid, answered: Answered, run: Callable[..., RunRecord]) -> None:
    results = [found for found in grid(seeds=[1, 2, 3]) if (found.backbone, found.intermediate) != ("micro", "none")]
    answer = find_answer(summarise(results), answered(results), TARGET)
    assert answer.items[0].endswith("No gain yet on micro.")
    assert answer.amplifications[0].slope.scales == ("nano", "mini")
    alone = [found for found in results if found.intermediate == "none"]
    assert "without an intermediate, so there is no gain" in find_answer(summarise(alone), None, TARGET).sentence
    lone = [found for found in results if found.intermediate != "none"]
    assert "gives no gain yet: no finished run of" in find_answer(summarise(lone), answered(lone), TARGET).sentence
    empty = find_answer(summarise([], [run(status="todo")]), None, TARGET)
    assert empty.sentence == "No run on micro-copa has been evaluated yet, so there is no answer."


def test_degenerate_runs_are_counted_and_taken_out_beside(grid: Grid, answered: Answered) -> None:
    results = [
        replace(found, accuracy=0.5, num_correct=250, constant_predictions=True)
        if (found.backbone, found.method, found.intermediate, found.seed) == ("nano", "full", "none", 1)
        else found
        for found in grid(seeds=[1, 2, 3, 4])
    ]
    summary = summarise(results)
    answer = find_answer(summary, answered(results), TARGET)
    assert len(answer.degenerate) == 1
    assert any(caveat.startswith("1 run of 1 cell learned nothing") for caveat in answer.caveats)
    (nano,) = [cell for cell in answer.gains if (cell.backbone, cell.method) == ("nano", "full")]
    assert (answer.gains[nano].num_seeds, answer.sound_gains[nano].num_seeds) == (4, 3)
    assert answer.gains[nano].value != pytest.approx(answer.sound_gains[nano].value)
    assert "without degenerate runs" in [other.name for other in answer.amplifications[0].sensitivities]


def test_many_ways_make_one_sentence(grid: Grid, answered: Answered) -> None:
    results = grid(seeds=[1, 2, 3], intermediates=["none", "next-event", "event-nli"])
    answer = find_answer(summarise(results), answered(results), TARGET)
    numbers = [
        sum(found.verdict == verdict for found in answer.amplifications) for verdict in ("amplifies", "undecided")
    ]
    told = f"Of 4 ways of transferring, the gain on micro-copa grows with scale in {numbers[0]}"
    assert answer.sentence.startswith(told) and f"is undecided in {numbers[1]};" in answer.sentence
    assert len(answer.sentence) < 500
    assert any("4 ways of transferring have a verdict each" in told for told in answer.caveats) == bool(numbers[0])


def test_a_capacity_control_stands_in_for_none(grid: Grid, answered: Answered) -> None:
    results = grid(seeds=[1, 2, 3], intermediates=["none", "next-event", "next-event-shuffled-labels"])
    answer = find_answer(summarise(results), answered(results), TARGET)
    real = [found for found in answer.amplifications if found.series.intermediate == "next-event"]
    names = [other.name for other in real[0].sensitivities]
    assert "against the capacity control in place of none" in names
    assert len(answer.controls) == 2 and not any("shuffled" in item for item in answer.items)


def test_runs_on_other_items_are_left_out_and_named(grid: Grid, answered: Answered) -> None:
    results = grid(seeds=[1, 2, 3])
    table = answered(results)
    cell = next(cell for cell, _, _ in table.correct if cell.intermediate != "none")
    kept = {key: value for key, value in table.correct.items() if key[:2] != (cell, 2)}
    fewer = AnswerTable(table.items, kept, ("seed 2 was scored on other items",))
    answer = find_answer(summarise(results), fewer, TARGET)
    assert answer.gains[cell].num_seeds == 2 and answer.gains[cell].interval is None
    assert "Left out: seed 2 was scored on other items." in answer.caveats
    assert np.isfinite(answer.gains[cell].value or 0.0)


def test_one_pulled_training_below_all_seeds_is_told(
    grid: Grid, answered: Answered, run: Callable[..., RunRecord]
) -> None:
    results, name = grid(seeds=[1, 2, 3]), "next-event"

    def adopted(seed: int, digest: str) -> RunRecord:
        return run(phase="intermediate", intermediate=name, seed=seed, metrics={"adopted": {"digest": digest}})

    shared = summarise(results, [adopted(1, "a"), adopted(2, "a"), adopted(3, "a")])
    own = summarise(results, [adopted(1, "a"), adopted(2, "b"), adopted(3, "c")])
    told = [
        any("one training of it stands below all seeds" in each for each in found.caveats)
        for found in (find_answer(summary, answered(results), TARGET) for summary in (shared, own))
    ]
    assert told == [True, False]
