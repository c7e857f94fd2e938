"""Heads that read every token, on every method: our call equals the library's own, and they train."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_encoders import CLASSES, IDS, MASK, WIDE_SHAPE

from adapter_transfer.methods.attach import (
    AdapterPart,
    Assembly,
    assemble,
    save_artifact,
    trained_parameters,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.heads import row_logits
from adapter_transfer.tasks.formats import NO_LABEL, Format
from adapter_transfer.tasks.span_format import SpanExtraction
from adapter_transfer.tasks.tagging_format import Tagging
from adapter_transfer.training.batching import Batch
from adapter_transfer.training.objectives import summed_loss

SMALL_SETTINGS: dict[str, dict[str, Any]] = {
    "seq_bn": {"reduction_factor": 4},
    "compacter": {"reduction_factor": 2},
    "prefix": {"prefix_length": 3, "bottleneck_size": 8},
}
FORMATS: dict[str, Format] = {"span": SpanExtraction(), "tagging": Tagging(("DT", "NN", "VB"))}
ENCODERS = ("xlm-roberta", "xlm-roberta-xl", "bert")
CASES = [
    pytest.param(encoder, method, name, id=f"{encoder}-{method}-{name}")
    for encoder in ENCODERS
    for method, declared in METHODS.items()
    for name in FORMATS
    if encoder not in declared.refused_architectures
]


def bare_body(encoder: str) -> Any:
    config_class, model_class = CLASSES[encoder]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        # With the pooler, which the library's own forward asks for.
        return model_class(config_class(**WIDE_SHAPE)).eval()


def assembled(encoder: str, method: str, format: Format) -> tuple[Any, Assembly]:
    declared = METHODS[method]
    is_full = declared.kind == "full"
    model = with_flexible_heads(bare_body(encoder))
    assembly = Assembly(
        method=declared,
        settings=declared.parse_settings(SMALL_SETTINGS.get(method, {})).model_dump(mode="json"),
        head="target",
        format=format,
        init_seed=3,
        adapters=() if is_full else (AdapterPart("target", trains=True),),
        trains_body=is_full,
    )
    assemble(model, assembly)
    return model, assembly


def labels_of(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    if name == "span":
        return torch.tensor([[1, 3], [0, 0], [2, 2], [1, 2]]), torch.ones(4)
    labels = torch.full(MASK.shape, NO_LABEL)
    labels[:, 1:4] = torch.tensor([0, 1, 2])
    return labels, (labels >= 0).float() / 3


@pytest.mark.parametrize(("encoder", "method", "name"), CASES)
def test_our_call_equals_the_librarys_own(encoder, method, name):
    model, _ = assembled(encoder, method, FORMATS[name])
    model.eval()
    with torch.no_grad():
        ours = row_logits(model, "target", IDS, MASK, reads_tokens=True)
        theirs = model(input_ids=IDS, attention_mask=MASK)
    expected = torch.stack([theirs.start_logits, theirs.end_logits], dim=-1) if name == "span" else theirs.logits
    assert ours.shape == (*IDS.shape, FORMATS[name].logits_per_row)
    torch.testing.assert_close(ours[MASK == 1], expected[MASK == 1], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize(("encoder", "method", "name"), CASES)
def test_the_loss_falls_and_only_what_trains_moves(encoder, method, name):
    model, _ = assembled(encoder, method, FORMATS[name])
    trained = trained_parameters(model)
    frozen = {key: value.detach().clone() for key, value in model.named_parameters() if key not in trained}
    labels, weights = labels_of(name)
    batch = Batch(FORMATS[name], IDS, MASK, labels, weights)
    optimizer = torch.optim.AdamW(trained.values(), lr=0.01, weight_decay=0.0)
    losses = []
    model.train()
    for _ in range(6):
        loss = summed_loss(row_logits(model, "target", IDS, MASK, reads_tokens=True).float(), batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    now = dict(model.named_parameters())
    assert all(torch.equal(now[key], value) for key, value in frozen.items())


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("method", ["full", "seq_bn", "lora"])
def test_a_saved_head_loads_with_plain_adapters(method, name, tmp_path):
    from adapters import AutoAdapterModel

    model, assembly = assembled("xlm-roberta", method, FORMATS[name])
    save_artifact(model, assembly, tmp_path)
    body = tmp_path / "body"
    if method == "full":
        plain = AutoAdapterModel.from_pretrained(tmp_path / "model")
        plain.load_head(str(tmp_path / "head"), use_safetensors=True)
    else:
        bare_body("xlm-roberta").save_pretrained(body)
        plain = AutoAdapterModel.from_pretrained(body)
        plain.load_adapter(str(tmp_path / "adapters" / "target"), use_safetensors=True)
        plain.set_active_adapters("target")
    plain.active_head = "target"
    model.eval()
    plain.eval()
    with torch.no_grad():
        ours = row_logits(model, "target", IDS, MASK, reads_tokens=True)
        theirs = plain(input_ids=IDS, attention_mask=MASK)
    found = torch.stack([theirs.start_logits, theirs.end_logits], dim=-1) if name == "span" else theirs.logits
    torch.testing.assert_close(ours[MASK == 1], found[MASK == 1], atol=1e-6, rtol=1e-5)
