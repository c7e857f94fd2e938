"""A fusion layer is loaded whole and as it was made, or refused; a head that computes something else is refused too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters.composition import Fuse
from safetensors.torch import load_file, save_file
from small_encoders import CLASSES, IDS, MASK, WIDE_SHAPE

from adapter_transfer.errors import DataError
from adapter_transfer.methods.attach import AdapterPart, Assembly, assemble, trained_parameters, with_flexible_heads
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.fusion import fused_names
from adapter_transfer.methods.heads import row_logits
from adapter_transfer.methods.weights import FUSION_FILES
from adapter_transfer.tasks.catalog import TASKS


def new_model() -> Any:
    config_class, model_class = CLASSES["xlm-roberta"]
    torch.manual_seed(7)
    return with_flexible_heads(model_class(config_class(**WIDE_SHAPE), add_pooling_layer=False).eval())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters a, b and t, a fusion of a and b, and a head h, as the library saves them."""
    folder, model = tmp_path_factory.mktemp("saved"), new_model()
    for name in "abt":
        model.add_adapter(name, config="seq_bn")
    model.add_adapter_fusion(Fuse("a", "b"))
    model.add_multiple_choice_head("h", num_choices=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_adapter_setup(str(folder), Fuse("a", "b"), head_setup="h", use_safetensors=True)
    model.save_adapter(str(folder / "t"), "t", use_safetensors=True)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    """The fusion's folder, to be changed."""
    folder = tmp_path / "a,b"
    folder.mkdir()
    for name in FUSION_FILES:
        (folder / name).write_bytes((saved / "a,b" / name).read_bytes())
    return folder


def assembly(saved: Path, fusion: Path | None, *names: str, method: str = "seq_bn", **changes: Any) -> Assembly:
    settings = METHODS[method].parse_settings({}).model_dump(mode="json")
    parts = tuple(AdapterPart(name, trains=False, source=saved / name) for name in names)
    fields: dict[str, Any] = {"adapters": parts, "composition": "fuse", "fusion_source": fusion}
    fields["head_source"] = saved / "h"
    return Assembly(METHODS[method], settings, "h", TASKS["micro-copa"].format, 0, **(fields | changes))


def logits_of(model: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return row_logits(model, "h", IDS, MASK)


def change_config(folder: Path, **fields: Any) -> None:
    path = folder / FUSION_FILES[0]
    content = json.loads(path.read_text())
    config = content["config"]
    config |= fields.pop("config", {})
    path.write_text(json.dumps({**content, "config": {k: v for k, v in config.items() if v is not ...}, **fields}))


def test_every_part_of_a_fusion_acts_and_none_of_it_trains(saved):
    model = new_model()
    assemble(model, assembly(saved, saved / "a,b", "a", "b", "t"))
    assert {name.split(".")[0] for name in trained_parameters(model)} == {"heads"}
    before = logits_of(model)
    for part in (".a.", ".b.", ".t.", ".adapter_fusion_layer.a,b.value."):
        weights = {name: parameter.clone() for name, parameter in model.named_parameters() if part in name}
        assert weights
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if part in name:
                    parameter.mul_(2.0)
        assert (logits_of(model) - before).abs().max() > 1e-4, part
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if part in name:
                    parameter.copy_(weights[name])
    assert torch.equal(logits_of(model), before)


def test_an_adapter_on_top_or_none(saved):
    answers = []
    for names in (("a", "b"), ("a", "b", "t")):
        model = new_model()
        assemble(model, assembly(saved, saved / "a,b", *names))
        answers.append(logits_of(model))
    assert not torch.equal(*answers)
    with pytest.raises(DataError, match="fuses 2 adapters, and 1 are here"):
        assemble(new_model(), assembly(saved, saved / "a,b", "a"))
    with pytest.raises(DataError, match="fuses 2 adapters, and 4 are here"):
        parts = tuple(AdapterPart(f"own-{name}", trains=False, source=saved / name) for name in "abta")[:3]
        assemble(new_model(), assembly(saved, saved / "a,b", adapters=(*parts, AdapterPart("x", trains=False))))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tensors, key: {k: v for k, v in tensors.items() if k != key}, "1 weights missing"),
        (lambda tensors, key: {**tensors, "x": torch.zeros(1)}, "1 unknown"),
        (lambda tensors, key: {**tensors, key: torch.zeros(3)}, "has shape"),
        (lambda tensors, key: {**tensors, key: tensors[key] * float("nan")}, "not finite"),
        (lambda tensors, key: {**tensors, key: tensors[key].to(torch.int64)}, "weights are float32"),
    ],
)
def test_weights_that_do_not_fit_are_refused(saved, copied, change, told):
    path = copied / FUSION_FILES[1]
    tensors = load_file(path)
    save_file(change(tensors, next(iter(tensors))), path)
    with pytest.raises(DataError, match=told):
        assemble(new_model(), assembly(saved, copied, "a", "b"))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"config": {"key": "yes"}}, "cannot be used: key 'yes'"),
        ({"config": {"key": ...}}, "cannot be used: key missing"),
        ({"config": {"dropout_prob": 2}}, "cannot be used: dropout_prob 2"),
        ({"config": {"dropout_prob": float("nan")}}, "no valid JSON"),
        ({"config": {"value": False}}, "unknown"),
        ({"config": {"temperature": True}}, "gives other answers each time"),
        ({"adapter_names": ["a"]}, "names no two adapters"),
        ({"adapter_names": "a,b"}, "names no two adapters"),
        ({"name": "../x"}, "its name '../x'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(saved, copied, fields, told):
    change_config(copied, **fields)
    with pytest.raises(DataError, match=told):
        assemble(new_model(), assembly(saved, copied, "a", "b"))


def test_the_fused_as_earlier_versions_told_them(copied):
    change_config(copied, adapter_names=None)
    assert fused_names(copied) == ("a", "b")


def test_missing_files_are_told(saved, copied):
    (copied / FUSION_FILES[1]).unlink()
    with pytest.raises(DataError, match=r"model_adapter_fusion\.safetensors is missing"):
        assemble(new_model(), assembly(saved, copied, "a", "b"))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"activation_function": "relu"}, "activation_function 'relu' instead of 'tanh'"),
        ({"use_pooler": True}, "use_pooler True instead of False"),
        ({"head_type": "classification"}, "head_type 'classification' instead of 'multiple_choice'"),
        ({"num_choices": 9, "dropout_prob": 0.5}, None),
    ],
)
def test_a_head_that_computes_something_else_is_refused(saved, tmp_path, fields, told):
    folder = tmp_path / "h"
    folder.mkdir()
    for path in (saved / "h").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    content = json.loads((folder / "head_config.json").read_text())
    content["config"] |= fields
    (folder / "head_config.json").write_text(json.dumps(content))
    made = assembly(saved, saved / "a,b", "a", "b", head_source=folder)
    if told is None:
        assemble(new_model(), made)
        return
    with pytest.raises(DataError, match=told):
        assemble(new_model(), made)
