"""Files written piece by piece are those that safetensors reads, and writes."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapter_transfer.backbones.tensor_files import TensorInfo
from adapter_transfer.backbones.tensor_writing import TensorSource, whole_tensor, write_tensors

TENSORS = {
    "b": torch.arange(24, dtype=torch.float32).view(4, 6),
    "a": torch.arange(24, dtype=torch.float32).view(4, 6).t(),
    "half": torch.randn(3, 5, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16),
    "float16": torch.tensor([65504.0, -0.0, float("inf")], dtype=torch.float16),
    "wide": torch.tensor([1 / 3], dtype=torch.float64),
    "ids": torch.tensor([[2**40], [-1]]),
    "flags": torch.tensor([True, False, True]),
    "one": torch.tensor(7, dtype=torch.uint8),
    "none": torch.empty(0, 3),
    "ü": torch.ones(1, dtype=torch.int8),
}


def test_the_library_reads_what_was_written(tmp_path):
    sources = {name: whole_tensor(tensor) for name, tensor in TENSORS.items()}
    rows = TENSORS["b"]
    sources["b"] = TensorSource(TensorInfo((4, 6), torch.float32), lambda: (rows[:1], rows[1:1], rows[1:]))
    write_tensors(tmp_path / "ours", sources)
    read = load_file(tmp_path / "ours")
    assert read.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert read[name].dtype == tensor.dtype and torch.equal(read[name], tensor), name


def test_the_file_is_the_librarys_own_to_the_byte(tmp_path):
    some = {name: TENSORS[name] for name in ("b", "half", "ids", "one")}
    write_tensors(tmp_path / "ours", {name: whole_tensor(tensor) for name, tensor in some.items()})
    save_file(some, tmp_path / "theirs", metadata={"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("pieces", [(), (torch.ones(2),), (torch.ones(4),), (torch.ones(3, dtype=torch.float64),)])
def test_pieces_that_are_not_the_tensor_are_our_own_mistake(tmp_path, pieces):
    with pytest.raises(AssertionError, match="x"):
        write_tensors(tmp_path / "ours", {"x": TensorSource(TensorInfo((3,), torch.float32), lambda: pieces)})
