"""An encoder of XLM-R XL's class, from a folder as published: compared from plan to scores, quantized and not."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from small_experiment import SMALL

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.config import apply_overrides, parse, read_text
from adapter_transfer.experiments.evaluation import evaluation_plan
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import read_results
from adapter_transfer.experiments.store import Store
from adapter_transfer.methods.attach import (
    AdapterPart,
    Assembly,
    adapter_dir,
    adapter_weights,
    assemble,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.catalog import TASKS

MACHINE = MachineSettings(device="cpu", threads=1)
KIND = "xlm-roberta-xl"


@pytest.fixture(scope="module")
def compared(tmp_path_factory, encoder):
    """The experiment's store and plan, after everything has run."""
    overrides = [
        f"backbones=[{{name: tiny-xl, model: {encoder(KIND)}}}]",
        "precisions=[fp32, nf4]",
        "methods=[full, seq_bn, lora, prefix]",
        "training.0.max_length=32",
    ]
    experiment = parse(Experiment, apply_overrides(read_text(SMALL, "small.yaml"), overrides))
    store = Store.open(tmp_path_factory.mktemp("store"))
    plan = make_plan(experiment, store)
    assert not execute(plan, store, MACHINE).failed
    return store, plan


def test_what_is_impossible_is_listed_with_its_reason(compared):
    _, plan = compared
    reasons = {(cell.precision, cell.method): cell.reason for cell in plan.impossible}
    assert reasons.keys() == {("nf4", "full"), ("fp32", "prefix"), ("nf4", "prefix")}
    for precision in ("fp32", "nf4"):
        assert "does not work on xlm-roberta-xl" in reasons[precision, "prefix"]
        assert "Works there: full, seq_bn" in reasons[precision, "prefix"]


def test_every_cell_is_trained_and_scored(compared):
    store, _ = compared
    results = read_results(store)
    cells = {(result.precision, result.method, result.composition) for result in results}
    composed = {"full": "sequential", "seq_bn": "stack", "lora": "sum"}
    assert cells == {
        (precision, method, composition)
        for precision, methods in (("fp32", ("full", "seq_bn", "lora")), ("nf4", ("seq_bn", "lora")))
        for method in methods
        for composition in ("none", composed[method])
    }
    assert {result.language for result in results} == {"en", "qa"}


def test_what_was_learned_on_quantized_weights_stands_on_full_ones(compared):
    store, plan = compared
    for method in ("seq_bn", "lora"):
        spec = next(
            run.spec
            for run in plan.runs
            if (run.spec.precision, run.spec.method, run.spec.phase) == ("nf4", method, "intermediate")
        )
        folder = adapter_dir(store.run_dir(spec.id) / "artifact", "next-event")
        backbone = spec.declaration
        size = len(load_tokenizer(backbone))
        model = with_flexible_heads(load_body(backbone, device=torch.device("cpu"), vocab_size=size))
        part = AdapterPart("next-event", trains=False, source=folder)
        made = Assembly(
            METHODS[method],
            spec.method_settings,
            "next-event",
            TASKS["next-event"].format,
            1,
            adapters=(part,),
            head_source=folder,
        )
        assemble(model, made)
        saved = load_file(folder / "adapter.safetensors")
        weights = adapter_weights(model, "next-event")
        assert weights.keys() == saved.keys()
        assert all(torch.equal(weights[name], saved[name]) for name in saved)
        assert json.loads((folder / "adapter_config.json").read_text())["model_class"] == "XLMRobertaXLAdapterModel"


def test_a_finished_run_is_evaluated_in_another_language(compared):
    store, plan = compared
    for precision in ("fp32", "nf4"):
        target = next(run.spec for run in plan.runs if run.spec.phase == "target" and run.spec.precision == precision)
        assert not execute(evaluation_plan(store, target.id, ["qb"]), store, MACHINE).failed
