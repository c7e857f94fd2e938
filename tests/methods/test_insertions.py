"""What autograd keeps for the backward pass, by arithmetic, against the tensors that real small models save."""

from __future__ import annotations

import pytest
import torch
from bare_models import ALONE, BareModel, bare_model

from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.span_format import SpanExtraction
from adapter_transfer.tasks.tagging_format import Tagging
from adapter_transfer.training.memory import record_pass

PRECISIONS = ({"precision": "fp32", "dropout": 0.0}, {"precision": "bf16", "dropout": 0.1})
COMPOSED = [
    (method.name, composition)
    for method in METHODS.values()
    for composition in method.compositions
    if composition in ("stack", "stack-tuned", "sum") and method.kind == "adapter"
]


def real_bytes(bare: BareModel) -> int:
    """Of the storages that the forward pass saves; those of weights and buffers are not its own."""
    standing, saved, kept = bare.standing(), {}, []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept.append(tensor)  # else the next one could get its address
        if storage._cdata not in standing:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        bare.loss()
    return sum(saved.values())


def told_bytes(bare: BareModel) -> int:
    tape, _ = record_pass(bare.workload)
    return sum(storage.num_bytes for storage in {s for operation in tape.operations for s in operation.saved})


@pytest.mark.parametrize("how", PRECISIONS, ids=lambda how: how["precision"])
@pytest.mark.parametrize(("architecture", "method"), ALONE)
def test_what_is_saved_alone(architecture, method, how):
    bare = bare_model(architecture, method, **how)
    assert told_bytes(bare) == pytest.approx(real_bytes(bare), rel=0.02)


@pytest.mark.parametrize("how", PRECISIONS, ids=lambda how: how["precision"])
@pytest.mark.parametrize("task_format", [SpanExtraction(), Tagging(tuple(map(str, range(150))))], ids=["spans", "tags"])
@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_what_is_saved_where_every_token_is_answered(method, task_format, how):
    bare = bare_model("xlm-roberta", method, layers=1, format=task_format, **how)
    assert told_bytes(bare) == pytest.approx(real_bytes(bare), rel=0.02)


@pytest.mark.parametrize(("method", "composition"), COMPOSED)
def test_what_is_saved_composed(method, composition):
    bare = bare_model("xlm-roberta", method, composition=composition, dropout=0.1)
    assert told_bytes(bare) == pytest.approx(real_bytes(bare), rel=0.02)


@pytest.mark.parametrize("method", ["seq_bn", "double_seq_bn", "par_bn", "compacter"])
def test_what_a_norm_of_its_own_saves(method):
    settings = {"ln_before": True, "reduction_factor": 2}
    bare = bare_model("xlm-roberta-xl", method, settings=settings, precision="bf16", dropout=0.1)
    assert told_bytes(bare) == pytest.approx(real_bytes(bare), rel=0.02)


def test_nothing_is_saved_below_the_lowest_adapter_and_in_an_evaluation():
    alone, deeper = (bare_model("xlm-roberta", "seq_bn", layers=layers) for layers in (1, 2))
    # One layer: the adapter's own part alone (5 states of D or less for each token, of 16 in a layer that trains).
    assert told_bytes(alone) < 0.4 * (told_bytes(deeper) - told_bytes(alone))
    with torch.no_grad():
        assert real_bytes(alone) == 0
