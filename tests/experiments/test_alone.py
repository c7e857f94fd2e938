"""`target: none`: the intermediate alone, with its own head, on the test items of another task."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from adapter_transfer.errors import ConfigError, ImpossibleError
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import read_results
from adapter_transfer.experiments.store import Store

MACHINE = MachineSettings(device="cpu", threads=1)
ALONE = ("target=none", "evaluate=micro-copa")


def test_the_intermediate_is_evaluated_with_its_own_head(small, tmp_path):
    store = Store.open(tmp_path / "store")
    experiment = small(*ALONE, "intermediates=[next-event]")
    plan = make_plan(experiment, store)
    assert [run.spec.phase for run in plan.runs] == ["intermediate"] * 2 + ["evaluation"] * 2
    assert not execute(plan, store, MACHINE).failed
    results = read_results(store)
    assert {(r.method, r.composition, r.intermediate, r.target, r.language) for r in results} == {
        (method, "alone", "next-event", "micro-copa", language)
        for method in ("full", "seq_bn")
        for language in ("en", "qa")
    }
    evaluated = {run.spec.id: run.spec.parents for run in plan.runs if run.spec.phase == "evaluation"}
    assert all(result.target_run == evaluated[result.run]["intermediate"] for result in results)
    for run_id in evaluated:
        logits = pq.read_table(store.run_dir(run_id) / "predictions.parquet").column("logits").to_pylist()
        # A trained head gives two choices two numbers; a head that was never loaded would do so, too, hence below.
        assert np.ptp(np.array(logits), axis=1).max() > 0


def test_it_answers_as_the_trained_head_does_whatever_is_drawn_for_a_new_one(small, tmp_path):
    """A head that is drawn anew would differ between the two stores, whose intermediates are the same."""
    scores = []
    for name in ("one", "other"):
        store = Store.open(tmp_path / name)
        experiment = small(
            *ALONE, "intermediates=[next-event]", "methods=[full]", f"head={'carry' if name == 'one' else 'fresh'}"
        )
        assert not execute(make_plan(experiment, store), store, MACHINE).failed
        scores.append([(result.language, result.num_correct) for result in read_results(store)])
    assert scores[0] == scores[1]


def test_what_cannot_answer_is_impossible(small):
    plan = make_plan(small(*ALONE, "intermediates=[none, next-event, event-nli]"))
    reasons = {cell.intermediate: cell.reason for cell in plan.impossible}
    assert "nothing is trained" in reasons["none"]
    assert "head of 'event-nli'" in reasons["event-nli"]
    with pytest.raises(ImpossibleError):
        make_plan(small(*ALONE, "intermediates=[none]"))


def test_a_target_of_none_needs_a_task_to_answer(small):
    with pytest.raises(ConfigError, match="say which task is answered"):
        small("target=none")
    with pytest.raises(ConfigError, match="is for `target: none` only"):
        small("evaluate=micro-copa")
