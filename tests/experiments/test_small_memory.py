"""Full fine-tuning that saves memory wherever it can, from the configuration to the predictions."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch

from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.store import Store

SMALLEST = (
    "precisions=[bf16]",
    "intermediates=[none]",
    "languages=[en]",
    "training.0.optimizer=adamw-8bit",
    "training.0.update=backward",
    "training.0.master_weights=bf16",
    "training.0.max_grad_norm=null",
)
MACHINE = MachineSettings(device="cpu", threads=1)


def run(experiment, folder):
    store = Store.open(folder)
    plan = make_plan(experiment, store)
    outcome = execute(plan, store, MACHINE)
    assert not outcome.failed
    return store, {planned.spec.phase: planned.spec for planned in plan.runs}


def test_trimmed_or_not_and_computed_again_or_not_it_predicts_the_same(small, tmp_path):
    """Rounding is random, but each row of the table draws what it draws in the whole one."""

    whole, specs = run(small(*SMALLEST, "methods=[full]", "trim_vocabulary=false"), tmp_path / "whole")
    changes = ("methods=[full]", "trim_vocabulary=true", "training.0.gradient_checkpointing=true")
    trimmed, same = run(small(*SMALLEST, *changes), tmp_path / "trimmed")
    assert {phase: spec.id for phase, spec in specs.items()} == {phase: spec.id for phase, spec in same.items()}
    target = specs["target"].id
    kept = [store.read(target).metrics["num_kept_tokens"] for store in (whole, trimmed)]
    assert kept[0] is None
    assert kept[1] > 0
    for phase in ("target", "evaluation"):
        files = [store.verify(specs[phase].id).files["predictions.parquet"].sha256 for store in (whole, trimmed)]
        assert files[0] == files[1], phase
    weights = safetensors.torch.load_file(trimmed.run_dir(target) / "artifact" / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


def test_adapters_are_told_to_be_left_out_of_it(small, tmp_path):
    with pytest.raises(ConfigError) as caught:
        make_plan(small(*SMALLEST, "methods=[seq_bn]"), Store.open(tmp_path))
    assert "update: backward is for full fine-tuning only" in str(caught.value)
    assert "when: {method: full}" in str(caught.value)
