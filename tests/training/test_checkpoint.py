"""Checkpoints: whole or not there, checked before use, and an optimizer that goes on bit for bit."""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from adapter_transfer import durable
from adapter_transfer.errors import StoreError
from adapter_transfer.training.checkpoint import (
    Checkpoint,
    flatten_optimizer,
    load_latest,
    restore_optimizer,
    save_checkpoint,
)


def save(progress_dir: Path, step: int, keep: int = 2) -> Path:
    tensors = {"weight": torch.full((64,), float(step)), "best/weight": torch.zeros(2, 3)}
    return save_checkpoint(progress_dir, step, tensors=tensors, state={"epoch": step // 10}, keep=keep)


def steps(progress_dir: Path) -> list[str]:
    return sorted(os.listdir(progress_dir))


def load(progress_dir: Path) -> Checkpoint:
    checkpoint = load_latest(progress_dir)
    assert checkpoint is not None
    return checkpoint


# Saving and loading


def test_what_was_saved_comes_back_exactly(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = {
        "plain": base,
        "transposed": base.t(),
        "slice": base[1:3, ::2],
        "same": base,
        "expanded": torch.ones(1, 1).expand(3, 4),
        "scalar": torch.tensor(3.0),
        "count": torch.tensor(2**40),
        "flag": torch.tensor([True, False]),
        "half": torch.tensor([1e-4, 65504.0], dtype=torch.float16),
        "bf16": torch.tensor([1.0 / 3], dtype=torch.bfloat16),
        "bytes": torch.random.get_rng_state(),
        "empty": torch.zeros(0, 5),
        "also empty": torch.zeros(0),
        "odd": torch.tensor([float("nan"), float("inf"), -0.0]),
        "parameter": torch.nn.Parameter(torch.randn(3)),
    }
    state = {"loss": 0.1 + 0.2, "position": [3, 2**100], "best": None, "name": "é", "nested": {"a": True}}
    path = save_checkpoint(tmp_path / "progress", 12, tensors=tensors, state=state)
    assert path == tmp_path / "progress" / "step-00000012"
    checkpoint = load_latest(tmp_path / "progress", expected_tensors=tensors.keys())
    assert checkpoint is not None
    assert checkpoint.step == 12
    assert checkpoint.state == state
    assert checkpoint.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        loaded = checkpoint.tensors[name]
        assert loaded.dtype == tensor.dtype, name
        assert torch.equal(loaded, tensor) or name == "odd", name
    assert torch.equal(checkpoint.tensors["odd"].view(torch.int32), tensors["odd"].view(torch.int32))


def test_loaded_tensors_outlive_their_file_and_can_be_changed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    checkpoint = load(tmp_path)
    shutil.rmtree(tmp_path)
    checkpoint.tensors["weight"].add_(1)
    assert checkpoint.tensors["weight"].sum().item() == 128


def test_the_newest_ones_are_kept(tmp_path: Path) -> None:
    for step in (9, 10, 11):
        save(tmp_path, step)
    assert steps(tmp_path) == ["step-00000010", "step-00000011"]
    save(tmp_path, 12, keep=1)
    assert steps(tmp_path) == ["step-00000012"]
    save(tmp_path, 10**8)
    assert load(tmp_path).step == 10**8


def test_the_same_step_again_replaces(tmp_path: Path) -> None:
    save(tmp_path, 5)
    save_checkpoint(tmp_path, 5, tensors={"weight": torch.ones(1)}, state={"second": True})
    assert load(tmp_path).state == {"second": True}
    assert steps(tmp_path) == ["step-00000005"]


def test_going_back_behind_refused_ones_keeps_the_good(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(tmp_path, step, keep=3)
    for step in (20, 30):
        os.truncate(tmp_path / f"step-{step:08d}" / "tensors.safetensors", 50)
    assert load(tmp_path).step == 10
    save(tmp_path, 15)
    assert steps(tmp_path) == ["step-00000010", "step-00000015"]
    assert load(tmp_path).step == 15


def test_nothing_to_load(tmp_path: Path) -> None:
    assert load_latest(tmp_path / "missing") is None
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "step-1").mkdir()
    (tmp_path / "step-00000003").write_text("a file")
    assert load_latest(tmp_path) is None
    assert save(tmp_path, 1).exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_values_that_json_lacks_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    for state in ({"loss": float("nan")}, {"tensor": torch.ones(1)}):
        with pytest.raises((TypeError, ValueError), match=r"^\$"):
            save_checkpoint(tmp_path, 1, tensors={}, state=state)
    assert steps(tmp_path) == []


# Damage


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_one_is_refused_and_the_one_before_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: str
) -> None:
    save(tmp_path, 10)
    path = save(tmp_path, 20) / name
    data = path.read_bytes()
    if damage == "flip":
        position = random.Random(0).randrange(len(data) - 1)
        path.write_bytes(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
    elif damage == "truncate":
        path.write_bytes(data[:-2])
    else:
        path.unlink()
    with caplog.at_level(logging.WARNING):
        checkpoint = load(tmp_path)
    assert checkpoint.step == 10
    assert checkpoint.tensors["weight"][0] == 10
    assert "step-00000020 is refused" in caplog.text
    assert name in caplog.text
    shutil.rmtree(tmp_path / "step-00000010")
    assert load_latest(tmp_path) is None


def test_one_that_lacks_a_tensor_or_a_part_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, 10, keep=4)
    save_checkpoint(tmp_path, 20, tensors={"weight": torch.ones(1)}, state={}, keep=4)
    (tmp_path / "step-00000030").mkdir()
    durable.write_json_atomic(tmp_path / "step-00000030" / "state.json", {})
    durable.seal(tmp_path / "step-00000030", step=30)
    shutil.copytree(tmp_path / "step-00000010", tmp_path / "step-00000040")
    with caplog.at_level(logging.WARNING):
        checkpoint = load_latest(tmp_path, expected_tensors=["weight", "best/weight"])
    assert checkpoint is not None
    assert checkpoint.step == 10
    reasons = [record.getMessage() for record in caplog.records]
    expected = [("step-00000040", "of step 10"), ("step-00000030", "lacks tensors"), ("step-00000020", "best/weight")]
    for reason, (name, cause) in zip(reasons, expected, strict=True):
        assert f"{name} is refused" in reason
        assert cause in reason
    assert load(tmp_path).step == 20  # nobody asked for that tensor here


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    save(tmp_path, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises(StoreError, match=r"cannot write .*step-00000002.*untouched"):
            save_checkpoint(tmp_path, 2, tensors={"weight": torch.zeros(100_000)}, state={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert steps(tmp_path) == ["step-00000001"]
    assert load(tmp_path).step == 1


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "progress").write_text("mine")
    with pytest.raises(StoreError, match="cannot write the checkpoint"):
        save(tmp_path / "progress", 1)
    assert (tmp_path / "progress").read_text() == "mine"


# One interpreter imports torch, and forks a fresh writer for each kill.
KILLS = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from adapter_transfer.training.checkpoint import load_latest, save_checkpoint
torch.set_num_threads(1)
progress_dir = Path(sys.argv[1])
moments = random.Random(0)
step = 0
for _ in range(10):
    read, write = os.pipe()
    writer = os.fork()
    if writer == 0:
        os.close(read)  # so that it ends should this test end early
        while True:
            step += 1
            save_checkpoint(progress_dir, step, tensors={"a": torch.full((50_000,), float(step))}, state={"step": step})
            os.write(write, b"%d\\n" % step)
    os.close(write)
    with os.fdopen(read) as lines:
        saved = int(lines.readline())
        time.sleep(moments.uniform(0, 0.04))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        saved = max([saved, *(int(line) for line in lines if line.endswith("\\n"))])
    checkpoint = load_latest(progress_dir, expected_tensors=["a"])
    assert checkpoint is not None
    assert saved <= checkpoint.step <= saved + 1, (saved, checkpoint.step)
    assert checkpoint.state == {"step": checkpoint.step}
    assert torch.equal(checkpoint.tensors["a"], torch.full((50_000,), float(checkpoint.step)))
    assert len(list(progress_dir.iterdir())) <= 3, list(progress_dir.iterdir())
    step = checkpoint.step
print("steps", step)
"""


def test_a_writer_killed_at_any_moment_loses_no_published_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLS, str(tmp_path / "progress")]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert outcome.returncode == 0, outcome.stderr
    assert "refused" not in outcome.stderr
    assert int(outcome.stdout.split()[1]) >= 10


# Optimizers


def make_model(dtype: torch.dtype = torch.float32) -> torch.nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).to(dtype)
    return model


def make_optimizer(model: torch.nn.Module, name: str) -> tuple[torch.optim.Optimizer, list[str]]:
    """The optimizer and the parameters' names; AdamW has a second group without weight decay."""
    named = dict(model.named_parameters())
    if name.startswith("adamw"):
        weights = [key for key in named if key.endswith("weight")]
        biases = [key for key in named if key.endswith("bias")]
        decayed: dict[str, Any] = {"params": [named[key] for key in weights]}
        plain: dict[str, Any] = {"params": [named[key] for key in biases], "weight_decay": 0.0}
        optimizer = torch.optim.AdamW(
            [decayed, plain], lr=1e-2, betas=(0.9, 0.98), fused=name == "adamw-fused", amsgrad=name == "adamw-amsgrad"
        )
        return optimizer, weights + biases
    if name == "sgd":
        return torch.optim.SGD(named.values(), lr=1e-2, momentum=0.9), list(named)
    return torch.optim.Adafactor(named.values(), lr=1e-2), list(named)


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> list[torch.Tensor]:
    dtype = next(model.parameters()).dtype
    for step in range(first, last):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 / (1 + step)
        generator = torch.Generator().manual_seed(step)
        loss = model(torch.randn(8, 5, generator=generator).to(dtype)).float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["adamw", "adamw-fused", "adamw-amsgrad", "sgd", "adafactor"])
def test_a_restored_optimizer_goes_on_bit_for_bit(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    model = make_model(dtype)
    optimizer, names = make_optimizer(model, name)
    train(model, optimizer, 0, 7)
    tensors, scalars = flatten_optimizer(optimizer, names)
    weights = {f"weights/{key}": value for key, value in model.state_dict().items()}
    save_checkpoint(tmp_path, 7, tensors={**weights, **tensors}, state={"optimizer": scalars})
    uninterrupted = train(model, optimizer, 7, 12)

    checkpoint = load(tmp_path)
    resumed = make_model(dtype)
    resumed.load_state_dict({key: checkpoint.tensors[f"weights/{key}"] for key in resumed.state_dict()})
    other, names = make_optimizer(resumed, name)
    restore_optimizer(other, names, checkpoint.tensors, checkpoint.state["optimizer"])
    again, same = flatten_optimizer(other, names)
    assert same == scalars
    assert {key: value.dtype for key, value in again.items()} == {key: value.dtype for key, value in tensors.items()}
    assert all(torch.equal(a, b) for a, b in zip(train(resumed, other, 7, 12), uninterrupted, strict=True))


def test_moments_keep_their_dtype_on_low_precision_parameters() -> None:
    parameter = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimizer = torch.optim.AdamW([parameter])
    optimizer.state[parameter] = {"step": torch.tensor(1.0), "exp_avg": torch.tensor([1e-9, 1.0001, 3.0])}
    tensors, scalars = flatten_optimizer(optimizer, ["p"])
    fresh = torch.optim.AdamW([parameter])
    restore_optimizer(fresh, ["p"], tensors, scalars)
    moment = fresh.state[parameter]["exp_avg"]
    assert moment.dtype == torch.float32  # load_state_dict would have rounded it to bfloat16
    assert torch.equal(moment, tensors["optimizer/p/exp_avg"])
    assert moment.data_ptr() != tensors["optimizer/p/exp_avg"].data_ptr()


def test_state_goes_by_name_and_not_by_position() -> None:
    model = make_model()
    named = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(named.values())
    train(model, optimizer, 0, 3)
    tensors, scalars = flatten_optimizer(optimizer, list(named))
    backwards = list(reversed(named))
    other = torch.optim.AdamW([named[name] for name in backwards])
    restore_optimizer(other, backwards, tensors, scalars)
    for name, parameter in named.items():
        assert torch.equal(other.state[parameter]["exp_avg"], optimizer.state[parameter]["exp_avg"]), name


def test_kernel_options_stay_and_the_others_come_back() -> None:
    model = make_model()
    optimizer, names = make_optimizer(model, "adamw-fused")
    train(model, optimizer, 0, 3)
    other, _ = make_optimizer(model, "adamw")
    restore_optimizer(other, names, *flatten_optimizer(optimizer, names))
    assert [group["fused"] for group in other.param_groups] == [False, False]
    assert [group["lr"] for group in other.param_groups] == [1e-2 / 3] * 2
    assert [group["weight_decay"] for group in other.param_groups] == [1e-2, 0.0]
    assert other.param_groups[0]["betas"] == (0.9, 0.98)


def test_a_parameter_without_state_yet_comes_back_without() -> None:
    model = make_model()
    optimizer, names = make_optimizer(model, "adamw")
    tensors, scalars = flatten_optimizer(optimizer, names)
    assert tensors == {}
    train(model, optimizer, 0, 2)
    restore_optimizer(optimizer, names, tensors, scalars)
    assert dict(optimizer.state) == {}


def test_every_missing_piece_is_named_and_nothing_changed() -> None:
    model = make_model()
    optimizer, names = make_optimizer(model, "adamw")
    train(model, optimizer, 0, 3)
    tensors, scalars = flatten_optimizer(optimizer, names)
    del tensors["optimizer/0.weight/exp_avg"]
    tensors["optimizer/2.bias/step"] = tensors["optimizer/2.bias/step"].double()
    damaged = json.loads(json.dumps(scalars))
    del damaged["parameters"]["0.bias"]
    del damaged["groups"][0]["options"]["weight_decay"]
    damaged["parameters"]["stranger"] = {"shape": [], "tensors": {}, "scalars": {}}
    damaged["parameters"]["2.weight"]["shape"] = [9, 9]
    other, _ = make_optimizer(model, "adamw")
    with pytest.raises(StoreError) as caught:
        restore_optimizer(other, names, tensors, damaged)
    for piece in (
        "optimizer/0.weight/exp_avg is missing",
        "optimizer/2.bias/step is torch.float64",
        "0.bias has no state",
        "option weight_decay",
        "stranger is in the state",
        "2.weight had shape [9, 9]",
    ):
        assert piece in str(caught.value)
    assert dict(other.state) == {}
    assert other.param_groups[0]["lr"] == 1e-2


@pytest.mark.parametrize("scalars", [{}, {"type": "AdamW"}, {"type": "AdamW", "parameters": {}, "groups": None}])
def test_scalars_that_are_something_else(scalars: dict[str, object]) -> None:
    optimizer, names = make_optimizer(make_model(), "adamw")
    with pytest.raises(StoreError, match="cannot be restored"):
        restore_optimizer(optimizer, names, {}, scalars)


def test_another_optimizer_or_grouping_is_refused() -> None:
    model = make_model()
    optimizer, names = make_optimizer(model, "adamw")
    train(model, optimizer, 0, 1)
    tensors, scalars = flatten_optimizer(optimizer, names)
    with pytest.raises(StoreError, match="the state is of AdamW, the optimizer is SGD"):
        restore_optimizer(*make_optimizer(model, "sgd"), tensors, scalars)
    named = dict(model.named_parameters())
    with pytest.raises(StoreError, match="no group of the state"):
        restore_optimizer(torch.optim.AdamW(named.values()), list(named), tensors, scalars)


def test_state_that_cannot_be_written_down_is_said() -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter])
    optimizer.state[parameter] = {"history": [torch.ones(1)]}
    with pytest.raises(TypeError, match="neither tensor nor JSON"):
        flatten_optimizer(optimizer, ["p"])


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    path = save(tmp_path, 3)
    assert safetensors.torch.load_file(path / "tensors.safetensors").keys() == {"weight", "best/weight"}
