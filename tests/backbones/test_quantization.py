"""Quantized bodies: what is quantized, that it computes as it should, the library's silent failures (A, B)."""

from __future__ import annotations

import ast
import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import AutoAdapterModel, LoRAConfig
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt
from safetensors.torch import load_file, save_file
from transformers import BitsAndBytesConfig

import adapter_transfer
from adapter_transfer.backbones import quantization
from adapter_transfer.backbones.checkpoints import LocalFolder
from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer.methods.attach import (
    AdapterPart,
    Assembly,
    adapter_dir,
    adapter_weights,
    assemble,
    head_dir,
    save_artifact,
    trained_parameters,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.heads import row_logits
from adapter_transfer.tasks.catalog import TASKS

CPU = torch.device("cpu")
ADAPTERS = [method.name for method in METHODS.values() if "nf4" not in method.refused_precisions]
IDS = torch.arange(48).view(4, 12) + 5
LABELS = torch.tensor([0, 1])


def body_of(precision: str, backbone: str = "nano") -> Any:
    return load_body(BACKBONES[backbone], precision=precision, device=CPU, vocab_size=10, dropout=0.0)


def assembly_of(method: str) -> Assembly:
    declared = METHODS[method]
    # Small enough for the sandbox's smallest scale.
    sizes = {"compacter": {"reduction_factor": 4}}
    return Assembly(
        method=declared,
        settings=declared.parse_settings(sizes.get(method, {})).model_dump(),
        head="micro-copa",
        format=TASKS["micro-copa"].format,
        init_seed=7,
        adapters=(AdapterPart("micro-copa", trains=True),),
        composition="sequential",
    )


def with_adapter(body: Any, method: str) -> Any:
    """A model around the body, its adapter shaken so that it does something."""
    model = with_flexible_heads(body)
    assemble(model, assembly_of(method))
    shake(model)
    return model


def shake(model: Any) -> None:
    with torch.no_grad():
        for index, parameter in enumerate(trained_parameters(model).values()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index))
            parameter.add_(noise, alpha=0.03)


def dequantized(body: Any) -> Any:
    """An ordinary fp32 body whose weights are what the quantized ones stand for."""
    plain = body_of("fp32")
    with torch.no_grad():
        for name, module in body.named_modules():
            if isinstance(module, Linear4bit):
                weight = dequantize_4bit(module.weight.data, module.weight.quant_state)
            elif isinstance(module, Linear8bitLt):
                scales = module.weight.SCB if module.state.SCB is None else module.state.SCB
                weight = module.weight.data.float() * scales.unsqueeze(1) / 127
            else:
                continue
            plain.get_submodule(name).weight.copy_(weight)
    return plain


