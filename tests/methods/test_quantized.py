"""Adapters on quantized bodies: each method trains or is refused, and what it learned loads into full precision."""

from __future__ import annotations

import bitsandbytes
import pytest
import torch
from bitsandbytes.nn import Linear4bit
from safetensors.torch import load_file

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.methods.attach import (
    AdapterPart,
    Assembly,
    adapter_dir,
    adapter_state,
    adapter_weights,
    assemble,
    disassemble,
    save_artifact,
    trained_parameters,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.heads import row_logits
from adapter_transfer.tasks.catalog import TASKS

IDS = torch.tensor([[0, 50, 60, 2, 2, 70, 2], [0, 51, 61, 2, 2, 71, 2]])
MASK = torch.ones_like(IDS)
SETTINGS = {"compacter": {"reduction_factor": 4}, "prefix": {"bottleneck_size": 16}}
ADAPTER_METHODS = [method.name for method in METHODS.values() if method.kind == "adapter"]
each_precision = pytest.mark.parametrize("precision", ["nf4", "int8"])


def new_model(precision):
    backbone = BACKBONES["nano"]
    size = len(load_tokenizer(backbone))
    body = load_body(
        backbone, precision=precision, trains=False, device=torch.device("cpu"), vocab_size=size, dropout=0.0
    )
    return with_flexible_heads(body)


def assembly(name, *parts, **changes):
    method = METHODS[name]
    settings = method.parse_settings(SETTINGS.get(name, {})).model_dump(mode="json")
    parts = parts or (AdapterPart("micro-copa", trains=True),)
    return Assembly(method, settings, "micro-copa", TASKS["micro-copa"].format, 3, adapters=parts, **changes)


def train(model, steps=2):
    optimizer = torch.optim.AdamW(trained_parameters(model).values(), lr=0.01, weight_decay=0.0)
    model.train()
    for _ in range(steps):
        torch.nn.functional.softplus(row_logits(model, "micro-copa", IDS, MASK)).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def logits(model):
    model.eval()
    with torch.no_grad():
        return row_logits(model, "micro-copa", IDS, MASK)


def packed_weights(model):
    return {name: weight.data for name, weight in model.named_parameters() if not weight.is_floating_point()}


@pytest.fixture(scope="module")
def models():
    """One model a precision; every test takes off what it put on."""
    return {precision: new_model(precision) for precision in ("fp32", "nf4", "int8")}


@each_precision
@pytest.mark.parametrize("method", [name for name in ADAPTER_METHODS if not METHODS[name].refused_precisions])
def test_a_method_trains_on_a_quantized_body_and_loads_into_full_precision(models, tmp_path, method, precision):
    model, made = models[precision], assembly(method)
    frozen = {name: value.clone() for name, value in model.base_model.state_dict().items() if value.is_floating_point()}
    packed = {name: value.clone() for name, value in packed_weights(model).items()}
    assert len(packed) == 2 * 6
    assemble(model, made)
    try:
        state = adapter_state(model, "micro-copa")
        assert state and {value.dtype for value in state.values()} == {torch.float32}
        before = {name: value.detach().clone() for name, value in adapter_weights(model, "micro-copa").items()}
        train(model)
        assert all(not torch.equal(before[name], value) for name, value in adapter_weights(model, "micro-copa").items())
        assert torch.isfinite(logits(model)).all()
        learned = {name: value.clone() for name, value in state.items()}
        save_artifact(model, made, tmp_path)
    finally:
        disassemble(model, made)
    after = model.base_model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in frozen.items())
    assert all(torch.equal(value, packed[name]) for name, value in packed_weights(model).items())

    source = adapter_dir(tmp_path, "micro-copa")
    full = assembly(method, AdapterPart("micro-copa", False, source), head_source=source)
    assemble(models["fp32"], full)
    try:
        loaded = adapter_state(models["fp32"], "micro-copa")
        assert loaded.keys() == learned.keys() == load_file(source / "adapter.safetensors").keys()
        assert all(torch.equal(loaded[name], learned[name]) for name in learned)
    finally:
        disassemble(models["fp32"], full)


@each_precision
@pytest.mark.parametrize("method", [name for name in ADAPTER_METHODS if METHODS[name].refused_precisions])
def test_what_is_refused_on_a_quantized_body_would_not_run(precision, method):
    assert precision in METHODS[method].refused_precisions
    with pytest.raises(RuntimeError, match="Expected a floating point"):
        assemble(new_model(precision), assembly(method))


@each_precision
def test_the_model_knows_that_its_body_is_quantized(models, precision):
    model = models[precision]
    assert model.is_quantized and model.hf_quantizer is model.base_model.hf_quantizer
    assert model.quantization_method == model.base_model.quantization_method
    assert getattr(model, "is_loaded_in_4bit", False) == (precision == "nf4")
    assert getattr(model, "is_loaded_in_8bit", False) == (precision == "int8")
    assert not getattr(models["fp32"], "is_quantized", False)


def test_no_layer_packs_its_weights_anew_where_the_cpu_could(monkeypatch):
    # Fact B: the library's LoRA layers are new ones, with the switch as the machine has it.
    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)
    assert Linear4bit(8, 8).support_avx512bf16_for_cpu
    layers = [module for module in new_model("nf4").modules() if isinstance(module, Linear4bit)]
    assert len(layers) == 2 * 6
    assert sum(hasattr(layer, "loras") for layer in layers) == 2 * 5  # all but the attention's output
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)


@pytest.mark.parametrize("precision", ["nf4", "int8"])
def test_the_sum_of_lora_starts_as_the_intermediate_alone(models, tmp_path, precision):
    model, lower = models[precision], assembly("lora")
    assemble(model, lower)
    train(model)
    wanted = logits(model)
    save_artifact(model, lower, tmp_path)
    disassemble(model, lower)
    source = adapter_dir(tmp_path, "micro-copa")
    parts = (AdapterPart("lower", False, source), AdapterPart("micro-copa", True))
    both = assembly("lora", *parts, composition="sum", head_source=source)
    assemble(model, both)
    try:
        assert torch.equal(logits(model), wanted)
        train(model)
        assert not torch.equal(logits(model), wanted)
        saved = load_file(source / "adapter.safetensors")
        for name, parameter in adapter_weights(model, "lower").items():
            assert torch.equal(parameter, saved[name.replace(".lower.", ".micro-copa.")])
    finally:
        disassemble(model, both)
