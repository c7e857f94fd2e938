"""Artifacts are plain: adapters and transformers load them without us, to equal logits; damaged ones are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DataError
from adapter_transfer.methods.attach import (
    AdapterPart,
    Assembly,
    adapter_dir,
    adapter_weights,
    assemble,
    disassemble,
    save_artifact,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.heads import row_logits
from adapter_transfer.tasks.catalog import TASKS

CPU = torch.device("cpu")
SETTINGS = {"reduction_factor": 4, "non_linearity": "relu"}
IDS = torch.tensor([[0, 50, 60, 2, 2, 70, 2], [0, 51, 61, 2, 2, 71, 2]])


def new_model(trained_dir=None):
    size = len(load_tokenizer(BACKBONES["nano"]))
    body = load_body(
        BACKBONES["nano"], dtype=torch.float32, device=CPU, vocab_size=size, dropout=0.0, trained_dir=trained_dir
    )
    return with_flexible_heads(body)


def assembly(method, *parts, head="micro-copa", **changes):
    task = TASKS[head]
    fields = {
        "method": METHODS[method],
        "settings": {} if method == "full" else SETTINGS,
        "head": head,
        "format": task.format,
        "init_seed": 3,
        "adapters": parts,
        "trains_body": method == "full",
    }
    return Assembly(**(fields | changes))


def shake(parameters, seed=5):
    """Gives what is trained values as training would: nothing stays at its initial zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)


def logits(model, head="micro-copa"):
    model.eval()
    with torch.no_grad():
        return row_logits(model, head, IDS, torch.ones_like(IDS))


def trained(tmp_path, method, *parts, head="micro-copa"):
    model, made = new_model(), assembly(method, *parts, head=head)
    assemble(model, made)
    shake([p for p in model.parameters() if p.requires_grad])
    save_artifact(model, made, tmp_path)
    return model, made


@pytest.mark.parametrize("said", [{"lm": {"head_type": "masked_lm", "vocab_size": 9}}, {"x": {"head_type": "no"}}, 3])
def test_a_checkpoint_brings_no_heads(said):
    body = load_body(BACKBONES["nano"], device=CPU, vocab_size=9)
    body.config.prediction_heads = said
    model = with_flexible_heads(body)
    assert (len(model.heads), model.config.prediction_heads) == (0, {})


PLAIN_ADAPTER = """
import sys, json, torch, adapters
from transformers import AutoConfig
from adapters import AutoAdapterModel, Stack
base, names, ids = sys.argv[1], json.loads(sys.argv[2]), torch.tensor(json.loads(sys.argv[3]))
model = AutoAdapterModel.from_pretrained(base, dtype=torch.float32)
for path in names:
    model.load_adapter(path, use_safetensors=True)
loaded = [path.rsplit("/", 1)[1] for path in names]
model.active_adapters = Stack(*loaded) if len(loaded) > 1 else loaded[0]
model.active_head = loaded[-1]
model.eval()
with torch.no_grad():
    output = model(input_ids=ids, attention_mask=torch.ones_like(ids))
print(json.dumps(output.logits.flatten().tolist()))
"""

PLAIN_FULL = """
import sys, json, torch
from adapters import AutoAdapterModel
folder, ids = sys.argv[1], torch.tensor(json.loads(sys.argv[2]))
model = AutoAdapterModel.from_pretrained(folder + "/model", dtype=torch.float32)
model.load_head(folder + "/head", use_safetensors=True)
model.active_head = "micro-copa"
model.eval()
with torch.no_grad():
    print(json.dumps(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.flatten().tolist()))
"""


