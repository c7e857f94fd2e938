"""Tensors are created on the right device: seen without a GPU, by forbidding factories that name none, and on meta."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

import adapter_transfer
from adapter_transfer.errors import DeviceError
from adapter_transfer.methods.attach import save_artifact
from adapter_transfer.methods.heads import row_logits
from adapter_transfer.training import runtime as runtime_module
from adapter_transfer.training.batching import collate
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.loop import fit
from adapter_transfer.training.settings import TrainingSettings
from adapter_transfer.training.steps import accumulate_gradients, apply_gradients, make_optimizer

OURS = str(Path(adapter_transfer.__file__).parent)
FACTORIES = {
    getattr(torch, name)
    for name in ("tensor", "zeros", "ones", "empty", "full", "arange", "rand", "randn", "randint", "eye", "linspace")
}


class NamedDevicesOnly(TorchFunctionMode):
    """Refuses a factory call of ours that names no device: on a GPU its tensor would lie on the CPU."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in FACTORIES and "device" not in kwargs:
            caller = sys._getframe(1).f_code.co_filename
            if caller.startswith(OURS):
                raise AssertionError(f"{func.__name__} without a device in {caller}")
        return func(*args, **kwargs)


def one_step(bench, data):
    settings = TrainingSettings(learning_rate=1e-3)
    optimizer = make_optimizer(bench.parameters, settings, bench.runtime.device)
    batch = collate(data, np.arange(4), 1, bench.runtime.device)
    loss = accumulate_gradients(bench.model, bench.assembly.head, [batch], 4, bench.runtime)
    norm = apply_gradients(optimizer, list(bench.parameters.values()), 1e-3, 1.0)
    return loss, norm


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_no_factory_without_a_device(make_bench, encoded, tmp_path, method):
    bench = make_bench(method)
    with NamedDevicesOnly():
        one_step(bench, encoded("train", 4))
        predict(bench.model, bench.assembly.head, encoded("validation", 4), bench.runtime)
        fit(bench.fit_inputs(tmp_path, encoded("train", 8), encoded("validation", 4)))


def test_the_mode_itself_catches(monkeypatch):
    namespace: dict[str, Any] = {"torch": torch}
    exec(compile("def bad():\n    return torch.zeros(2)\n", f"{OURS}/made_up.py", "exec"), namespace)
    with NamedDevicesOnly(), pytest.raises(AssertionError, match="zeros without a device"):
        namespace["bad"]()


class OnMeta:
    """The part of an accelerator that a step uses, on the meta device."""

    device = torch.device("meta")

    def autocast(self):
        return torch.autocast("cpu", enabled=False)

    def backward(self, loss):
        loss.backward()


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_a_training_step_and_a_forward_run_on_meta(make_bench, encoded, method):
    # A tensor that is left on the CPU, or a number that is read back inside a step, raises here.
    bench = make_bench(method)
    bench.model.to("meta")
    bench.runtime = replace(bench.runtime, accelerator=OnMeta())
    loss, norm = one_step(bench, encoded("train", 4))
    batch = collate(encoded("validation", 4), np.arange(4), 1, bench.runtime.device)
    bench.model.eval()
    with torch.no_grad():
        assert row_logits(bench.model, "micro-copa", batch.input_ids, batch.attention_mask).shape == (8, 1)
    assert loss.is_meta
    assert norm.is_meta
    assert all(parameter.is_meta for parameter in bench.model.parameters())


@pytest.mark.parametrize(("method", "composition"), [("full", "none"), ("seq_bn", "none"), ("seq_bn", "stack")])
def test_bf16_trains_with_fp32_master_weights(make_bench, encoded, tmp_path, method, composition):
    bench = make_bench(method, composition=composition, precision="bf16")
    assert all(parameter.dtype == torch.float32 for parameter in bench.parameters.values())
    if method == "seq_bn":
        assert bench.model.base_model.embeddings.word_embeddings.weight.dtype == torch.bfloat16
    before = bench.state()
    position = fit(bench.fit_inputs(tmp_path, encoded("train", 32), encoded("validation", 8), epochs=3, select="last"))
    assert position.train_loss_last < position.train_loss_first * 1.2
    moved = {name for name, value in bench.state().items() if not torch.equal(value, before[name])}
    # The last bias shifts all choices of an example alike, so its gradient is 0, here exactly.
    assert moved >= set(bench.parameters) - {"heads.micro-copa.4.bias"}
    save_artifact(bench.model, bench.assembly, tmp_path / "artifact")
    logits = predict(bench.model, bench.assembly.head, encoded("validation", 8), bench.runtime)
    assert np.isfinite(logits).all()


def test_bf16_computes_in_bf16(make_bench, encoded):
    bench = make_bench("full", precision="bf16")
    batch = collate(encoded("train", 2), np.arange(2), 1, bench.runtime.device)
    with bench.runtime.autocast():
        hidden = torch.nn.functional.linear(
            bench.model.base_model.embeddings.word_embeddings.weight[batch.input_ids[:, 0]],
            bench.model.heads["micro-copa"][1].weight,
        )
    assert hidden.dtype == torch.bfloat16


def test_a_card_that_torch_cannot_use_is_an_error_not_a_fallback(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(runtime_module, "nvidia_card", lambda: "NVIDIA A100, 470.57")
    with pytest.raises(DeviceError, match="A100"):
        runtime_module.require_device("auto")
    with pytest.raises(DeviceError, match="A100"):
        runtime_module.require_device("cuda")
    runtime_module.require_device("cpu")


def test_cuda_without_a_card_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(runtime_module, "nvidia_card", lambda: None)
    with pytest.raises(DeviceError, match="finds no NVIDIA card"):
        runtime_module.require_device("cuda")
    runtime_module.require_device("auto")


def test_an_nvidia_card_is_seen_without_torch(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA GeForce RTX 3090, 470.57.02'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert "RTX 3090" in runtime_module.nvidia_card()
    with pytest.raises(DeviceError, match="RTX 3090"):
        runtime_module.require_device("auto")
