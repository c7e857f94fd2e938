"""Headers of weight files: read as safetensors writes them, written as it reads them, and what shows damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.checkpoints import LocalFolder, weight_files
from adapter_transfer.backbones.file_headers import header_bytes, read_header, require_whole
from adapter_transfer.backbones.zoo import own_backbone
from adapter_transfer.errors import DataError

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(5, dtype=torch.bfloat16), "c": torch.tensor(7)}


def test_a_header_is_read_as_the_library_writes_it(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path, metadata={"format": "pt"})
    header = read_header(path)
    assert {name: stored.shape for name, stored in header.items()} == {"a": (2, 3), "b": (5,), "c": ()}
    assert {name: stored.dtype for name, stored in header.items()} == {"a": "F32", "b": "BF16", "c": "I64"}
    data = path.read_bytes()
    for name, stored in header.items():
        there = torch.frombuffer(bytearray(data[stored.begin :][: stored.num_bytes]), dtype=TENSORS[name].dtype)
        assert torch.equal(there, TENSORS[name].reshape(-1)), name


def test_the_library_reads_a_header_that_is_written_here(tmp_path):
    path = tmp_path / "model.safetensors"
    order = ("c", "a")
    kinds = {"a": "F32", "c": "I64"}
    data = b"".join(TENSORS[name].numpy().tobytes() for name in order)
    path.write_bytes(header_bytes({name: (kinds[name], tuple(TENSORS[name].shape)) for name in order}) + data)
    loaded = load_file(path)
    assert loaded.keys() == {"a", "c"}
    assert all(torch.equal(loaded[name], TENSORS[name]) for name in order)


def cut(data: bytes) -> bytes:
    return data[:-3]


def with_header(data: bytes, **entry: object) -> bytes:
    fields = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **entry}}).encode()
    return len(fields).to_bytes(8, "little") + fields + bytes(8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut, r"is truncated: \d+ bytes are there, its header tells of \d+"),
        (lambda data: data + b"0", "is longer than it should be"),
        (lambda data: b"", "its header is not there"),
        (lambda data: data[:20], "its header is not there"),
        (lambda data: b"\xff" * 8 + data, "its header is not there"),
        (lambda data: data[:8] + b"{{" + data[10:], "no valid JSON"),
        (lambda data: with_header(data, dtype="F31"), "its header is wrong .*F31"),
        (lambda data: with_header(data, shape=[-2]), "its header is wrong .*shape"),
        (lambda data: with_header(data, data_offsets=[0, 7]), "its header is wrong .*data_offsets"),
        (lambda data: with_header(data, data_offsets=[4, 12]), "overlap or leave gaps"),
    ],
)
def test_a_damaged_file_is_told_by_its_header(tmp_path, change, message):
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path)
    assert weight_files(tmp_path) == (path,)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=rf"model\.safetensors.*{message}"):
        weight_files(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_truncated_file_of_an_own_encoder_is_told_when_it_is_declared(encoder, tmp_path, name):
    """So that `plan` and `validate` tell it, and not the first run after hours."""
    from transformers import AutoModel

    folder = tmp_path / "own"
    folder.mkdir()
    for path in encoder("bert").iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    model = AutoModel.from_pretrained(encoder("bert"))
    model.save_pretrained(folder, safe_serialization=name.endswith("safetensors"))
    assert isinstance(own_backbone(str(folder)), Backbone)
    (folder / name).write_bytes(cut((folder / name).read_bytes()))
    with pytest.raises(DataError, match=rf"{name} is truncated"):
        own_backbone(str(folder))
    with pytest.raises(DataError, match=rf"{name} is truncated"):
        LocalFolder(str(folder)).identity("weights")


def test_a_pickle_of_old_is_left_to_torch(tmp_path: Path):
    path = tmp_path / "pytorch_model.bin"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=False)
    require_whole(path)
