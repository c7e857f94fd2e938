"""Gradient checkpointing: the same gradients to the bit, for every method and architecture, and fewer activations."""

from __future__ import annotations

import gc
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters.context import ForwardContext
from small_encoders import CLASSES, SHAPE
from torch.autograd.graph import saved_tensors_hooks

from adapter_transfer.backbones.backbone import SUPPORTED_ARCHITECTURES, Backbone
from adapter_transfer.backbones.checkpoints import LocalFolder
from adapter_transfer.backbones.loading import load_body
from adapter_transfer.methods.attach import (
    AdapterPart,
    Assembly,
    adapter_weights,
    assemble,
    disassemble,
    trained_parameters,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.heads import row_logits
from adapter_transfer.methods.recomputation import set_gradient_checkpointing
from adapter_transfer.tasks.catalog import TASKS

SETTINGS: dict[str, dict[str, Any]] = {
    "seq_bn": {"reduction_factor": 2},
    "double_seq_bn": {"reduction_factor": 2},
    "compacter": {"reduction_factor": 2, "phm_dim": 2},
    "prefix": {"prefix_length": 3, "bottleneck_size": 8, "dropout": 0.1},
    "lora": {"r": 2, "dropout": 0.1},
    "dora": {"r": 2, "dropout": 0.1},
    "reft": {"r": 2, "dropout": 0.1},
}
LENGTHS = (12, 7, 10, 4)
MASK = torch.tensor([[1] * length + [0] * (12 - length) for length in LENGTHS])
IDS = torch.randint(4, 60, MASK.shape, generator=torch.Generator().manual_seed(1)).where(MASK == 1, 1)
CASES = [
    (architecture, method.name, composition)
    for architecture in SUPPORTED_ARCHITECTURES
    for method in METHODS.values()
    if architecture not in method.refused_architectures
    for composition in ("none", *(c for c in method.compositions if c in ("stack", "sum")))
    # BERT and RoBERTa differ from XLM-R in nothing that is of interest here: once is enough.
    if composition == "none" or architecture.startswith("xlm")
]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Any:
    """(architecture, dropout, precision) → a model with nothing attached, made once."""
    made: dict[tuple[str, float, str], Any] = {}

    def model(architecture: str, dropout: float = 0.1, precision: str = "fp32") -> Any:
        key = (architecture, dropout, precision)
        if key not in made:
            folder: Path = tmp_path_factory.mktemp("encoders")
            config_class, model_class = CLASSES[architecture]
            torch.manual_seed(3)
            config = config_class(
                vocab_size=60, max_position_embeddings=40, initializer_range=0.2, pad_token_id=1, **SHAPE
            )
            model_class(config, add_pooling_layer=False).save_pretrained(folder)
            place = LocalFolder(str(folder))
            backbone = Backbone(name=architecture, summary="", reference="", model=place, tokenizer=place)
            body = load_body(backbone, precision=precision, device=torch.device("cpu"), vocab_size=60, dropout=dropout)
            made[key] = with_flexible_heads(body)
        return made[key]

    return model


def assembly(method: str, composition: str) -> Assembly:
    declared = METHODS[method]
    parts = (AdapterPart("target", trains=True),)
    if composition != "none":
        parts = (AdapterPart("lower", trains=False), *parts)
    return Assembly(
        declared,
        declared.parse_settings(SETTINGS.get(method, {})).model_dump(mode="json"),
        "target",
        TASKS["micro-copa"].format,
        3,
        adapters=() if method == "full" else parts,
        composition=composition,
        trains_body=method == "full",
    )


def attach(model: Any, made: Assembly) -> None:
    assemble(model, made)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():  # nothing stays at its initial zero
        for part in made.adapters:
            for name, parameter in adapter_weights(model, part.name).items():
                if name.endswith(".original"):  # reflections, which noise would make nothing of
                    continue
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def gradients(model: Any, autocast: torch.dtype | None = None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss and gradients of two micro-batches, as the loop takes them: backward runs outside of the context."""
    model.train()
    torch.manual_seed(11)
    losses = []
    for rows in (slice(0, 2), slice(2, 4)):
        with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
            logits = row_logits(model, "target", IDS[rows], MASK[rows])
        assert ForwardContext.get_context() is None
        loss = torch.nn.functional.softplus(logits.float()).sum()
        loss.backward()
        losses.append(loss.detach())
    found = {name: parameter.grad for name, parameter in trained_parameters(model).items()}
    model.zero_grad(set_to_none=True)
    return torch.stack(losses), found


def require_equal_gradients(model: Any, autocast: torch.dtype | None = None) -> None:
    plain_loss, plain = gradients(model, autocast)
    set_gradient_checkpointing(model, True)
    assert model.is_gradient_checkpointing
    try:
        loss, recomputed = gradients(model, autocast)
    finally:
        set_gradient_checkpointing(model, False)
    assert torch.equal(loss, plain_loss)
    assert plain.keys() == recomputed.keys()
    assert sum(bool(grad.any()) for grad in plain.values()) > 0.8 * len(plain)
    for name, grad in plain.items():
        assert torch.equal(recomputed[name], grad), name


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_gradients_are_the_same_to_the_bit(models, case):
    architecture, method, composition = case
    model, made = models(architecture), assembly(method, composition)
    attach(model, made)
    try:
        require_equal_gradients(model)
    finally:
        disassemble(model, made)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", ["full", "seq_bn", "lora"])
def test_autocast_is_the_same_the_second_time(models, method, dtype):
    model, made = models("xlm-roberta-xl"), assembly(method, "none")
    attach(model, made)
    try:
        require_equal_gradients(model, dtype)
    finally:
        disassemble(model, made)


@pytest.mark.parametrize("precision", ["nf4", "int8"])
@pytest.mark.parametrize(
    ("architecture", "method"), [("xlm-roberta", "prefix"), ("xlm-roberta-xl", "seq_bn"), ("xlm-roberta-xl", "lora")]
)
def test_quantized_bodies(models, architecture, method, precision):
    model, made = models(architecture, precision=precision), assembly(method, "none")
    attach(model, made)
    try:
        require_equal_gradients(model)
    finally:
        disassemble(model, made)


def saved_bytes(model: Any) -> int:
    """Bytes of the activations that one forward pass keeps, each storage once."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    sizes: dict[int, int] = {}
    kept = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept.append(tensor)  # so that no address is given out twice
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.train()
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        row_logits(model, "target", IDS, MASK)
    return sum(sizes.values())


@pytest.mark.parametrize("method", ["full", "seq_bn", "lora"])
@pytest.mark.parametrize("architecture", ["xlm-roberta", "xlm-roberta-xl"])
def test_fewer_activations_are_kept(models, architecture, method):
    model, made = models(architecture), assembly(method, "none")
    attach(model, made)
    try:
        plain = saved_bytes(model)
        set_gradient_checkpointing(model, True)
        # What a checkpointed layer keeps, its inputs, does not pass the hooks of its surroundings: what does is of the
        # embeddings, the last norm and the head.
        assert saved_bytes(model) < 0.4 * plain
    finally:
        set_gradient_checkpointing(model, False)
        disassemble(model, made)


def test_evaluation_computes_nothing_twice(models):
    model, made = models("xlm-roberta-xl"), assembly("seq_bn", "none")
    attach(model, made)
    calls = []
    handle = model.base_model.encoder.layer[0].intermediate.register_forward_hook(lambda *_: calls.append(1))
    try:
        set_gradient_checkpointing(model, True)
        model.eval()
        row_logits(model, "target", IDS, MASK).sum().backward()
        assert len(calls) == 1
        gradients(model)
        assert len(calls) == 1 + 2 * 2
        set_gradient_checkpointing(model, False)
        gradients(model)
        assert len(calls) == 1 + 2 * 2 + 2
        assert not model.is_gradient_checkpointing
    finally:
        handle.remove()
        disassemble(model, made)


def test_the_gradient_of_the_embeddings_is_not_asked_for(models):
    # The library's own switch does: the backward pass would go on below the first adapter, through every frozen layer.
    model, made = models("xlm-roberta-xl"), assembly("seq_bn", "none")
    attach(model, made)
    seen = []
    handle = model.base_model.embeddings.register_forward_hook(lambda _, __, out: seen.append(out.requires_grad))
    try:
        set_gradient_checkpointing(model, True)
        gradients(model)
        assert seen == [False, False]
    finally:
        handle.remove()
        set_gradient_checkpointing(model, False)
        disassemble(model, made)


def test_nothing_within_a_layer_is_kept_alive(models):
    # Pre-LN layers note their residual stream in the forward context, which recomputation needs.
    model, made = models("xlm-roberta-xl"), assembly("seq_bn", "none")
    attach(model, made)
    inputs: list[weakref.ref[torch.Tensor]] = []
    streams: list[weakref.ref[torch.Tensor]] = []
    handles = []
    for layer in model.base_model.encoder.layer:
        for norm, seen in ((layer.attention.self_attn_layer_norm, inputs), (layer.LayerNorm, streams)):
            hook = partial(lambda seen, _, args: seen.append(weakref.ref(args[0])), seen)
            handles.append(norm.register_forward_pre_hook(hook))
    try:
        set_gradient_checkpointing(model, True)
        model.train()
        logits = row_logits(model, "target", IDS, MASK)
        assert [stream() is None for stream in streams] == [True, True]
        assert [state() is None for state in inputs] == [False, False]
        # An out-of-memory error before the backward pass, say: what is kept must not keep itself alive.
        del logits
        gc.collect()
        assert [state() is None for state in inputs] == [True, True]
    finally:
        for handle in handles:
            handle.remove()
        set_gradient_checkpointing(model, False)
        disassemble(model, made)
