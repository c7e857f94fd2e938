"""Tensors out of checkpoint folders: every layout gives the same numbers, in little memory, and damage is told."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from adapter_transfer.backbones import tensor_files
from adapter_transfer.backbones.tensor_files import TensorFiles, body_names, word_table_name
from adapter_transfer.errors import DataError

WORDS = torch.arange(400.0).view(100, 4)
PLAIN = {
    "x.embeddings.word_embeddings.weight": WORDS,
    "half": torch.linspace(0, 1, 7).to(torch.bfloat16),
    "number": torch.tensor(3),
    "empty": torch.empty(0, 4),
}
# What only a pickle can hold: a tensor that lies askew, part of another, the same one twice, a parameter.
SHARED = {"askew": WORDS.t()[:, 3:], "part": WORDS[10:20], "tied": WORDS, "trained": torch.nn.Parameter(torch.ones(2))}


def sharded(folder: Path, suffix: str) -> None:
    names = list(PLAIN)
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    shards = {f"{stem}-{number}.{suffix}": part for number, part in enumerate((names[:2], names[2:]))}
    for shard, part in shards.items():
        tensors = {name: PLAIN[name].clone() for name in part}
        save_file(tensors, folder / shard) if suffix == "safetensors" else torch.save(tensors, folder / shard)
    weight_map = {name: shard for shard, part in shards.items() for name in part}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": weight_map}))


LAYOUTS = {
    "safetensors": lambda folder: save_file(PLAIN, folder / "model.safetensors"),
    "safetensors in shards": lambda folder: sharded(folder, "safetensors"),
    "bin": lambda folder: torch.save(PLAIN | SHARED, folder / "pytorch_model.bin"),
    "bin in shards": lambda folder: sharded(folder, "bin"),
    "bin of before 2020": lambda folder: torch.save(
        PLAIN | SHARED, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_tensors(tmp_path, layout, monkeypatch):
    monkeypatch.setattr(tensor_files, "_CHUNK_BYTES", 7 * 16)  # seven rows of WORDS
    LAYOUTS[layout](tmp_path)
    files = TensorFiles.open(tmp_path)
    expected = PLAIN | SHARED if "askew" in files.infos else PLAIN
    assert files.infos.keys() == expected.keys()
    assert ("askew" in files.infos) == ("bin" in layout and "shards" not in layout)
    ids = np.array([99, 0, 50, 50, 7, 6], dtype=np.int64)
    for name, tensor in expected.items():
        assert (files.infos[name].shape, files.infos[name].dtype) == (tuple(tensor.shape), tensor.dtype)
        read = files.tensor(name)
        assert type(read) is torch.Tensor
        assert torch.equal(read, tensor) and read.dtype == tensor.dtype and read.is_contiguous(), name
        pieces = list(files.pieces(name))
        assert torch.equal(torch.cat(pieces) if read.dim() and pieces else read, tensor)
        if len(tensor.shape) == 2 and len(tensor):
            rows = ids % len(tensor)
            assert torch.equal(files.rows(name, rows), tensor[torch.from_numpy(rows)])
            assert torch.equal(torch.cat(list(files.pieces(name, np.unique(rows)))), tensor[np.unique(rows)])
    assert len(list(files.pieces("x.embeddings.word_embeddings.weight"))) == (1 if "before" in layout else 15)
    assert files.rows("x.embeddings.word_embeddings.weight", np.array([], dtype=np.int64)).shape == (0, 4)
    # What was read is the caller's own: writing into it reaches neither the file nor the next reader.
    files.tensor("x.embeddings.word_embeddings.weight").zero_()
    assert torch.equal(files.tensor("x.embeddings.word_embeddings.weight"), WORDS)


def packed_anew(path: Path, *, compression: int = zipfile.ZIP_STORED, backwards: bool = False) -> None:
    """The same archive as another program writes it; torch loads it, and would be wrong about where numbers lie."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in reversed(content) if backwards else content:
            archive.writestr(name, content[name])


@pytest.mark.parametrize(
    "how", [{}, {"backwards": True}, {"compression": zipfile.ZIP_DEFLATED}], ids=["closer", "backwards", "compressed"]
)
@pytest.mark.parametrize("stem", ["pytorch_model", "data"])
def test_an_archive_that_was_packed_anew_gives_the_same_tensors(tmp_path, how, stem):
    # Of equal sizes, so that each place is one where some tensor begins.
    tensors = {f"t{number}": torch.full((50, 8), float(number)) for number in range(12)}
    torch.save(tensors, tmp_path / f"{stem}.bin")
    packed_anew((tmp_path / f"{stem}.bin").rename(tmp_path / "pytorch_model.bin"), **how)
    files = TensorFiles.open(tmp_path)
    ids = np.array([3, 49], dtype=np.int64)
    for name, tensor in tensors.items():
        assert torch.equal(files.tensor(name), tensor) and torch.equal(files.rows(name, ids), tensor[:2]), name


@pytest.mark.parametrize("layout", ["safetensors", "bin"])
def test_no_file_stays_mapped_or_open(tmp_path, layout):
    LAYOUTS[layout](tmp_path)
    files = TensorFiles.open(tmp_path)
    kept = [files.tensor(name) for name in files.infos]
    assert kept
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    assert not [link for link in Path("/proc/self/fd").iterdir() if str(tmp_path) in os.path.realpath(link)]


