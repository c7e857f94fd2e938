"""Rates: given, or as finished trainings of this very machine show them."""

from __future__ import annotations

import platform

import pytest

from adapter_transfer.experiments.demands import demand
from adapter_transfer.experiments.estimates import Estimates
from adapter_transfer.experiments.matmul_rate import measured_rates
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.rates import Rates, recorded_rates
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.tokens import TokenTables

SECONDS = 4.0


def finish(store, spec, *, seconds=SECONDS, share=1.0, **machine):
    """Puts a finished training into a store, with what `training.phases` records of its tokens."""
    asked = demand(spec, TokenTables())
    here = {"platform": platform.platform(), "device": "cpu", "gpu": None, "token_budget": None, **machine}
    metrics = {
        "num_padded_tokens": share * asked.trained.num,
        "seconds": seconds,
        "finished_by": {"machine": here},
    }
    with store.begin(spec.id, {"identity": spec.identity(), "description": spec.description()}) as directory:
        directory.commit(metrics)


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


@pytest.fixture
def specs(small):
    plan = make_plan(small("methods=[full]", "seeds=[1, 2, 3]", "backbones=[nano, micro]"))
    return [run.spec for run in plan.runs if run.spec.phase == "target" and run.spec.intermediate == "none"]


def test_the_median_of_finished_trainings_at_the_same_scale(store, specs):
    nano, micro = ([spec for spec in specs if spec.backbone == name] for name in ("nano", "micro"))
    for spec, seconds in zip(nano, (2.0, 4.0, 40.0), strict=True):
        finish(store, spec, seconds=seconds)
    rates = recorded_rates(store, None, TokenTables())
    assert "3 finished trainings" in rates.source
    flops = Estimates().flops(demand(nano[0], TokenTables()))
    assert rates.of(nano[0]) == pytest.approx(flops / 4.0)
    assert rates.of(micro[0]) is None, "the rate of another scale is no guess"


def test_a_training_that_stopped_early_did_less(store, specs):
    finish(store, specs[0], share=0.25)
    flops = Estimates().flops(demand(specs[0], TokenTables()))
    assert recorded_rates(store, None, TokenTables()).of(specs[0]) == pytest.approx(flops / 4 / SECONDS, rel=1e-3)


@pytest.mark.parametrize("machine", [{"platform": "elsewhere"}, {"device": "cuda", "gpu": "NVIDIA H100"}])
def test_another_machine_tells_nothing_about_this_one(store, specs, machine):
    finish(store, specs[0], **machine)
    assert recorded_rates(store, None, TokenTables()) == Rates()


def test_the_same_card_tells(store, specs):
    finish(store, specs[0], device="cuda", gpu="NVIDIA H100")
    assert recorded_rates(store, "NVIDIA H100", TokenTables()).of(specs[0])
    assert recorded_rates(store, "NVIDIA A100", TokenTables()) == Rates()


def test_runs_that_cannot_be_read_are_passed_over(store, specs):
    finish(store, specs[0])
    (store.run_dir(specs[0].id) / "metrics.json").write_text("{}")
    assert recorded_rates(store, None, TokenTables()) == Rates()
    assert recorded_rates(None, None, TokenTables()) == Rates()


def test_what_is_given_or_measured_goes_for_every_scale(specs):
    assert Rates("given", everywhere=3e12).of(specs[0]) == 3e12
    measured = measured_rates({"fp32"}, "cpu")
    assert 1e8 < measured.of(specs[0]) < 1e15
    assert "the CPU" in measured.source
