"""Arithmetic of a phase, against torch's own count on real small models and a sum by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from bare_models import bare_model
from torch.utils.flop_counter import FlopCounterMode

from adapter_transfer.backbones.sizes import count_parameters
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.tasks.span_format import SpanExtraction
from adapter_transfer.tasks.tagging_format import Tagging
from adapter_transfer.training.flops import evaluation_flops, training_flops
from adapter_transfer.training.memory import Workload
from adapter_transfer.training.settings import TrainingSettings


@pytest.mark.parametrize("architecture", ["xlm-roberta", "xlm-roberta-xl"])
@pytest.mark.parametrize("method", ["full", "seq_bn", "lora", "ia3", "compacter"])
@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_it_counts_what_torch_counts(architecture, method, is_checkpointed):
    # With dropout, attention is products that torch's counter knows; the CPU's fused kernel it does not.
    how = {"dropout": 0.1, "gradient_checkpointing": is_checkpointed, "length": 24}
    bare = bare_model(architecture, method, **how)
    tokens = bare.ids.numel()
    with FlopCounterMode(display=False) as counter:
        bare.loss().backward()
    told = training_flops(bare.workload, num_tokens=tokens, mean_length=24)
    assert told == pytest.approx(counter.get_total_flops(), rel=0.02)


@pytest.mark.parametrize("task_format", [SpanExtraction(), Tagging(tuple(map(str, range(150))))], ids=["spans", "tags"])
def test_a_head_that_reads_every_token_is_counted_for_each(task_format):
    bare = bare_model("xlm-roberta", "full", dropout=0.1, format=task_format)
    with FlopCounterMode(display=False) as counter:
        bare.loss().backward()
    told = training_flops(bare.workload, num_tokens=bare.ids.numel(), mean_length=16)
    assert told == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_an_evaluation_is_the_forward_pass():
    bare = bare_model("xlm-roberta", "lora", dropout=0.1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        bare.loss()
    told = evaluation_flops(bare.workload, num_tokens=bare.ids.numel(), mean_length=16)
    assert told == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_two_for_each_weight_and_token_and_thrice_that_in_full_fine_tuning():
    fields = BACKBONES["large"].known_fields()
    workload = Workload(fields, "fp32", "full", {}, TrainingSettings(learning_rate=1e-5), rows=32, length=128)
    products = 2 * count_parameters(fields).encoder
    attention = 4 * 24 * 1024 * 100
    forward = evaluation_flops(workload, num_tokens=10_000, mean_length=100)
    assert forward == pytest.approx(10_000 * (products + attention), rel=0.01)
    assert training_flops(workload, num_tokens=10_000, mean_length=100) == pytest.approx(3 * forward, rel=0.02)
    again = replace(workload, training=TrainingSettings(learning_rate=1e-5, gradient_checkpointing=True))
    assert training_flops(again, num_tokens=10_000, mean_length=100) == pytest.approx(4 * forward, rel=0.02)
