"""Precisions on an NVIDIA card. These tests skip themselves where torch can use none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from adapter_transfer.backbones.precision import compute_dtype, has_bf16
from adapter_transfer.methods.attach import adapter_dir, assemble, disassemble, head_dir, save_artifact
from adapter_transfer.training import loop
from adapter_transfer.training.batching import collate
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.steps import accumulate_gradients

pytestmark = pytest.mark.gpu

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
CELLS = [(p, m) for p in ("nf4", "int8") for m in ("seq_bn", "lora")] + [
    (p, m) for p in ("fp32", "bf16", "fp16") for m in ("full", "seq_bn")
]


def needs_bf16(precision: str) -> None:
    if precision == "bf16" and not has_bf16(CUDA):
        pytest.skip("needs an NVIDIA GPU that computes in bf16")


@pytest.mark.parametrize(("precision", "method"), CELLS)
def test_it_learns_and_moves_only_what_trains(make_bench, encoded, tmp_path, precision, method):
    needs_bf16(precision)
    bench, data = make_bench(method, precision=precision, device=CUDA), encoded("train", 32)
    assert {parameter.device.type for parameter in bench.model.parameters()} == {"cuda"}
    assert {parameter.dtype for parameter in bench.parameters.values()} == {torch.float32}
    assert bench.runtime.make_scaler().is_enabled() == (compute_dtype(precision, CUDA) == torch.float16)
    untrained = data.format.score(data, predict(bench.model, bench.assembly.head, data, bench.runtime))
    before = bench.state()  # after a forward: an int8 layer turns its bias into the dtype of its first input
    settings = {"epochs": 10, "learning_rate": 1e-3 if method == "full" else 1e-2, "select": "last"}
    loop.fit(bench.fit_inputs(tmp_path, data, encoded("validation", 8), **settings))
    trained = data.format.score(data, predict(bench.model, bench.assembly.head, data, bench.runtime))
    assert trained.loss < 0.6 * untrained.loss
    moved = {name for name, value in bench.state().items() if not torch.equal(value, before[name])}
    assert bench.parameters.keys() >= moved
    assert len(moved) >= len(bench.parameters) - 3  # biases that softmax does not feel may stay


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_matrix_products_are_in_the_precision_of_the_run(make_bench, encoded, precision, method):
    needs_bf16(precision)
    bench, seen = make_bench(method, precision=precision, device=CUDA), set()
    for module in bench.model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _, __, output: seen.add(output.dtype))
    predict(bench.model, bench.assembly.head, encoded("validation", 4), bench.runtime)
    assert seen == {compute_dtype(precision, CUDA)}


@pytest.mark.parametrize("precision", ["nf4", "int8"])
@pytest.mark.parametrize("method", ["seq_bn", "lora"])
def test_an_evaluation_between_training_steps_changes_nothing(make_bench, encoded, precision, method):
    bench, data = make_bench(method, precision=precision, device=CUDA), encoded("train", 8)

    def gradients():
        bench.model.train()
        bench.model.zero_grad()
        batch = collate(data, np.arange(8), 1, CUDA)
        accumulate_gradients(bench.model, bench.assembly.head, [batch], 8, bench.runtime)
        return {name: parameter.grad.clone() for name, parameter in bench.parameters.items()}

    expected, before = gradients(), bench.state()
    predict(bench.model, bench.assembly.head, data, bench.runtime)
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    assert largest > 1e-4
    # Sums on a card come in no fixed order; wrong weights would differ by the gradients' own size.
    assert max(float((g - expected[n]).abs().max()) for n, g in gradients().items()) < 1e-2 * largest
    assert all(torch.equal(value, before[name]) for name, value in bench.state().items())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "nf4", "int8"])
@pytest.mark.parametrize("method", ["seq_bn", "lora"])
def test_what_a_card_has_saved_loads_into_full_precision_on_the_cpu(make_bench, encoded, tmp_path, precision, method):
    needs_bf16(precision)
    bench, data = make_bench(method, precision=precision, device=CUDA), encoded("validation", 32)
    with torch.no_grad():
        for index, parameter in enumerate(bench.parameters.values()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index))
            parameter.add_(noise.to(CUDA), alpha=0.03)
    save_artifact(bench.model, bench.assembly, tmp_path)
    scores = predict(bench.model, "micro-copa", data, bench.runtime)
    other = make_bench(method, device=CPU)
    part = replace(bench.assembly.adapters[0], source=adapter_dir(tmp_path, "micro-copa"))
    disassemble(other.model, other.assembly)
    assemble(other.model, replace(bench.assembly, adapters=(part,), head_source=head_dir(tmp_path, "micro-copa")))
    again = predict(other.model, "micro-copa", data, other.runtime)
    # One adapter and head, on weights of two precisions.
    assert np.corrcoef(np.diff(again).ravel(), np.diff(scores).ravel())[0, 1] > 0.9


def test_a_resumed_fp16_training_goes_on_with_its_scale(make_bench, encoded, tmp_path, monkeypatch):
    train, validation = encoded("train", 32), encoded("validation", 8)
    settings, real, scales = {"epochs": 3, "select": "last"}, loop.apply_gradients, []

    def stopping(*arguments):
        if len(scales) == 6:
            raise KeyboardInterrupt
        norm = real(*arguments)
        scales.append(arguments[-1].get_scale())
        return norm

    bench = make_bench("seq_bn", precision="fp16", device=CUDA, checkpoint_steps=2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "apply_gradients", stopping)
        loop.fit(bench.fit_inputs(tmp_path, train, validation, **settings))
    again = make_bench("seq_bn", precision="fp16", device=CUDA, checkpoint_steps=2)
    inputs = again.fit_inputs(tmp_path, train, validation, **settings)
    seen = []

    def noting(*arguments):
        seen.append(arguments[-1].get_scale())
        return real(*arguments)

    monkeypatch.setattr(loop, "apply_gradients", noting)
    position = loop.fit(inputs)
    assert position.step == 12
    assert len(seen) == 6
    assert seen[0] == scales[-1]


SAVERS = [
    {"optimizer": "adamw-8bit"},
    {"optimizer": "paged-adamw"},
    {"optimizer": "paged-adamw-8bit", "master_weights": "bf16"},
    {"optimizer": "adamw-8bit", "update": "backward", "master_weights": "bf16"},
]


@pytest.mark.parametrize("changes", SAVERS, ids=lambda changes: "-".join(changes.values()))
def test_optimizers_that_need_less_memory_learn_and_go_on_where_they_were(
    make_bench, encoded, tmp_path, monkeypatch, changes
):
    weights = changes.get("master_weights", "fp32")
    needs_bf16(weights)
    data = encoded("train", 32)
    options = {"precision": weights, "master_weights": weights, "device": CUDA, "checkpoint_steps": 2}
    settings = {"epochs": 8, "max_grad_norm": None, "select": "last", **changes}
    bench, real, calls = make_bench("full", **options), loop.apply_gradients, []
    untrained = data.format.score(data, predict(bench.model, bench.assembly.head, data, bench.runtime))

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "apply_gradients", stopping)
        loop.fit(bench.fit_inputs(tmp_path, data, encoded("validation", 8), **settings))
    again = make_bench("full", **options)
    position = loop.fit(again.fit_inputs(tmp_path, data, encoded("validation", 8), **settings))
    trained = data.format.score(data, predict(again.model, again.assembly.head, data, again.runtime))
    assert position.step == 32
    assert trained.loss < 0.8 * untrained.loss
