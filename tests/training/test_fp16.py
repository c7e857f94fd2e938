"""fp16 with loss scaling, on the CPU: what is scaled, which steps are skipped, and that a resumed run is the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from adapter_transfer.errors import DeviceError, RunFailedError
from adapter_transfer.training import loop
from adapter_transfer.training import runtime as runtime_module
from adapter_transfer.training.batching import collate
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.history import read_history
from adapter_transfer.training.optimizers import make_optimizer
from adapter_transfer.training.runtime import Runtime, device_precisions, make_accelerator
from adapter_transfer.training.settings import TrainingSettings
from adapter_transfer.training.steps import accumulate_gradients, apply_gradients, num_updates

SCALER = torch.amp.GradScaler


@dataclass(frozen=True)
class Scaling(Runtime):
    """A runtime whose scaler starts as a test wants it."""

    scaling: Any = None

    def make_scaler(self) -> torch.amp.GradScaler:
        return SCALER("cpu", **self.scaling)


def scaled_by(bench, **settings):
    """The bench with a scaler of its own; a huge `init_scale` makes the first steps overflow."""
    fields = {name: getattr(bench.runtime, name) for name in bench.runtime.__dataclass_fields__}
    bench.runtime = Scaling(**fields, scaling=settings)
    return bench


def one_step(bench, data, scaler, optimizer):
    batch = collate(data, np.arange(len(data)), 1, bench.runtime.device)
    loss = accumulate_gradients(bench.model, bench.assembly.head, [batch], len(data), bench.runtime, scaler)
    gradients = {name: parameter.grad.clone() for name, parameter in bench.parameters.items()}
    norm = apply_gradients(optimizer, list(bench.parameters.values()), 1e-3, 1.0, scaler)
    return loss, gradients, norm


def optimizer_of(bench):
    return make_optimizer(bench.parameters, TrainingSettings(learning_rate=1e-3), bench.runtime.device)


@pytest.mark.parametrize(("method", "composition"), [("full", "none"), ("seq_bn", "stack")])
def test_fp16_trains_with_fp32_master_weights(make_bench, encoded, tmp_path, method, composition):
    bench = make_bench(method, composition=composition, precision="fp16")
    assert all(parameter.dtype == torch.float32 for parameter in bench.parameters.values())
    embeddings = bench.model.base_model.embeddings.word_embeddings.weight
    assert embeddings.dtype == (torch.float32 if method == "full" else torch.float16)
    before, data = bench.state(), encoded("train", 32)
    untrained = data.format.score(data, predict(bench.model, bench.assembly.head, data, bench.runtime))
    rate, epochs = (1e-3, 6) if method == "full" else (1e-2, 10)
    position = loop.fit(
        bench.fit_inputs(tmp_path, data, encoded("validation", 8), epochs=epochs, learning_rate=rate, select="last")
    )
    trained = data.format.score(data, predict(bench.model, bench.assembly.head, data, bench.runtime))
    assert trained.loss < 0.6 * untrained.loss
    assert position.num_skipped_steps < 4
    after = bench.state()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert bench.parameters.keys() >= moved >= bench.parameters.keys() - {"heads.micro-copa.4.bias"}
    assert all(after[name].dtype == value.dtype for name, value in before.items())


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_every_matrix_product_is_in_fp16(make_bench, encoded, method):
    bench = make_bench(method, precision="fp16")
    seen: dict[str, set[torch.dtype]] = {}
    linear = {name for name, module in bench.model.named_modules() if isinstance(module, torch.nn.Linear)}
    for name in linear:
        hook = lambda _, __, output, name=name: seen.setdefault(name, set()).add(output.dtype)  # noqa: E731
        bench.model.get_submodule(name).register_forward_hook(lambda *given, hook=hook: hook(*given) and None)
    one_step(bench, encoded("train", 4), bench.runtime.make_scaler(), optimizer_of(bench))
    assert seen == {name: {torch.float16} for name in linear}
    seen.clear()
    predict(bench.model, bench.assembly.head, encoded("validation", 4), bench.runtime)
    assert seen == {name: {torch.float16} for name in linear}


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_gradients_are_scaled_while_they_are_made_and_unscaled_before_they_are_clipped(make_bench, encoded, method):
    data = encoded("train", 8)
    half, whole = make_bench(method, precision="fp16"), make_bench(method)
    scaler = SCALER("cpu", init_scale=1024.0)
    loss, gradients, norm = one_step(half, data, scaler, optimizer_of(half))
    exact_loss, exact, exact_norm = one_step(whole, data, SCALER("cpu", enabled=False), optimizer_of(whole))
    assert float(loss) == pytest.approx(float(exact_loss), rel=0.01)
    assert float(norm) == pytest.approx(float(exact_norm), rel=0.05)
    largest = max(exact, key=lambda name: float(exact[name].abs().max()))
    cosine = torch.nn.functional.cosine_similarity(gradients[largest].flatten(), exact[largest].flatten(), dim=0)
    assert float(cosine) > 0.99
    assert float(gradients[largest].norm()) == pytest.approx(1024 * float(exact[largest].norm()), rel=0.05)


def test_a_step_that_overflows_changes_nothing_but_the_scale(make_bench, encoded):
    bench, data = make_bench("seq_bn", precision="fp16"), encoded("train", 8)
    before, optimizer = bench.state(), optimizer_of(bench)
    scaler = SCALER("cpu", init_scale=2.0**40)
    loss, _, norm = one_step(bench, data, scaler, optimizer)
    assert math.isfinite(loss)
    assert not math.isfinite(norm)
    assert all(torch.equal(value, before[name]) for name, value in bench.state().items())
    assert num_updates(optimizer) == 0
    assert scaler.get_scale() == 2.0**39
    while not math.isfinite(one_step(bench, data, scaler, optimizer)[2]):
        pass
    assert num_updates(optimizer) == 1
    assert any(not torch.equal(value, before[name]) for name, value in bench.state().items())
    assert all(torch.isfinite(value).all() for value in bench.state().values())


def test_skipped_steps_are_counted_and_have_no_gradient_norm(make_bench, encoded, tmp_path):
    bench = scaled_by(make_bench("seq_bn", precision="fp16"), init_scale=2.0**40)
    inputs = bench.fit_inputs(tmp_path, encoded("train", 32), encoded("validation", 8), epochs=10, select="last")
    position = loop.fit(inputs)
    records = [record for record in read_history(inputs.history_path) if "loss" in record]
    assert position.step == 40
    assert 10 < position.num_skipped_steps < 40
    assert records[0]["grad_norm"] is None
    assert math.isfinite(records[-1]["grad_norm"])
    assert all(math.isfinite(record["loss"]) for record in records)


def test_a_training_in_which_nothing_can_be_updated_fails(make_bench, encoded, tmp_path):
    bench = scaled_by(make_bench("seq_bn", precision="fp16"), init_scale=2.0**60, backoff_factor=0.99)
    inputs = bench.fit_inputs(tmp_path, encoded("train", 16), encoded("validation", 8), epochs=2)
    with pytest.raises(RunFailedError, match=r"4 of 4 steps changed nothing; try bf16 or fp32"):
        loop.fit(inputs)


def test_a_training_whose_gradients_stay_infinite_fails_before_its_end(make_bench, encoded, tmp_path, monkeypatch):
    bench = scaled_by(make_bench("seq_bn", precision="fp16"), init_scale=2.0**-10)
    real = loop.accumulate_gradients

    def broken(*arguments):
        loss = real(*arguments)
        for parameter in bench.parameters.values():
            parameter.grad.fill_(math.nan)
        return loss

    monkeypatch.setattr(loop, "accumulate_gradients", broken)
    inputs = bench.fit_inputs(tmp_path, encoded("train", 32), encoded("validation", 8), epochs=10)
    with pytest.raises(RunFailedError, match=r"10 of 10 steps changed nothing"):
        loop.fit(inputs)


class Cut(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize(("method", "at_step"), [("full", 3), ("seq_bn", 7)])
def test_a_resumed_training_equals_an_uninterrupted_one(make_bench, encoded, tmp_path, monkeypatch, method, at_step):
    # The scale falls in the first steps and rises every third later, so that a scaler that starts anew would differ.
    def bench():
        made = make_bench(method, dropout=0.1, precision="fp16", checkpoint_steps=2)
        return scaled_by(made, init_scale=2.0**24, growth_interval=3)

    train, validation = encoded("train", 32), encoded("validation", 16)
    settings = {"epochs": 4, "dropout": 0.1}
    straight = bench()
    end = loop.fit(straight.fit_inputs(tmp_path / "straight", train, validation, **settings))
    real, calls = loop.apply_gradients, []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) > at_step:
            raise Cut
        return real(*arguments)

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(loop, "apply_gradients", stopping)
        loop.fit(bench().fit_inputs(tmp_path / "cut", train, validation, **settings))
    second = bench()
    resumed = loop.fit(second.fit_inputs(tmp_path / "cut", train, validation, **settings))
    assert replace(resumed, seconds=0) == replace(end, seconds=0)
    assert 0 < end.num_skipped_steps < end.step
    expected = straight.state()
    for name, value in second.state().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("precision", ["fp32", "bf16", "nf4", "int8"])
def test_nothing_is_scaled_in_other_precisions_on_the_cpu(precision):
    runtime = Runtime(make_accelerator("cpu", precision), precision=precision)
    assert not runtime.make_scaler().is_enabled()
    assert Runtime(make_accelerator("cpu", "fp16"), precision="fp16").make_scaler().is_enabled()


def test_bf16_on_a_card_without_it_says_to_use_fp16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    with pytest.raises(DeviceError, match="Use precision fp16"):
        make_accelerator("auto", "bf16")
    assert device_precisions(torch.device("cuda")) == ("fp32", "fp16", "int8", "nf4")
    assert device_precisions(torch.device("cpu")) == ("fp32", "bf16", "fp16", "int8", "nf4")


def test_quantized_weights_compute_in_fp16_on_a_card_without_bf16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    made = []
    monkeypatch.setattr(runtime_module.torch, "autocast", lambda *given, **named: made.append((given, named)))
    runtime = Runtime(SimpleNamespace(device=torch.device("cuda")), precision="nf4")
    runtime.autocast()
    assert made == [(("cuda",), {"dtype": torch.float16})]
