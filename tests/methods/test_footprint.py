"""Counts of parameters by arithmetic, against the real modules."""

from __future__ import annotations

from typing import Any

import pytest
from bare_models import ALONE, bare_model

from adapter_transfer.backbones.sizes import EncoderShape, count_parameters
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.methods.attach import adapter_state, adapter_weights
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.training.memory import record_pass, trained_parameters

OTHER_SETTINGS: dict[str, list[dict[str, Any]]] = {
    "seq_bn": [{"reduction_factor": 3.5}, {"reduction_factor": 32}, {"ln_before": True}],
    "par_bn": [{"reduction_factor": 5}],
    "compacter": [{"reduction_factor": 4, "phm_dim": 2, "phm_rank": 2, "ln_before": True}],
    "lora": [
        {"attn_matrices": ["q", "k", "v"], "output_lora": True, "r": 3},
        {"attn_matrices": [], "output_lora": True},
    ],
    "dora": [{"attn_matrices": ["k"], "intermediate_lora": True, "output_lora": True}],
    "ia3": [{"attn_matrices": ["q"], "intermediate_lora": False, "output_lora": True}],
    "prefix": [{"flat": True, "prefix_length": 5}],
    "reft": [{"r": 4, "prefix_positions": 20}],
}
CASES = [(*case, None) for case in ALONE] + [
    ("xlm-roberta", method, settings) for method, others in OTHER_SETTINGS.items() for settings in others
]


@pytest.mark.parametrize(("architecture", "method", "settings"), CASES)
def test_it_counts_the_real_modules(architecture, method, settings):
    bare = bare_model(architecture, method, settings=settings)
    workload, footprint = bare.workload, METHODS[method].footprint
    resolved, shape = workload.method_settings, workload.shape
    real = adapter_weights(bare.model, "target")
    assert footprint.parameters(resolved, shape) == sum(weight.numel() for weight in real.values())
    fixed = {name: tensor for name, tensor in adapter_state(bare.model, "target").items() if name not in real}
    assert footprint.fixed(resolved, shape) == sum(tensor.numel() for tensor in fixed.values())
    trained = sum(weight.numel() for weight in bare.parameters.values())
    assert trained_parameters(workload) == trained
    if method != "full":
        body = [p for name, p in bare.model.base_model.named_parameters() if name not in _inside(real)]
        assert count_parameters(workload.fields).total == sum(weight.numel() for weight in body)
    # The forward pass that memory is estimated from has the same parameters, each once.
    tape, _ = record_pass(workload)
    assert sum(weight.numel for weight in {w for op in tape.operations for w in op.weights}) == trained


def _inside(names: Any) -> set[str]:
    """Names as the body has them: without the model's prefix."""
    return {name.partition(".")[2] for name in names}


def test_known_sizes():
    # Pfeiffer et al. 2020 (MAD-X, arXiv 2005.00052): 0.9 M for XLM-R base at reduction 16; Hu et al. 2021: 2·L·2·D·r.
    shape = EncoderShape.of(BACKBONES["base"].known_fields())
    sequential = METHODS["seq_bn"].footprint.parameters({"reduction_factor": 16}, shape)
    assert sequential == 12 * (2 * 768 * 48 + 48 + 768) == 894_528
    lora = METHODS["lora"].parse_settings({}).model_dump(mode="json")
    assert METHODS["lora"].footprint.parameters(lora, shape) == 12 * 2 * 2 * 768 * 8 == 294_912