def test_rows_are_not_cut_out_of_the_whole(tmp_path):
    table = torch.ones(400_000, 64)  # 102 MB
    save_file({"embeddings.word_embeddings.weight": table}, tmp_path / "model.safetensors")
    del table
    # In a process of its own, whose heap holds nothing of other tests and keeps no block that was freed.
    asked = subprocess.run(
        [sys.executable, "-c", READING, str(tmp_path)],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**20)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(asked.stdout) < 60e6  # chunks of 17 MB and their rows, not 102 MB


READING = """
import sys
from pathlib import Path
import numpy as np
from adapter_transfer.backbones.tensor_files import TensorFiles

def peak_bytes():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

files = TensorFiles.open(Path(sys.argv[1]))
files.rows("embeddings.word_embeddings.weight", np.arange(3))  # whatever is loaded at first use
Path("/proc/self/clear_refs").write_text("5")
before = peak_bytes()
rows = files.rows("embeddings.word_embeddings.weight", np.arange(0, 400_000, 100))
assert rows.shape == (4_000, 64)
print(peak_bytes() - before)
"""


def test_a_missing_tensor_of_a_shard_is_named(tmp_path):
    sharded(tmp_path, "safetensors")
    save_file({"number": torch.tensor(3)}, tmp_path / "model-1.safetensors")
    with pytest.raises(
        DataError, match=r"model-1\.safetensors lacks empty, which model\.safetensors\.index\.json says"
    ):
        TensorFiles.open(tmp_path)


class Harm:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder / "harm"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"a": torch.ones(2)}}, "holds more than dense tensors by name: model"),
        ({"a": torch.ones(2), "step": 3}, "holds more than dense tensors by name: step"),
        ({"a": torch.ones(2).to_sparse()}, "holds more than dense tensors by name: a"),
        ({3: torch.ones(2)}, "holds more than dense tensors by name: 3"),
        ([torch.ones(2)], "holds no tensors by name but a list"),
    ],
)
@pytest.mark.parametrize("new_layout", [True, False])
def test_a_pickle_holds_tensors_by_name_only(tmp_path, content, message, new_layout):
    torch.save(content, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=new_layout)
    with pytest.raises(DataError, match=message):
        TensorFiles.open(tmp_path)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, 2))])
def test_no_code_of_a_pickle_is_run(tmp_path, write):
    write({"a": Harm(tmp_path)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="holds more than tensors, and no code of a checkpoint is run") as refused:
        TensorFiles.open(tmp_path)
    assert "weights_only" not in str(refused.value)  # torch's advice to run it all the same
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("layout", ["bin", "bin of before 2020"])
@pytest.mark.parametrize("num_bytes", [0, 40, -900])
def test_a_truncated_pickle_is_told(tmp_path, layout, num_bytes):
    LAYOUTS[layout](tmp_path)
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(DataError, match=r"pytorch_model\.bin (is truncated|cannot be loaded: it is damaged)"):
        TensorFiles.open(tmp_path)


@pytest.mark.parametrize("layout", ["safetensors", "bin"])
def test_a_file_that_shrinks_while_it_is_read(tmp_path, layout):
    LAYOUTS[layout](tmp_path)
    files = TensorFiles.open(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match="has become shorter while it was read"):
        files.tensor("x.embeddings.word_embeddings.weight")


def named(folder: Path, *names: str) -> TensorFiles:
    save_file({name: torch.ones(2, 3) for name in names}, folder / "model.safetensors")
    return TensorFiles.open(folder)


def test_a_body_is_found_under_its_prefix_and_by_older_names(tmp_path):
    files = named(tmp_path, "bert.a.LayerNorm.gamma", "bert.a.LayerNorm.beta", "bert.b.weight", "cls.beta.weight", "c")
    expected = dict.fromkeys(("a.LayerNorm.weight", "a.LayerNorm.bias", "b.weight", "c"), (2, 3))
    assert body_names(files, expected, "bert") == {
        "a.LayerNorm.weight": "bert.a.LayerNorm.gamma",
        "a.LayerNorm.bias": "bert.a.LayerNorm.beta",
        "b.weight": "bert.b.weight",
        "c": "c",
    }


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("bert.a",), r"lacks weights of the body: b\.weight"),
        (("a", "bert.a", "b.weight"), r"holds some twice: (bert\.)?a"),
    ],
)
def test_a_body_that_is_not_there_as_a_whole(tmp_path, names, message):
    with pytest.raises(DataError, match=message):
        body_names(named(tmp_path, *names), {"a": (2, 3), "b.weight": (2, 3)}, "bert")


def test_a_body_of_another_shape(tmp_path):
    with pytest.raises(DataError, match=r"other shapes .*a is \(2, 3\), not \(2, 4\)"):
        body_names(named(tmp_path, "bert.a"), {"a": (2, 4)}, "bert")


def test_the_word_table_is_the_one_of_its_name(tmp_path):
    table = "roberta.embeddings.word_embeddings.weight"
    assert word_table_name(named(tmp_path, "roberta.embeddings.position_embeddings.weight", table)) == table
    with pytest.raises(DataError, match="none among a"):
        word_table_name(named(tmp_path, "a"))
    with pytest.raises(DataError, match="several"):
        word_table_name(named(tmp_path, table, "embeddings.word_embeddings.weight"))
