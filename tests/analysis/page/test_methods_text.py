"""Methods to paste: what they say is true of the runs at hand, and nothing is said of what was not done."""

from __future__ import annotations

from collections.abc import Callable

from adapter_transfer.analysis.answer import find_answer
from adapter_transfer.analysis.answers import AnswerTable
from adapter_transfer.analysis.page.methods_text import methods_text
from adapter_transfer.analysis.summaries import summarise
from adapter_transfer.experiments.records import Result, RunRecord

TARGET = "micro-copa"
Grid = Callable[..., list[Result]]
Answered = Callable[[list[Result]], AnswerTable]


def told(results: list[Result], table: AnswerTable | None, *runs: RunRecord, abscissa: str = "encoder") -> str:
    answer = find_answer(summarise(results), table, TARGET, abscissa="total" if abscissa == "total" else "encoder")
    return "\n".join(methods_text([answer], runs))


def test_runs_are_described_as_they_are(grid: Grid, answered: Answered, run: Callable[..., RunRecord]) -> None:
    results = grid(seeds=(1, 2, 4))
    versions = [{"torch": "2.0", "adapters": "1.3"}, {"torch": "2.1", "adapters": "1.3"}]
    text = told(results, answered(results), *(run(number, versions=each) for number, each in enumerate(versions)))
    for part in (
        "We fine-tuned 3 encoders",
        "nano (0.1 M), micro (0.4 M) and mini (0.6 M)",
        "with full and seq_bn after English intermediate training on next-event, and without it (none)",
        "3 seeds a cell (1, 2 and 4)",
        "500 × 4 test items",
        "chance being 50 %",
        "those in the answer are over Sandbox A, Sandbox B and Sandbox C.",
        "log₁₀ of the encoder's parameters",
        "Intervals (95 %)",
        "Software: torch 2.0 and 2.1, adapters 1.3.",
    ):
        assert part in text, part
    assert "control" not in text and "No intervals" not in text
    assert "log₁₀ of all parameters" in told(results, answered(results), abscissa="total")


def test_what_was_not_done_is_not_said(grid: Grid, answered: Answered) -> None:
    plain = grid(intermediates=("none",))
    text = told(plain, answered(plain))
    assert "We fine-tuned 3 encoders" in text
    assert all(part not in text for part in ("intermediate", "gain", "Intervals", "Software"))
    few = grid(seeds=(1,))
    text = told(few, answered(few))
    assert "1 seed a cell (1)" in text
    assert "No intervals are given (one seed: " in text and "Weerahandi" not in text
    english = grid(languages=("en",))
    assert "Averages" not in told(english, answered(english))


def test_controls_are_called_so(grid: Grid) -> None:
    results = grid(intermediates=("none", "next-event", "next-event-shuffled-labels"))
    text = told(results, None)
    assert (
        "after English intermediate training on next-event and training on the control next-event-shuffled-labels, "
        "and without it (none)" in text
    )


def test_what_was_pulled_was_not_trained_here(grid: Grid) -> None:
    name = "hub:org/name@not-shuffled-labels"
    text = told(grid(intermediates=("none", "next-event", name)), None)
    assert (
        f"after English intermediate training on next-event and taking over the pulled adapter {name}, and without it "
        "(none)" in text
    )


def test_an_intermediate_alone_was_not_trained_on_the_target(grid: Grid, result: Callable[..., Result]) -> None:
    alone = result(intermediate="next-event", composition="alone")
    assert told([alone], None).startswith("We asked micro-copa of models trained on next-event alone.")
    text = told([*grid(intermediates=("none",)), alone], None)
    assert "We fine-tuned" in text and "next-event alone." in text and "after English" not in text


def test_without_results_there_is_nothing_to_describe(run: Callable[..., RunRecord]) -> None:
    answer = find_answer(summarise([], [run()]), None, TARGET)
    (text,) = methods_text([answer], [run()])
    assert text.startswith("No run has been evaluated yet")
