"""What a run asks of a machine: the workload has the adapters, rows and table that the run will have."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from adapter_transfer.experiments import tokens
from adapter_transfer.experiments.demands import Change, demand
from adapter_transfer.experiments.estimates import Estimates
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.tokens import TokenTables
from adapter_transfer.tasks.formats import Example
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
    counted = {key: (w.num_adapters, w.num_trained_adapters) for key, d in demands.items() if (w := d.workloads()[0])}
    assert counted["intermediate", "seq_bn", "none"] == (1, 1)
    assert counted["target", "seq_bn", "stack"] == (2, 1)
    assert counted["target", "seq_bn", "stack-tuned"] == (2, 2)
    assert counted["target", "seq_bn", "sequential"] == (1, 1)
    assert counted["target", "lora", "sum"] == (2, 1)
    assert counted["evaluation", "seq_bn", "stack"] == (2, 0)
    assert counted["evaluation", "full", "sequential"] == (1, 0)


def test_the_largest_micro_batch(found):
    train = found("methods=[full]")["target", "full", "none"]
    whole = train.workloads()[0]
    assert (whole.rows, whole.accumulates) == (16, False), "8 examples of two rows fit the usual budget"
    assert whole.length == train.longest < 64
    small = train.workloads(Change({"token_budget": 4 * train.longest}))[0]
    assert (small.rows, small.accumulates) == (4, True)
    at_once = train.workloads(Change({"token_budget": 64, "update": "backward", "max_grad_norm": None}))[0]
    assert (at_once.rows, at_once.accumulates) == (16, False), "such a step is not cut"


def test_an_evaluation_is_cut_by_the_budget_however_it_was_trained(found):
    rule = RULE.replace("}", ", update: backward, max_grad_norm: null, token_budget: 128}")
    demands = found("methods=[full]", f"training=[{rule}]")
    trained, evaluated = (demands[phase, "full", "none"].workloads()[0] for phase in ("target", "evaluation"))
    assert trained.rows * trained.length > 128
    assert 0 < evaluated.rows * evaluated.length <= 128


def test_a_table_has_the_kept_rows(found):
    demands = found("methods=[full, seq_bn]")
    full, seq_bn = (demands["target", method, "none"] for method in ("full", "seq_bn"))
    rows = full.spec.declaration.known_fields()["vocab_size"]
    assert seq_bn.workloads()[0].fields["vocab_size"] == rows
    assert seq_bn.workloads(Change(trims=True))[0].fields["vocab_size"] == min(rows, seq_bn.num_kept)
    assert full.workloads()[0].fields["vocab_size"] == min(rows, full.num_kept + 1)


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
    workload = one.workloads()[0]
    counted = training_flops(workload, num_tokens=round(one.trained.num), mean_length=one.trained.mean_length)
    passes = replace(workload, is_training=False)
    counted += evaluation_flops(passes, num_tokens=round(one.evaluated.num), mean_length=one.evaluated.mean_length)
    assert estimates.flops(one) == estimates.flops(one) == pytest.approx(counted, rel=1e-4)


def of_intermediate(demands):
    return demands["intermediate", "full", "none"]


def test_a_mixture_asks_for_each_of_its_tasks_by_its_share(found):
    rule = f"training=[{RULE}, {{max_train_examples: 40, sampling: uniform}}, {{validate_every: 100}}]"
    both = of_intermediate(found("methods=[full]", "intermediates=[next-event+event-nli]", rule))
    alone = [
        of_intermediate(found("methods=[full]", f"intermediates=[{name}]", rule))
        for name in ("next-event", "event-nli")
    ]
    assert len(both.tasks) == 2
    # 2 epochs of 80 examples, half of its 20 steps each; a task alone has 10 steps.
    assert [task.trained.num for task in both.tasks] == pytest.approx([one.trained.num for one in alone])
    assert both.trained.num == pytest.approx(sum(one.trained.num for one in alone))
    assert both.evaluated.num == pytest.approx(sum(one.evaluated.num for one in alone)), "all validate, as often"
    assert both.longest == max(one.longest for one in alone)
    assert both.num_kept >= max(one.num_kept for one in alone)
    estimates = Estimates()
    assert estimates.flops(both) == pytest.approx(sum(map(estimates.flops, alone)))
    for mixed, one in zip(both.workloads(), alone, strict=True):
        (own,) = one.workloads()
        assert (mixed.head, mixed.rows, mixed.length) == (own.head, own.rows, own.length)
        assert own.other_heads == ()
    assert [w.other_heads for w in both.workloads()] == [(w.head,) for w in reversed(both.workloads())]


def test_a_mixtures_shares_are_those_of_the_sampling(found):
    steps = {}
    for sampling in ("sampling: uniform", "sampling: capped, sampling_cap: 10", "sampling: proportional"):
        rule = f"training=[{RULE}, {{max_train_examples: 40, {sampling}}}]"
        mixed = of_intermediate(found("methods=[full]", "intermediates=[next-event+event-nli]", rule))
        steps[sampling] = mixed.trained.num
    # Capped, an epoch has 10 examples of each.
    assert steps["sampling: capped, sampling_cap: 10"] == pytest.approx(steps["sampling: uniform"] * 6 / 20)
    assert steps["sampling: proportional"] == pytest.approx(steps["sampling: uniform"])


@pytest.fixture
def spans(small, monkeypatch):
    """A run of SQuAD with 40 questions, of which the last has by far the longest context."""
    spec = next(run.spec for run in make_plan(small("methods=[full]")).runs if run.spec.phase == "target")
    contexts = ["rain " * (3 + n % 5) for n in range(39)] + ["rain " * 200]
    examples = [Example(str(n), (("why", context),), ()) for n, context in enumerate(contexts)]
    monkeypatch.setattr(tokens, "examples_of", lambda *_: SimpleNamespace(examples=examples))
    refs = tuple(replace(ref, task="squad1", num_examples=40, digest="squad") for ref in spec.data)
    training = spec.training.model_copy(update={"max_train_examples": None, "doc_stride": 16})
    return replace(spec, task="squad1", data=refs, vocabulary=refs, training=training)


def test_the_windows_of_a_context_stay_together(spans):
    asked = demand(spans, TokenTables())
    (task,) = asked.tasks
    assert (task.rows_each, asked.longest) == (1, 64)
    assert task.largest_example > 10
    assert task.step_rows == task.largest_example + 7, "of 8 examples, the others have one window each"
    (whole,) = asked.workloads()
    assert (whole.rows, whole.length, whole.accumulates) == (task.step_rows, 64, False)
    (small,) = asked.workloads(Change({"token_budget": 256}))
    assert (small.rows, small.accumulates) == (task.largest_example, True), "four rows fit, and yet they are not parted"
    assert whole.head.reads_tokens and whole.head.num_logits == 2


def test_an_evaluation_takes_windows_one_by_one(spans):
    test_items = tuple(replace(ref, split="test") for ref in spans.data[:1])
    evaluation = demand(replace(spans, phase="evaluation", data=test_items), TokenTables())
    (task,) = evaluation.tasks
    assert (task.rows_each, task.largest_example) == (1, 1)
    assert task.step_rows > 50
    (small,) = evaluation.workloads(Change({"token_budget": 256}))
    assert (small.rows, small.length) == (4, 64)


def test_a_longer_stride_makes_more_windows(spans):
    none = replace(spans, training=spans.training.model_copy(update={"doc_stride": 0}))
    one, other = (demand(spec, TokenTables()) for spec in (none, spans))
    assert other.trained.num > one.trained.num
    assert other.tasks[0].largest_example > one.tasks[0].largest_example
