"""What a run asks of a machine: the workload has the adapters, rows and table that the run will have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter_transfer.experiments.demands import Change, demand
from adapter_transfer.experiments.estimates import Estimates
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.tokens import TokenTables
from adapter_transfer.training.flops import evaluation_flops, training_flops

RULE = "{learning_rate: 1e-3, batch_size: 8, epochs: 2, max_length: 64, max_train_examples: 24}"


@pytest.fixture
def found(small):
    def demands(*overrides):
        specs = [run.spec for run in make_plan(small(*overrides)).runs]
        return {(s.phase, s.method, s.composition): demand(s, TokenTables()) for s in specs}

    return demands


def test_adapters_are_those_that_act_and_train(found):
    demands = found("methods=[seq_bn, lora, full]", "compositions=[auto, stack-tuned, sequential]")
    counted = {key: (w.num_adapters, w.num_trained_adapters) for key, d in demands.items() if (w := d.workload())}
    assert counted["intermediate", "seq_bn", "none"] == (1, 1)
    assert counted["target", "seq_bn", "stack"] == (2, 1)
    assert counted["target", "seq_bn", "stack-tuned"] == (2, 2)
    assert counted["target", "seq_bn", "sequential"] == (1, 1)
    assert counted["target", "lora", "sum"] == (2, 1)
    assert counted["evaluation", "seq_bn", "stack"] == (2, 0)
    assert counted["evaluation", "full", "sequential"] == (1, 0)


def test_the_largest_micro_batch(found):
    train = found("methods=[full]")["target", "full", "none"]
    whole = train.workload()
    assert (whole.rows, whole.accumulates) == (16, False), "8 examples of two rows fit the usual budget"
    assert whole.length == train.longest < 64
    small = train.workload(Change({"token_budget": 4 * train.longest}))
    assert (small.rows, small.accumulates) == (4, True)
    at_once = train.workload(Change({"token_budget": 64, "update": "backward", "max_grad_norm": None}))
    assert (at_once.rows, at_once.accumulates) == (16, False), "such a step is not cut"


def test_an_evaluation_is_cut_by_the_budget_however_it_was_trained(found):
    rule = RULE.replace("}", ", update: backward, max_grad_norm: null, token_budget: 128}")
    demands = found("methods=[full]", f"training=[{rule}]")
    trained, evaluated = (demands[phase, "full", "none"].workload() for phase in ("target", "evaluation"))
    assert trained.rows * trained.length > 128
    assert 0 < evaluated.rows * evaluated.length <= 128


def test_a_table_has_the_kept_rows(found):
    demands = found("methods=[full, seq_bn]")
    full, seq_bn = (demands["target", method, "none"] for method in ("full", "seq_bn"))
    rows = full.spec.declaration.known_fields()["vocab_size"]
    assert seq_bn.workload().fields["vocab_size"] == rows
    assert seq_bn.workload(Change(trims=True)).fields["vocab_size"] == min(rows, seq_bn.num_kept)
    assert full.workload().fields["vocab_size"] == min(rows, full.num_kept + 1)


def test_arithmetic_grows_with_what_is_trained(found):
    demands = found(f"training=[{RULE}]", "methods=[full]")
    one = demands["target", "full", "none"]
    twice = found(f"training=[{RULE}, {{epochs: 4, validate_every: 100}}]", "methods=[full]")["target", "full", "none"]
    assert twice.trained.num == pytest.approx(2 * one.trained.num)
    # A validation after each of two epochs and that of the kept weights; one at the end and that of the kept weights.
    assert one.evaluated.num / twice.evaluated.num == pytest.approx(3 / 2)
    evaluation = demands["evaluation", "full", "none"]
    assert evaluation.trained.num == 0
    estimates = Estimates()
    assert estimates.flops(evaluation) > 0
    workload = one.workload()
    counted = training_flops(workload, num_tokens=round(one.trained.num), mean_length=one.trained.mean_length)
    passes = replace(workload, is_training=False)
    counted += evaluation_flops(passes, num_tokens=round(one.evaluated.num), mean_length=one.evaluated.mean_length)
    assert estimates.flops(one) == estimates.flops(one) == pytest.approx(counted, rel=1e-4)
