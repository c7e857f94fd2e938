"""What the adapters library does without a word, and why a method is refused here: we notice when it is mended.

A test that fails here after an upgrade is good news: the refusal or detour that it stands for can go.
"""

from __future__ import annotations

from dataclasses import replace

import adapters
import pytest
import torch
from adapters.composition import Average, Stack
from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaXLConfig, XLMRobertaXLModel

from adapter_transfer.methods.architectures import XL_INTERFACE
from adapter_transfer.methods.attach import adapter_weights, with_flexible_heads

IDS = torch.tensor([[0, 5, 6, 7, 2], [0, 8, 9, 2, 1]])
MASK = (IDS != 1).long()


@pytest.fixture
def model():
    torch.manual_seed(1)
    shape = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = XLMRobertaConfig(
        **shape,
        intermediate_size=64,
        max_position_embeddings=20,
        initializer_range=0.2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return with_flexible_heads(XLMRobertaModel(config, add_pooling_layer=False).eval())


def add(model, config, *names):
    for name in names:
        model.add_adapter(name, config=config)


def shake(model, name, seed=2):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter_weights(model, name).values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def hidden(model, block):
    model.set_active_adapters(block)
    with torch.no_grad():
        return model.base_model(input_ids=IDS, attention_mask=MASK)[0][:, 0]


def test_c_a_stack_erases_the_lower_lora(model):
    plain = hidden(model, None)
    add(model, adapters.LoRAConfig(), "lower", "upper")
    shake(model, "lower")
    assert not torch.equal(hidden(model, "lower"), plain)
    assert torch.equal(hidden(model, Stack("lower", "upper")), plain)


def test_c_a_stack_of_lora_on_projections_that_are_not_square_crashes(model):
    add(model, adapters.LoRAConfig(intermediate_lora=True), "lower", "upper")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        hidden(model, Stack("lower", "upper"))


def test_d_the_lower_parallel_bottleneck_of_a_stack_is_ignored(model):
    add(model, adapters.ParBnConfig(), "lower", "upper")
    shake(model, "lower")
    shake(model, "upper", seed=3)
    assert torch.equal(hidden(model, Stack("lower", "upper")), hidden(model, "upper"))


@pytest.mark.parametrize("block", [Stack, Average])
def test_e_of_several_reft_adapters_only_the_first_runs(model, block):
    add(model, adapters.LoReftConfig(dropout=0.0), "lower", "upper")
    assert not torch.equal(hidden(model, "upper"), hidden(model, "lower"))
    model.set_active_adapters(block("lower", "upper"))
    assert torch.equal(hidden(model, block("lower", "upper")), hidden(model, "lower"))
    model.base_model(input_ids=IDS, attention_mask=MASK)[0].sum().backward()
    assert all(parameter.grad is None for parameter in adapter_weights(model, "upper").values())


@pytest.mark.parametrize(
    "block", [Stack("lower", "upper"), Average("lower", "upper", weights=[2.0, 2.0], normalize_weights=False)]
)
def test_neither_a_stack_nor_a_sum_of_dora_starts_as_the_lower_one(model, block):
    add(model, adapters.DoRAConfig(), "lower", "upper")
    shake(model, "lower")
    assert float((hidden(model, block) - hidden(model, "lower")).abs().max()) > 1e-2


def test_the_norm_of_dora_does_not_know_alpha(model):
    # What is applied is W + alpha / r · BA; what it is divided by is the norm of W + BA.
    add(model, adapters.DoRAConfig(r=4, alpha=4), "same")
    add(model, adapters.DoRAConfig(r=4, alpha=16), "more")
    layer = model.base_model.encoder.layer[0].attention.self.value
    states = torch.randn(1, 3, 32)
    with torch.no_grad():
        for name in ("same", "more"):
            shake(model, name)
            lora = layer.loras[name]
            scaled = layer.weight + lora.scaling * lora.lora_B @ lora.lora_A
            # The library scales the bias, too; here it is 0.
            right = states @ (lora.m.weight / scaled.norm(dim=1, keepdim=True) * scaled).T
            model.set_active_adapters(name)
            got = layer(states)
            assert torch.allclose(got, right, atol=1e-5) == (name == "same")


def test_weight_decay_ends_reft(model):
    add(model, adapters.LoReftConfig(dropout=0.0), "reft")
    plain, moved = hidden(model, None), hidden(model, "reft")
    assert not torch.equal(plain, moved)
    with torch.no_grad():
        for name, parameter in adapter_weights(model, "reft").items():
            if name.endswith(".original"):
                parameter.mul_(1 - 1e-3 * 0.01)  # one step of AdamW at rate 1e-3 and decay 0.01
    assert torch.equal(hidden(model, "reft"), plain)


def test_reft_cannot_tell_where_rows_begin_in_a_mask_of_three_dimensions(model):
    add(model, adapters.LoReftConfig(dropout=0.0), "reft")
    model.set_active_adapters("reft")
    with pytest.raises(RuntimeError, match="size of tensor"):
        model.base_model(input_ids=IDS, attention_mask=MASK[:, None, :])


def test_untied_reft_keeps_weights_that_never_act(model):
    add(model, adapters.LoReftConfig(dropout=0.0), "reft")
    model.set_active_adapters("reft")
    model.base_model(input_ids=IDS, attention_mask=MASK)[0].sum().backward()
    grads = {name: parameter.grad for name, parameter in adapter_weights(model, "reft").items()}
    assert all(not grad.any() for name, grad in grads.items() if ".units.1." in name)
    assert any(grad.any() for name, grad in grads.items() if ".units.0." in name)


def test_l_prefixes_cannot_be_saved_as_safetensors_by_the_library(model, tmp_path):
    add(model, adapters.PrefixTuningConfig(bottleneck_size=8), "prefix")
    with pytest.raises(RuntimeError, match="share memory"):
        model.save_adapter(str(tmp_path), "prefix", use_safetensors=True)


def xl_body():
    config = XLMRobertaXLConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=20,
    )
    return XLMRobertaXLModel(config, add_pooling_layer=False).eval()


def test_the_library_has_no_class_for_xlm_r_xl():
    with pytest.raises(ValueError, match="xlm_roberta_xl not pre-supported"):
        adapters.init(xl_body())


def test_the_librarys_checkpointing_does_not_know_xlm_r_xl_and_asks_for_the_gradient_of_the_embeddings(model):
    with pytest.raises(ValueError, match="does not support gradient checkpointing"):
        with_flexible_heads(xl_body()).gradient_checkpointing_enable()
    add(model, adapters.SeqBnConfig(), "target")
    model.train_adapter("target")
    assert not model.base_model.embeddings(IDS).requires_grad
    model.base_model.gradient_checkpointing_enable()
    assert model.base_model.embeddings.word_embeddings(IDS).requires_grad


def test_the_norm_after_a_block_that_an_interface_names_is_the_last_layers():
    interface = replace(XL_INTERFACE, layer_ln_2="LayerNorm")
    body = xl_body()
    adapters.init(body, interface=interface)
    norms = []
    for layer in body.encoder.layer:
        layer.output_adapters.forward = lambda states, residual, norm: norms.append(norm) or states
    with torch.no_grad():
        body(input_ids=IDS, attention_mask=MASK)
    assert norms == [body.encoder.layer[1].LayerNorm] * 2