def logits_of(model: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return row_logits(model, "micro-copa", IDS, torch.ones_like(IDS))


def gradients_of(model: Any) -> dict[str, torch.Tensor]:
    """Gradients of one training step's loss."""
    model.train()
    for module in model.modules():  # ReFT has dropout of its own
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    model.zero_grad()
    scores = row_logits(model, "micro-copa", IDS, torch.ones_like(IDS)).view(2, -1)
    torch.nn.functional.cross_entropy(scores, LABELS).backward()
    return {name: parameter.grad.clone() for name, parameter in trained_parameters(model).items()}


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


QUANTIZED_LAYERS = {"query", "key", "value", "dense"}


@pytest.mark.parametrize(("precision", "kind"), [("nf4", Linear4bit), ("int8", Linear8bitLt)])
def test_the_six_linear_layers_of_a_block_are_quantized_and_nothing_else(precision, kind):
    body = body_of(precision)
    quantized = {name for name, module in body.named_modules() if isinstance(module, kind)}
    assert len(quantized) == 6 * body.config.num_hidden_layers
    assert all(name.startswith("encoder.layer.") for name in quantized)
    assert {name.rpartition(".")[2] for name in quantized} == QUANTIZED_LAYERS
    others = {n: p for n, p in body.named_parameters() if n.removesuffix(".weight") not in quantized}
    assert "embeddings.word_embeddings.weight" in others
    assert {parameter.dtype for parameter in others.values()} == {torch.float32}
    plain = dict(body_of("fp32").named_parameters())
    assert all(torch.equal(parameter, plain[name]) for name, parameter in others.items())
    assert quantization.is_quantized(body)
    assert not quantization.is_quantized(body_of("fp32"))


@pytest.mark.parametrize(("precision", "bits"), [("nf4", 4), ("int8", 8)])
def test_quantized_weights_take_the_room_that_they_are_made_for(precision, bits):
    plain = dict(body_of("fp32").named_parameters())
    for name, module in body_of(precision).named_modules():
        if isinstance(module, Linear4bit | Linear8bitLt):
            weight = module.weight
            assert weight.numel() * weight.element_size() * 8 == plain[f"{name}.weight"].numel() * bits


def test_heads_and_adapters_are_not_quantized():
    model = with_adapter(body_of("nf4"), "seq_bn")
    trained = trained_parameters(model)
    assert {parameter.dtype for parameter in trained.values()} == {torch.float32}
    assert trained.keys() >= {n for n, _ in model.named_parameters() if n.startswith("heads.")} != set()


@pytest.mark.parametrize("precision", ["nf4", "int8"])
@pytest.mark.parametrize("method", ADAPTERS)
def test_every_adapter_has_its_parameters_on_a_quantized_body(method, precision):
    # Fact A, on our route: as many as on an ordinary body, and each of them is trained.
    quantized, plain = with_adapter(body_of(precision), method), with_adapter(body_of("fp32"), method)
    expected = {name: parameter.shape for name, parameter in adapter_weights(plain, "micro-copa").items()}
    assert {n: p.shape for n, p in adapter_weights(quantized, "micro-copa").items()} == expected
    assert expected
    assert trained_parameters(quantized).keys() == trained_parameters(plain).keys() > expected.keys()


def test_the_library_s_own_order_loses_the_parameters(tmp_path):
    # Fact A, pinned: where this fails, the library has mended it and our detour may go.
    body_of("fp32").save_pretrained(tmp_path)
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    model = AutoAdapterModel.from_pretrained(
        tmp_path, quantization_config=config, dtype=torch.float32, device_map={"": "cpu"}
    )
    model.add_adapter("t", config=LoRAConfig())
    assert not adapter_weights(model, "t")


@pytest.mark.parametrize("method", ADAPTERS)
def test_nf4_computes_as_its_dequantized_weights_do(method):
    body = body_of("nf4")
    reference = with_adapter(dequantized(body), method)
    model = with_adapter(body, method)
    gradients, expected = gradients_of(model), gradients_of(reference)
    assert largest_difference(gradients, expected) == 0.0
    assert torch.equal(logits_of(model), logits_of(reference))
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-3
    # It is another model than the one in full precision.
    assert (logits_of(with_adapter(body_of("fp32"), method)) - logits_of(model)).abs().max() > 1e-3


@pytest.mark.parametrize("method", ["seq_bn", "lora", "ia3"])
def test_int8_trains_on_its_dequantized_weights_and_evaluates_near_them(method):
    # On the CPU activations are quantized in evaluation only. Measured: gradients within 3e-8 (scales are applied in
    # another order), logits of an evaluation within 1e-2, of which rounding alone would be 3e-7.
    body = body_of("int8")
    reference = with_adapter(dequantized(body), method)
    model = with_adapter(body, method)
    gradients, expected = gradients_of(model), gradients_of(reference)
    assert largest_difference(gradients, expected) < 1e-6
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-3
    distance = float((logits_of(model) - logits_of(reference)).abs().max())
    assert 1e-6 < distance < 2e-2


def switch_on(model: Any) -> None:
    """As on a CPU with AVX512-BF16."""
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = True


@pytest.mark.parametrize("precision", ["nf4", "int8"])
@pytest.mark.parametrize("method", ["seq_bn", "lora", "ia3"])
def test_an_evaluation_between_training_steps_changes_nothing(monkeypatch, method, precision):
    # Fact B. New layers ask this when they are made; some are made when adapters are put on the body.
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    model = with_adapter(body_of(precision), method)
    expected, scores = gradients_of(model), logits_of(model)
    weights = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    assert torch.equal(logits_of(model), scores)
    assert largest_difference(gradients_of(model), expected) == 0.0
    assert all(torch.equal(parameter, weights[name]) for name, parameter in model.named_parameters())


def test_left_to_itself_the_library_packs_weights_anew():
    # Fact B, pinned: the training step after an evaluation crashes or has wrong gradients.
    model = with_adapter(body_of("nf4"), "seq_bn")
    expected = gradients_of(model)
    switch_on(model)
    logits_of(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about products that no gradient flows through
            gradients = gradients_of(model)
    except (RuntimeError, AttributeError):
        return  # as it does on such a CPU
    assert largest_difference(gradients, expected) > 0.1 * max(float(g.abs().max()) for g in expected.values())


@pytest.mark.parametrize("precision", ["nf4", "int8"])
@pytest.mark.parametrize("method", ["seq_bn", "lora"])
def test_an_adapter_trained_on_quantized_weights_loads_into_full_precision(tmp_path: Path, method, precision):
    body = body_of(precision)
    plain = dequantized(body)
    model, assembly = with_adapter(body, method), assembly_of(method)
    save_artifact(model, assembly, tmp_path)
    part = replace(assembly.adapters[0], source=adapter_dir(tmp_path, "micro-copa"))
    loaded = replace(assembly, adapters=(part,), head_source=head_dir(tmp_path, "micro-copa"))
    for other in (body_of("fp32"), plain, body_of(precision)):
        again = with_flexible_heads(other)
        assemble(again, loaded)
        expected = trained_parameters(model)
        assert all(torch.equal(value, expected[name]) for name, value in trained_parameters(again).items())
        if other is plain and precision == "int8":
            assert (logits_of(again) - logits_of(model)).abs().max() < 2e-2
        elif not (other is plain or quantization.is_quantized(other)):
            assert torch.isfinite(logits_of(again)).all()
        else:
            assert torch.equal(logits_of(again), logits_of(model))


@pytest.mark.parametrize("precision", ["nf4", "int8"])
@pytest.mark.parametrize(
    "move",
    [
        lambda model: model.to("cpu"),
        lambda model: model.to(torch.float16),
        lambda model: model.half(),
        lambda model: model.float(),
        lambda model: model.cpu(),
        lambda model: torch.nn.Sequential(model).to(torch.bfloat16),
    ],
    ids=["to device", "to dtype", "half", "float", "cpu", "of an enclosing module"],
)
def test_a_quantized_body_is_neither_moved_nor_cast(precision, move):
    body = body_of(precision)
    before = {name: value.clone() for name, value in body.state_dict().items()}
    for model in (body, with_flexible_heads(body)):
        with pytest.raises((AssertionError, ValueError), match=r"quantized|bitsandbytes"):
            move(model)
    after = body.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_accelerate_is_never_given_a_model():
    # `prepare` moves a model, or wraps its forward, as it finds it; where it leaves a quantized one alone is its own
    # affair and differs by version.
    calls = [
        f"{path.name}:{node.lineno}"
        for path in Path(adapter_transfer.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr.startswith("prepare")
    ]
    assert calls == []


@pytest.mark.parametrize("precision", ["nf4", "int8"])
def test_forwards_are_silent(caplog, precision):
    # bitsandbytes has something to say at each of an int8 layer's.
    logits_of(with_adapter(body_of(precision), "seq_bn"))
    assert not [record for record in caplog.records if record.name.startswith("bitsandbytes")]


def test_a_quantized_body_is_not_trained():
    with pytest.raises(AssertionError, match="cannot be trained"):
        load_body(BACKBONES["nano"], precision="nf4", trains=True, device=CPU, vocab_size=10)
    with pytest.raises(AssertionError, match="cannot be trained"):
        load_body(BACKBONES["nano"], precision="int8", trained_dir=Path("model"), device=CPU, vocab_size=10)


def test_without_bitsandbytes_it_is_said_what_to_install(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else real(name))
    with pytest.raises(ConfigError, match=r"'nf4' needs bitsandbytes.*pip install"):
        body_of("nf4")
    body_of("fp32")


def test_random_weights_are_quantized_too(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    body, plain = body_of("nf4", "micro-random"), body_of("fp32", "micro-random")
    name = "encoder.layer.0.attention.self.query"
    layer = body.get_submodule(name)
    weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    original = plain.get_submodule(name).weight
    # Within half of the widest gap between nf4's levels (0.304), of the largest weight of a block.
    assert 0 < (weight - original).abs().max() < 0.153 * original.abs().max()
    assert torch.equal(body.embeddings.word_embeddings.weight, plain.embeddings.word_embeddings.weight)
    assert list(tmp_path.iterdir()) == []  # the folder that they went through is gone


def test_sizes_that_blocks_do_not_divide_are_quantized_exactly_as_well():
    config = {**BACKBONES["nano"].config_fields(), "hidden_size": 36, "intermediate_size": 100}
    odd = replace(BACKBONES["micro-random"], model=None, config=config, vocab_size=config["vocab_size"])
    bodies = [load_body(odd, precision=p, device=CPU, vocab_size=10, dropout=0.0) for p in ("nf4", "fp32")]
    layers = [name for name, module in bodies[0].named_modules() if isinstance(module, Linear4bit)]
    with torch.no_grad():
        for name in layers:
            weight = bodies[0].get_submodule(name).weight
            bodies[1].get_submodule(name).weight.copy_(dequantize_4bit(weight.data, weight.quant_state))
        quantized, plain = (body(input_ids=IDS)[0] for body in bodies)
    assert layers
    assert torch.equal(quantized, plain)


@pytest.mark.parametrize("precision", ["fp32", "nf4", "int8"])
def test_a_checkpoint_that_lacks_weights_is_refused_in_every_precision(tmp_path, precision):
    body_of("fp32").save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    lacking = replace(BACKBONES["nano"], model=LocalFolder(str(tmp_path)))
    with pytest.raises(DataError, match=r"'nano': .*(lacks weights|cannot be loaded)"):
        load_body(lacking, precision=precision, device=CPU, vocab_size=10)
