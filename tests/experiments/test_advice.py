"""Advice: what costs least first, in lines that a configuration takes; against made-up needs, not the estimates."""

from __future__ import annotations

import pytest

from adapter_transfer.experiments.advice import Advice, advise, together
from adapter_transfer.experiments.demands import demand
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.tokens import TokenTables

CARD = 100


@pytest.fixture
def demands(small):
    def of(*overrides):
        specs = [run.spec for run in make_plan(small(*overrides)).runs if run.spec.phase == "target"]
        return [demand(spec, TokenTables(), token_budget=None) for spec in specs]

    return of


def told(demands, fits):
    return str(advise(demands, CARD, lambda workload: CARD if fits(workload) else CARD + 1))


RULE = "training:\n  - {when: {method: full, backbone: nano}, "
FULL = [
    (lambda w: w.training.token_budget == 1024, RULE + "token_budget: 1024}"),
    (lambda w: w.training.gradient_checkpointing, RULE + "gradient_checkpointing: true}"),
    (
        lambda w: w.training.gradient_checkpointing and w.training.token_budget == 256,
        RULE + "gradient_checkpointing: true, token_budget: 256}",
    ),
    (lambda w: w.training.optimizer == "adamw-8bit", RULE + "optimizer: adamw-8bit}"),
    (
        lambda w: w.training.update == "backward" and w.precision == "bf16",
        RULE + "optimizer: adamw-8bit, update: backward, master_weights: bf16, max_grad_norm: null}\n"
        "backbones:\n  - {name: nano, precisions: [bf16]}",
    ),
]


@pytest.mark.parametrize(("fits", "lines"), FULL)
def test_full_fine_tuning(demands, fits, lines):
    assert told(demands("methods=[full]"), fits) == lines


def test_a_whole_table_is_trimmed_first(demands):
    whole = demands("methods=[full]", "trim_vocabulary=false")
    rows = whole[0].workloads()[0].fields["vocab_size"]
    whole = [type(d)(**{**vars(d), "num_kept": 100}) for d in whole]
    assert told(whole, lambda w: w.fields["vocab_size"] < rows) == "trim_vocabulary: true"


ADAPTERS = [
    ("fp32", lambda w: w.precision == "bf16", "bf16"),
    ("fp32", lambda w: w.precision == "nf4", "nf4"),
    ("bf16", lambda w: w.precision == "nf4", "nf4"),
]


@pytest.mark.parametrize(("precision", "fits", "advised"), ADAPTERS)
def test_adapters_take_another_precision(demands, precision, fits, advised):
    frozen = demands("methods=[seq_bn]", f"precisions=[{precision}]")
    assert told(frozen, fits) == f"backbones:\n  - {{name: nano, precisions: [{advised}]}}"


def test_what_cannot_be_quantized_is_not_advised_to_be(demands):
    needs = told(demands("methods=[dora]"), lambda w: w.precision == "nf4")
    assert needs == "# dora on nano does not fit; even seq_bn on nf4 needs 0.0 GiB"


def test_every_run_of_a_method_has_to_fit(demands):
    both = demands("methods=[seq_bn]", "intermediates=[none, next-event]")
    assert {w.num_adapters for d in both for w in d.workloads()} == {1, 2}
    fits = lambda w: w.num_adapters == 1 or w.training.gradient_checkpointing  # noqa: E731
    assert "gradient_checkpointing" in told(both, fits)


def test_several_pieces_become_one_configuration():
    one = Advice(("{a: 1}",), precisions=(("name: xl", "bf16"),))
    other = Advice(("{a: 1}", "{b: 2}"), trims=True, precisions=(("name: xl", "nf4"),), despair=("xxl: no",))
    assert str(together([one, other])).splitlines() == [
        "# xxl: no",
        "training:",
        "  - {a: 1}",
        "  - {b: 2}",
        "trim_vocabulary: true",
        "backbones:",
        "  - {name: xl, precisions: [bf16, nf4]}",
    ]
