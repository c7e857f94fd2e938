"""Searches: equally many trials for every cell, chosen by English validation, counted in the plan, resumable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter_transfer.errors import ConfigError, ImpossibleError
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import PlannedRun, make_plan
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.tuning import TrialOutcome, choose

MACHINE = MachineSettings(device="cpu", threads=1)
FULL, BOTTLENECK = "[{learning_rate: 1e-4}, {learning_rate: 1e-3}]", "[{}, {settings: {reduction_factor: 2}}]"
TRIALS = f"tune={{trials: {{full: {FULL}, seq_bn: {BOTTLENECK}}}}}"
SEEDS = "seeds=[1, 2]"


def outcome(accuracy, loss=1.0, *, is_over=True):
    return TrialOutcome("x", "id", is_over, accuracy, loss if accuracy is not None else None)


@pytest.mark.parametrize(
    ("trials", "best"),
    [
        ([outcome(0.5), outcome(0.6)], 1),
        ([outcome(0.6), outcome(0.6)], 0),
        ([outcome(0.6, 0.7), outcome(0.6, 0.6)], 1),
        ([outcome(None), outcome(0.1)], 1),
        ([outcome(None), outcome(None)], None),
        ([outcome(0.9), outcome(None, is_over=False)], None),
    ],
)
def test_the_best_trial_is_the_most_accurate_then_the_one_of_lowest_loss_then_the_first(trials, best):
    assert choose(trials) == best


def test_a_plan_counts_trials_and_what_follows(small):
    plan = make_plan(small(TRIALS, SEEDS))
    targets = [run for run in plan.runs if run.spec.phase == "target"]
    # 2 methods x {none, next-event} x 2 trials, one seed; no evaluation before anything is chosen.
    assert len(targets) == 8
    assert all(run.is_trial and run.spec.seed == 1 for run in targets)
    assert not [run for run in plan.runs if run.spec.phase == "evaluation"]
    # For each of the 4 cells: 2 evaluations and the target run of the other seed; and 2 intermediates of that seed.
    assert plan.num_pending == 4 * 3 + 2
    assert [len(selection.trials) for selection in plan.selections] == [2, 2, 2, 2]
    assert {selection.chosen for selection in plan.selections} == {None}


def test_a_search_ends_in_results_of_every_seed_and_is_not_repeated(small, tmp_path):
    experiment = small(TRIALS, SEEDS)
    store = Store.open(tmp_path / "store")
    first = make_plan(experiment, store)
    assert not execute(first, store, MACHINE).failed
    second = make_plan(experiment, store)
    assert second.num_pending == 0
    assert all(selection.chosen is not None for selection in second.selections)
    for selection in second.selections:
        best = selection.trials[selection.chosen]
        assert best.validation_accuracy == max(trial.validation_accuracy for trial in selection.trials)
        cell = [
            run.spec
            for run in second.runs
            if run.spec.phase == "target"
            and not run.is_trial
            and (run.spec.method, run.spec.intermediate) == (selection.method, selection.intermediate)
        ]
        assert sorted(spec.seed for spec in cell) == [1, 2]
        # The winning trial is the first seed's run itself.
        assert best.run in {spec.id for spec in cell}
        assert len({(spec.training, str(spec.method_settings)) for spec in cell}) == 1
    # Trials are trained once.
    assert {run.spec.id for run in second.runs if run.is_trial} <= {run.spec.id for run in first.runs}
    assert all(run.status == "done" for run in second.runs if run.is_trial)
    assert not execute(second, store, MACHINE).failed
    third = make_plan(experiment, store)
    assert {run.status for run in third.runs} == {"done"}
    assert third.selections == second.selections


def test_trials_may_change_both_phases(small):
    both = TRIALS.replace("tune={", "tune={phases: [intermediate, target], ")
    rates = {
        (run.spec.phase, run.spec.training.learning_rate)
        for run in make_plan(small(both)).runs
        if run.spec.method == "full"
    }
    assert rates == {("intermediate", 1e-4), ("intermediate", 1e-3), ("target", 1e-4), ("target", 1e-3)}


def test_a_trial_that_fails_has_lost(small, tmp_path):
    experiment = small(
        "tune={trials: {full: [{learning_rate: 1e-4}, {learning_rate: 1e30, max_grad_norm: null, max_steps: 6}]}}",
        "methods=[full]",
        "intermediates=[none]",
    )
    store = Store.open(tmp_path / "store")
    failed = execute(make_plan(experiment, store), store, MACHINE).failed
    assert len(failed) == 1
    plan = make_plan(experiment, store)
    assert [selection.chosen for selection in plan.selections] == [0]
    assert not set(failed) & {run.spec.id for run in plan.runs}, "it is not tried again"


def test_an_intermediate_that_diverges_has_lost_too(small, tmp_path):
    diverging = "{learning_rate: 1e30, max_grad_norm: null, max_steps: 6}"
    both = f"tune={{phases: [intermediate, target], trials: {{full: [{{learning_rate: 1e-4}}, {diverging}]}}}}"
    experiment = small(both, "methods=[full]", "intermediates=[next-event]")
    store = Store.open(tmp_path / "store")
    assert execute(make_plan(experiment, store), store, MACHINE).failed
    plan = make_plan(experiment, store)
    (selection,) = plan.selections
    assert selection.chosen == 0 and plan.num_pending == 0
    assert "no longer a number" in selection.trials[1].failure or "not finite" in selection.trials[1].failure
    assert {run.status for run in plan.runs if run.is_trial} <= {"done"}


def test_a_failure_of_the_machine_is_no_answer(small, tmp_path):
    experiment = small(TRIALS, "methods=[full]", "intermediates=[none]")
    store = Store.open(tmp_path / "store")
    first, second = (run.spec for run in make_plan(experiment, store).runs)
    assert not execute(replace(make_plan(experiment, store), runs=(PlannedRun(first, "todo"),)), store, MACHINE).failed
    with store.begin(second.id, {"description": second.description()}) as directory:
        directory.fail(OSError(28, "No space left on device"))
    plan = make_plan(experiment, store)
    assert plan.selections[0].chosen is None and plan.num_pending
    assert second.id in {spec.id for spec in plan.todo}


def test_trials_may_set_what_no_rule_sets(small):
    plan = make_plan(small(TRIALS, "training=[]", "methods=[full]", "intermediates=[none]"))
    assert {run.spec.training.learning_rate for run in plan.runs} == {1e-4, 1e-3}
    with pytest.raises(ConfigError, match="no rule sets learning_rate"):
        make_plan(small(TRIALS, "training=[]", "methods=[full]"))  # the intermediate is not searched


def test_an_intermediate_that_results_stand_on_is_no_trial(small):
    runs = make_plan(small(TRIALS, "methods=[full]")).runs
    assert {run.spec.phase: run.is_trial for run in runs} == {"intermediate": False, "target": True}


def test_a_trial_that_does_not_fit_the_backbone_makes_its_cell_impossible(small):
    trials = "tune={trials: {compacter: [{settings: {reduction_factor: 4}}, {settings: {reduction_factor: 3}}]}}"
    with pytest.raises(ImpossibleError, match="compacter"):
        make_plan(small(trials, "methods=[compacter]"))


@pytest.mark.parametrize("trials", ["[{}, {learning_rate: 1e-3}]", "[{epochs: 2}, {epochs: 2}]"])
def test_trials_that_come_to_the_same_training_are_refused(small, trials):
    with pytest.raises(ConfigError, match="come to the same training"):
        make_plan(small(f"tune={{trials: {{full: {trials}}}}}", "methods=[full]"))


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ("{trials: {full: [{learning_rate: 1e-4}, {learning_rate: 1e-3}]}}", "'seq_bn' has no trials"),
        (
            "{trials: {full: [{epochs: 1}, {epochs: 2}], seq_bn: [{epochs: 1}, {epochs: 2}, {epochs: 3}]}}",
            r"equally many trials, or the comparison is unfair \(full 2, seq_bn 3\)",
        ),
        (
            "{trials: {full: [{epochs: 1}, {epochs: 2}], lor: [{}, {}], seq_bn: [{}, {epochs: 2}]}}",
            "unknown method 'lor'",
        ),
        (
            "{trials: {full: [{epochs: 1}, {epochs: 2}], seq_bn: [{settings: {reduction: 2}}, {}]}}",
            "settings of seq_bn: reduction",
        ),
        ("{trials: {full: [{learning_rate: -1}, {}], seq_bn: [{}, {epochs: 2}]}}", "learning_rate"),
        ("{trials: {full: [{}], seq_bn: [{}]}}", "tune.trials"),
        (
            f"{{phases: [intermediate], trials: {{full: {FULL}, seq_bn: {BOTTLENECK}}}}}",
            "the target has to be among them",
        ),
    ],
)
def test_an_unfair_or_wrong_search_is_refused(small, tune, message):
    with pytest.raises(ConfigError, match=message):
        small(f"tune={tune}")
