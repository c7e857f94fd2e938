"""Memory by arithmetic: its peak against every storage of real small models, the rest against sums by hand."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from bare_models import BareModel, bare_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from adapter_transfer.backbones.encoder_tape import HeadShape
from adapter_transfer.backbones.sizes import count_parameters
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.span_format import SpanExtraction
from adapter_transfer.tasks.tagging_format import Tagging
from adapter_transfer.training.memory import Workload, estimate_memory, largest_micro_batch, trained_parameters
from adapter_transfer.training.settings import TrainingSettings

TRIMMED = 30_000


class LiveBytes(TorchDispatchMode):
    """Counts the storages that operations make, until each is freed."""

    def __init__(self, standing: set[int]) -> None:
        super().__init__()
        self.sizes = dict.fromkeys(standing, 0)
        self.current = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._hold, made)
        self.peak = max(self.peak, self.current)
        return made

    def _hold(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.sizes:
            self.sizes[key] = size
            self.current += size
            weakref.finalize(storage, self._drop, key)
        return tensor

    def _drop(self, key: int) -> None:
        self.current -= self.sizes.pop(key)


def real_peak(bare: BareModel) -> int:
    """Bytes at most of one forward and backward pass, beyond weights."""
    with LiveBytes(bare.standing()) as live:
        bare.loss().backward()
    return live.peak


CASES = [
    (architecture, method, how)
    for architecture in ("xlm-roberta", "xlm-roberta-xl")
    for method in ("full", "seq_bn", "lora")
    for how in (
        {},
        {"dropout": 0.1, "precision": "bf16"},
        {"dropout": 0.1, "gradient_checkpointing": True},
    )
]


@pytest.mark.parametrize(("architecture", "method", "how"), CASES)
def test_the_peak_is_that_of_a_real_step(architecture, method, how):
    bare = bare_model(architecture, method, layers=10, rows=8, **how)
    estimate = estimate_memory(bare.workload)
    # Four fifths of the room are for names that Python still has for tensors while a layer runs; in a real model, of
    # more layers and far more numbers, they are a hundredth.
    told = estimate.peak - estimate.weights - estimate.optimizer
    assert told == pytest.approx(real_peak(bare), rel=0.05)


MANY_TAGS = Tagging(tuple(map(str, range(150))))
"""More than the hidden size: what the loss makes is as large as what the encoder makes of its last layer."""


@pytest.mark.parametrize(
    "task_format", [SpanExtraction(), Tagging(("N", "V", "D")), MANY_TAGS], ids=["spans", "tags", "many tags"]
)
@pytest.mark.parametrize("method", ["full", "seq_bn"])
@pytest.mark.parametrize("how", [{}, {"dropout": 0.1, "precision": "bf16"}])
def test_the_peak_where_every_token_is_answered(task_format, method, how):
    bare = bare_model("xlm-roberta", method, layers=6, rows=8, format=task_format, **how)
    estimate = estimate_memory(bare.workload)
    told = estimate.peak - estimate.weights - estimate.optimizer
    assert told == pytest.approx(real_peak(bare), rel=0.05)
    assert trained_parameters(bare.workload) == sum(p.numel() for p in bare.parameters.values())


def test_the_other_heads_of_a_mixture_have_weights_and_moments_and_no_gradients():
    alone = workload()
    spans, tags = HeadShape(2, "row"), HeadShape(400, "token")
    one, all_three = (estimate_memory(each) for each in (alone, replace(alone, other_heads=(spans, tags))))
    more = (2 + 400) * (768 + 1)
    assert all_three.weights - one.weights == 4 * more
    assert all_three.optimizer - one.optimizer == 8 * more
    assert (all_three.gradients, all_three.activations) == (one.gradients, one.activations)
    assert all_three.peak - one.peak == 12 * more


def test_gradients_lie_there_while_the_next_micro_batch_runs():
    bare = bare_model("xlm-roberta", "full", layers=6)
    bare.loss().backward()
    standing = bare.standing() | {p.grad.untyped_storage()._cdata for p in bare.parameters.values()}
    with LiveBytes(standing) as live:
        bare.loss().backward()
    estimate = estimate_memory(replace(bare.workload, accumulates=True))
    assert estimate.gradients == 4 * sum(p.numel() for p in bare.parameters.values())
    told = estimate.peak - estimate.weights - estimate.optimizer
    assert told == pytest.approx(live.peak + estimate.gradients, rel=0.02)


def workload(scale: str = "base", method: str = "full", precision: str = "fp32", **changes: Any) -> Workload:
    training = {"learning_rate": 1e-4, **changes.pop("training", {})}
    rows_in_table = changes.pop("vocab_size", BACKBONES[scale].known_fields()["vocab_size"])
    return Workload(
        fields={**BACKBONES[scale].known_fields(), "vocab_size": rows_in_table},
        precision=precision,
        method=method,
        method_settings=METHODS[method].parse_settings({}).model_dump(mode="json"),
        training=TrainingSettings(**training),
        **{"rows": 32, "length": 128, **changes},
    )


def test_full_fine_tuning_takes_16_bytes_for_each_parameter():
    given = workload()
    estimate, number = estimate_memory(given), trained_parameters(given)
    assert number == count_parameters(given.fields).total + 768 * 768 + 768 + 768 + 1
    assert (estimate.weights, estimate.gradients, estimate.optimizer) == (4 * number, 4 * number, 8 * number)
    assert estimate.peak >= 12 * number + estimate.activations
    assert estimate.total == estimate.peak + sum(estimate.headroom.values()) > estimate.peak


def test_trimming_takes_the_rows_away_four_times():
    whole, trimmed = (estimate_memory(workload(vocab_size=rows)) for rows in (250_002, TRIMMED))
    rows = (250_002 - TRIMMED) * 768
    assert whole.weights + whole.gradients + whole.optimizer == 16 * rows + sum(
        (trimmed.weights, trimmed.gradients, trimmed.optimizer)
    )
    assert whole.activations == trimmed.activations


def test_8_bit_moments_but_for_the_table_and_what_is_small():
    plain, small = (estimate_memory(workload(training={"optimizer": name})) for name in ("adamw", "adamw-8bit"))
    layer = 4 * 768 * 768 + 2 * 768 * 3072  # matrices; biases and norms have fewer than 4096 entries
    positions, head = 514 * 768, 768 * 768
    in_8_bits = 12 * layer + positions + head
    assert plain.optimizer - small.optimizer == in_8_bits * 8 - in_8_bits * 2 - in_8_bits // 256 * 2 * 4


def test_paged_moments_are_the_hosts():
    plain, paged = (estimate_memory(workload(training={"optimizer": name})) for name in ("adamw", "paged-adamw"))
    assert paged.optimizer < 0.01 * plain.optimizer
    assert paged.host - plain.host == plain.optimizer - paged.optimizer
    on_cpu = estimate_memory(workload(training={"optimizer": "paged-adamw"}, device="cpu"))
    assert on_cpu.optimizer == plain.optimizer  # nothing to page to


def test_gradients_that_are_used_at_once_never_all_exist():
    how = {"update": "backward", "max_grad_norm": None}
    estimate, plain = estimate_memory(workload(training=how)), estimate_memory(workload())
    assert estimate.gradients == 250_002 * 768 * 4
    assert plain.gradients > estimate.gradients
    halves = {**how, "master_weights": "bf16", "optimizer": "adamw-8bit", "gradient_checkpointing": True}
    least = estimate_memory(workload(precision="bf16", vocab_size=TRIMMED, training=halves))
    assert least.weights == pytest.approx(estimate_memory(workload(vocab_size=TRIMMED)).weights / 2, rel=0.01)
    assert least.total < 0.3 * plain.total


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "nf4"])
def test_frozen_weights_by_precision(precision):
    """Of a card: linear layers in 4, 2, 1 or half a byte and a scale for 64; the rest in 4 or, beside 16 bits, in 2."""
    given = workload(method="lora", precision=precision)
    linear = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    rest = count_parameters(given.fields).total - linear
    added = trained_parameters(given)
    each = {"fp32": 4.0, "bf16": 2.0, "int8": 1.0, "nf4": 0.5 + 4 / 64}[precision]
    assert estimate_memory(given).weights == each * linear + (4 if precision == "fp32" else 2) * rest + 4 * added


def test_an_evaluation_takes_weights_and_one_layer():
    training, evaluation = (estimate_memory(workload(is_training=is_training)) for is_training in (True, False))
    assert evaluation.gradients == evaluation.optimizer == 0
    assert evaluation.weights == training.weights
    # At most: what a layer is given, what it holds, and both sides of gelu.
    states = 32 * 128 * 768 * 4
    assert 8 * states <= evaluation.activations <= 13 * states


def test_a_card_keeps_less_of_dropout_and_attention_than_the_cpu():
    card, cpu = (estimate_memory(workload(device=device)).activations for device in ("cuda", "cpu"))
    tokens, squares = 32 * 128, 32 * 12 * 128 * 128
    masks = 12 * 2 * tokens * 768 * 3  # a byte in place of four
    assert cpu - card >= 12 * 3 * squares * 4 + masks


def test_a_tighter_budget_and_checkpointing_need_less():
    rows, length = largest_micro_batch(length=100, rows_each=2, batch_size=32, token_budget=4096)
    assert (rows, length) == (40, 100)
    assert largest_micro_batch(length=100, rows_each=2, batch_size=8, token_budget=4096) == (16, 100)
    assert largest_micro_batch(length=500, rows_each=4, batch_size=8, token_budget=64) == (4, 500)
    windows = {"length": 100, "rows_each": 1, "batch_size": 50, "largest_example": 7}
    assert largest_micro_batch(**windows, token_budget=4096) == (40, 100)
    assert largest_micro_batch(**windows, token_budget=512) == (7, 100), "the windows of an example stay together"
    assert largest_micro_batch(**windows, token_budget=None) == (50, 100)
    peaks = [
        estimate_memory(workload("large", "seq_bn", "bf16", **how)).peak
        for how in ({}, {"rows": 16}, {"rows": 16, "training": {"gradient_checkpointing": True}})
    ]
    assert peaks == sorted(peaks, reverse=True)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["full", "seq_bn", "lora"])
def test_the_peak_of_a_card(method, precision):
    size = {"layers": 8, "hidden": 512, "rows": 16, "length": 128, "dropout": 0.1}
    bare = bare_model("xlm-roberta", method, precision=precision, **size)
    given = replace(bare.workload, device="cuda")
    on_card = BareModel(bare.model.cuda(), given, bare.ids.cuda())
    on_card.loss().backward()  # what libraries take once
    on_card.model.zero_grad(set_to_none=True)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    on_card.loss().backward()
    estimate = estimate_memory(given)
    told = estimate.peak - estimate.weights - estimate.optimizer
    assert told == pytest.approx(torch.cuda.max_memory_allocated() - before, rel=0.05)
