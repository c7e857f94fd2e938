"""Tables of what stands beside the figures: data, searches, hyper-parameters, steps that changed nothing."""

from __future__ import annotations

from adapter_transfer.analysis.run_tables import data_table, problem_table, selection_table, settings_table
from adapter_transfer.analysis.summaries import summarise
from adapter_transfer.experiments.phase_settings import PhaseSettings
from adapter_transfer.experiments.results import SplitRecord
from adapter_transfer.experiments.tuning import Selection, TrialOutcome
from adapter_transfer.training.settings import TrainingSettings


def test_data_tells_where_it_is_from_and_what_was_mended(run):
    record = SplitRecord("ab" * 32, "xcopa/data/th/test.th.jsonl", "test", 499, 250, 1)
    table = data_table([run(1, data={"xcopa/test/th": record}), run(2, data={"xcopa/test/th": record})])
    (row,) = table.texts
    assert row[:6] == ["xcopa/test/th", "test", "xcopa/data/th/test.th.jsonl", "499", "250", "1"]
    assert [entry.tone for entry in table.rows[0][4:]] == ["plain", "warning", "plain"]


def test_a_search_shows_every_trial_and_the_one_that_was_chosen():
    trials = (
        TrialOutcome("learning_rate 0.0001", "a", True, 0.61, 0.65),
        TrialOutcome("learning_rate 0.1", "b", True, failure="no number"),
        TrialOutcome("as configured", "c", True, 0.74, 0.6),
    )
    table = selection_table([Selection("base", "bf16", "lora", "socialiqa", "sum", 1, trials, 2)])
    assert [row[2:] for row in table.texts] == [
        ["learning_rate 0.0001", "61.0", "0.650", "–"],
        ["learning_rate 0.1", "–", "–", "failed: no number"],
        ["as configured", "74.0", "0.600", "chosen"],
    ]
    assert table.texts[0][0] == "base bf16 lora socialiqa sum"
    assert not selection_table([]).rows and not selection_table([]).notes


def test_hyper_parameters_name_their_source():
    settings = TrainingSettings(learning_rate=2e-5, epochs=5)
    table = settings_table(
        [
            PhaseSettings(
                "target", "xcopa", "base", "full", "bf16, after none", settings, ("patience 4",), ("a paper",)
            ),
            PhaseSettings("target", "xcopa", "mine", "full", "", settings, (), ()),
        ]
    )
    assert table.texts[0] == [
        "target xcopa",
        "base · full · bf16, after none",
        "2e-05",
        "32",
        "5",
        "128",
        "patience 4",
        "a paper",
    ]
    assert table.texts[1][-2:] == ["–", "the configuration"]


def test_many_skipped_steps_stand_among_the_problems(run):
    runs = [
        run(1, metrics={"num_steps": 100, "num_skipped_steps": 2}),
        run(2, metrics={"num_steps": 100, "num_skipped_steps": 40}),
    ]
    rows = problem_table(summarise([], runs), runs, []).texts
    assert [row[0] for row in rows] == ["steps skipped"]
    assert "40 of 100 steps" in rows[0][3]
