"""Tensors are created on the right device: seen without a GPU, by forbidding factories that name none, and on meta."""

from __future__ import annotations

import os
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
from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DeviceError
from adapter_transfer.methods.attach import (
    adapter_dir,
    assemble,
    body_dir,
    head_dir,
    save_artifact,
    with_flexible_heads,
)
from adapter_transfer.methods.heads import row_logits
from adapter_transfer.training import runtime as runtime_module
from adapter_transfer.training.batching import collate
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.loop import fit
from adapter_transfer.training.optimizers import make_optimizer
from adapter_transfer.training.settings import TrainingSettings
from adapter_transfer.training.steps import accumulate_gradients, apply_gradients

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


def test_no_factory_without_a_device_where_memory_is_saved(make_bench, encoded, tmp_path):
    bench = make_bench("full", precision="bf16", master_weights="bf16", checkpoint_steps=1)
    saved = {"optimizer": "adamw-8bit", "update": "backward", "master_weights": "bf16", "max_grad_norm": None}
    inputs = bench.fit_inputs(tmp_path, encoded("train", 8), encoded("validation", 4), batch_size=4, **saved)
    with NamedDevicesOnly():
        assert fit(inputs).step == 2
        assert fit(inputs).step == 2  # resumed


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


BF16_CELLS = [("full", "none"), ("seq_bn", "none"), ("seq_bn", "stack")]


@pytest.mark.parametrize(("method", "composition"), BF16_CELLS)
def test_bf16_trains_with_fp32_master_weights(make_bench, encoded, tmp_path, method, composition):
    bench = make_bench(method, composition=composition, precision="bf16")
    assert all(parameter.dtype == torch.float32 for parameter in bench.parameters.values())
    if method == "seq_bn":
        assert bench.model.base_model.embeddings.word_embeddings.weight.dtype == torch.bfloat16
    before, data = bench.state(), encoded("train", 32)
    untrained = data.format.score(data, predict(bench.model, bench.assembly.head, data, bench.runtime))
    rate, epochs = (1e-3, 6) if method == "full" else (1e-2, 10)
    fit(bench.fit_inputs(tmp_path, data, encoded("validation", 8), epochs=epochs, learning_rate=rate, select="last"))
    trained = data.format.score(data, predict(bench.model, bench.assembly.head, data, bench.runtime))
    # Learned by heart, or nearly so.
    assert trained.loss < 0.6 * untrained.loss
    after = bench.state()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    # The last bias shifts all choices of an example alike, so its gradient is 0, here exactly.
    assert bench.parameters.keys() >= moved >= bench.parameters.keys() - {"heads.micro-copa.4.bias"}
    assert all(after[name].dtype == value.dtype for name, value in before.items())


def loaded(bench, artifact: Path):
    """A new model with what a bf16 bench has saved; what it did not train is as in the bench."""
    is_full = bench.assembly.trains_body
    body = load_body(
        BACKBONES["nano"],
        dtype=torch.float32 if is_full else torch.bfloat16,
        device=torch.device("cpu"),
        vocab_size=len(load_tokenizer(BACKBONES["nano"])),
        trained_dir=body_dir(artifact) if is_full else None,
    )
    parts = (replace(p, source=adapter_dir(artifact, p.name)) if p.trains else p for p in bench.assembly.adapters)
    model = with_flexible_heads(body)
    assemble(model, replace(bench.assembly, adapters=tuple(parts), head_source=head_dir(artifact, "micro-copa")))
    return model


@pytest.mark.parametrize(("method", "composition"), BF16_CELLS)
def test_bf16_saved_and_loaded_gives_equal_logits(make_bench, encoded, tmp_path, method, composition):
    bench, data = make_bench(method, composition=composition, precision="bf16"), encoded("validation", 16)
    with torch.no_grad():
        for index, parameter in enumerate(bench.parameters.values()):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index)) * 0.03)
    save_artifact(bench.model, bench.assembly, tmp_path)
    logits = predict(bench.model, bench.assembly.head, data, bench.runtime)
    again = loaded(bench, tmp_path)
    np.testing.assert_array_equal(predict(again, "micro-copa", data, bench.runtime), logits)
    untrained = make_bench(method, composition=composition, precision="bf16")
    assert not np.allclose(predict(untrained.model, "micro-copa", data, bench.runtime), logits, atol=0.01)


@pytest.mark.parametrize(("precision", "expected"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
@pytest.mark.parametrize(("method", "composition"), BF16_CELLS)
def test_every_matrix_product_has_the_precision_of_the_run(
    make_bench, encoded, method, composition, precision, expected
):
    bench = make_bench(method, composition=composition, precision=precision)
    seen: dict[str, set[torch.dtype]] = {}

    def note(name, output):
        seen.setdefault(name, set()).add(output.dtype)

    linear = {name for name, module in bench.model.named_modules() if isinstance(module, torch.nn.Linear)}
    for name in linear:
        bench.model.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: note(name, output))
    one_step(bench, encoded("train", 4))
    assert seen == {name: {expected} for name in linear}
    seen.clear()
    predict(bench.model, bench.assembly.head, encoded("validation", 4), bench.runtime)
    assert seen == {name: {expected} for name in linear}
    # They are those of the encoder, of every adapter and of the head.
    for place in ("attention.self.query", *(f"adapters.{p.name}." for p in bench.assembly.adapters), "heads."):
        assert any(place in name for name in linear), place


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_settings_for_other_programs_change_no_gradient(make_bench, encoded, monkeypatch, method):
    gradients = []
    for steps in (None, "4"):
        if steps is not None:
            monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", steps)
        bench = make_bench(method)
        batch = collate(encoded("train", 4), np.arange(4), 1, bench.runtime.device)
        accumulate_gradients(bench.model, bench.assembly.head, [batch], 4, bench.runtime)
        gradients.append({name: parameter.grad for name, parameter in bench.parameters.items()})
        assert os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS") == steps
    assert max(float(gradient.abs().max()) for gradient in gradients[0].values()) > 1e-3
    for name, gradient in gradients[0].items():
        assert torch.equal(gradients[1][name], gradient), name


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