def run_plain(code, *arguments):
    """Runs code that does not know this package in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_plain_adapters_loads_a_saved_stack_to_equal_logits(tmp_path):
    lower, _ = trained(tmp_path / "lower", "seq_bn", AdapterPart("next-event", True), head="next-event")
    del lower
    lower_dir = adapter_dir(tmp_path / "lower", "next-event")
    parts = (AdapterPart("next-event", False, lower_dir), AdapterPart("micro-copa", True))
    model, _ = trained(tmp_path / "target", "seq_bn", *parts)
    paths = [str(lower_dir), str(adapter_dir(tmp_path / "target", "micro-copa"))]
    base = str(BACKBONES["nano"].model_path)
    got = run_plain(PLAIN_ADAPTER, base, json.dumps(paths), json.dumps(IDS.tolist()))
    np.testing.assert_allclose(got, logits(model).flatten().numpy(), atol=1e-6)
    assert not (tmp_path / "target" / "adapters" / "next-event").exists()


def test_plain_adapters_loads_a_fully_tuned_model_to_equal_logits(tmp_path):
    model, _ = trained(tmp_path, "full")
    got = run_plain(PLAIN_FULL, str(tmp_path), json.dumps(IDS.tolist()))
    np.testing.assert_allclose(got, logits(model).flatten().numpy(), atol=1e-6)


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_no_path_of_this_machine_is_saved(tmp_path, method):
    trained(tmp_path, method, *((AdapterPart("micro-copa", True),) if method == "seq_bn" else ()))
    for path in tmp_path.rglob("*.json"):
        assert str(BACKBONES["nano"].model_path) not in path.read_text("utf-8"), path
    configs = [json.loads(path.read_text("utf-8")) for path in tmp_path.rglob("head_config.json")]
    assert [config["model_name"] for config in configs] == ["nano"]


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_what_is_saved_loads_to_the_same_numbers(tmp_path, method):
    parts = (AdapterPart("micro-copa", True),) if method == "seq_bn" else ()
    model, _ = trained(tmp_path, method, *parts)
    again = new_model(tmp_path / "model" if method == "full" else None)
    head_source = tmp_path / "head" if method == "full" else adapter_dir(tmp_path, "micro-copa")
    loaded = tuple(AdapterPart(p.name, False, adapter_dir(tmp_path, p.name)) for p in parts)
    assemble(again, assembly(method, *loaded, head_source=head_source, trains_body=False, init_seed=99))
    assert torch.equal(logits(again), logits(model))


def test_taking_off_an_assembly_leaves_the_body_as_it_was(tmp_path):
    model = new_model()
    before = {name: value.clone() for name, value in model.base_model.state_dict().items()}
    made = assembly("seq_bn", AdapterPart("micro-copa", True))
    for _ in range(2):
        assemble(model, made)
        shake([p for p in model.parameters() if p.requires_grad])
        disassemble(model, made)
    after = model.base_model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not model.heads


def test_an_adapter_goes_on_under_another_name(tmp_path):
    trained(tmp_path, "seq_bn", AdapterPart("next-event", True), head="next-event")
    source = adapter_dir(tmp_path, "next-event")
    model = new_model()
    assemble(model, assembly("seq_bn", AdapterPart("micro-copa", True, source)))
    saved = load_file(source / "adapter.safetensors")
    weights = adapter_weights(model, "micro-copa")
    assert len(weights) == len(saved) == 8
    for name, parameter in weights.items():
        assert torch.equal(saved[name.replace(".micro-copa.", ".next-event.")], parameter)


def test_a_head_carries_from_four_choices_to_two(tmp_path):
    model, _ = trained(tmp_path, "seq_bn", AdapterPart("next-event", True), head="next-event")
    source = adapter_dir(tmp_path, "next-event")
    other = new_model()
    assemble(other, assembly("seq_bn", AdapterPart("micro-copa", True), head_source=source))
    for name, parameter in other.heads["micro-copa"].named_parameters():
        assert torch.equal(parameter, dict(model.heads["next-event"].named_parameters())[name])


def test_new_modules_depend_on_the_seed_alone():
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(len(drawn))
        model = new_model()
        assemble(model, assembly("seq_bn", AdapterPart("micro-copa", True), init_seed=seed))
        drawn.append(torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def spoil_key(path: Path):
    tensors = load_file(path)
    first = sorted(tensors)[0]
    tensors["something.else"] = tensors.pop(first)
    save_file(tensors, path)


def spoil_shape(path: Path):
    tensors = load_file(path)
    first = sorted(tensors)[0]
    tensors[first] = tensors[first][:-1].clone()
    save_file(tensors, path)


def spoil_value(path: Path):
    tensors = load_file(path)
    tensors[sorted(tensors)[0]].view(-1)[0] = float("nan")
    save_file(tensors, path)


def truncate(path: Path):
    path.write_bytes(path.read_bytes()[:-10])


def pickle_instead(path: Path):
    torch.save(load_file(path), path.with_name("pytorch_adapter.bin"))
    path.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_key, "1 weights missing, 1 unknown"),
        (spoil_shape, "shape"),
        (spoil_value, "not finite"),
        (truncate, "damaged"),
        (pickle_instead, "adapter.safetensors is missing"),
    ],
)
def test_a_damaged_adapter_is_refused(tmp_path, spoil, message):
    trained(tmp_path / "good", "seq_bn", AdapterPart("micro-copa", True))
    shutil.copytree(tmp_path / "good", tmp_path / "bad")
    source = adapter_dir(tmp_path / "bad", "micro-copa")
    spoil(source / "adapter.safetensors")
    with pytest.raises(DataError, match=message):
        assemble(new_model(), assembly("seq_bn", AdapterPart("micro-copa", True, source)))
