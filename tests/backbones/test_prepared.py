"""Prepared copies: they give exactly the original's weights or are not used; making them can be cut off anywhere."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel, BertForMaskedLM, XLMRobertaForMaskedLM, XLMRobertaXLForMaskedLM

from adapter_transfer.backbones import preparing
from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.checkpoints import HubModel, LocalFolder
from adapter_transfer.backbones.copy_plans import plan_copy
from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.prepared import PreparedCopy, find_prepared, read_copy
from adapter_transfer.backbones.preparing import prepare, write_copy
from adapter_transfer.backbones.tensor_files import TensorFiles
from adapter_transfer.backbones.vocabulary import KeptTokens
from adapter_transfer.backbones.zoo import BACKBONES, own_backbone
from adapter_transfer.errors import AdapterTransferError, ConfigError, DataError, StoreError

CPU = torch.device("cpu")
FP32, BF16, FP16 = torch.float32, torch.bfloat16, torch.float16
TABLE = "embeddings.word_embeddings.weight"
SHARD_BYTES = 4_000  # so that small models have several

BODIES = {
    "xlm-roberta": XLMRobertaForMaskedLM,
    "bert": BertForMaskedLM,
    "xlm-roberta-xl": XLMRobertaXLForMaskedLM,
}


@pytest.fixture
def own(encoder, tmp_path):
    """Makes an encoder of the user's with a head, as it is published: `own("bert", as_pickle=True)`."""

    def make(kind: str = "xlm-roberta", *, as_pickle: bool = False, shard: str = "5GB") -> Backbone:
        folder = tmp_path / f"own-{kind}"
        shutil.copytree(encoder(kind), folder)
        (folder / "model.safetensors").unlink()
        model = BODIES[kind].from_pretrained(encoder(kind), dtype=FP32)
        model.save_pretrained(folder, safe_serialization=not as_pickle, max_shard_size=shard)
        return own_backbone(str(folder))

    return make


@pytest.fixture
def backbone(own) -> Backbone:
    return own()


def kept(backbone: Backbone, *more: int) -> KeptTokens:
    return KeptTokens(np.array([0, 1, 2, 3, 5, 9, *more]), backbone.known_fields()["vocab_size"])


def body(backbone: Backbone, folder: Path | None = None, precision: str = "fp32", dtype: torch.dtype = FP32):
    if folder is not None:
        backbone = replace(backbone, model=LocalFolder(str(folder)), shape=None)
    return load_body(backbone, precision=precision, device=CPU, vocab_size=10, dtype=dtype).state_dict()


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert tensor.dtype == right[name].dtype and torch.equal(tensor, right[name]), name


def write(backbone: Backbone, cache: Path, tell=lambda done, total: None, **how) -> PreparedCopy:
    return write_copy(plan_copy(backbone, cache, **how), tell, shard_bytes=SHARD_BYTES)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(("as_pickle", "shard"), [(False, "5GB"), (False, "8KB"), (True, "5GB"), (True, "8KB")])
def test_a_copy_has_exactly_the_bodys_weights(own, tmp_path, kind, as_pickle, shard):
    backbone = own(kind, as_pickle=as_pickle, shard=shard)
    whole = read_copy(prepare(backbone, tmp_path / "cache"))
    assert (whole.kept, whole.dtype) == (None, None)
    assert {path.name for path in whole.folder.iterdir()} == {"config.json", "manifest.json", "model.safetensors"}
    assert not [name for name in TensorFiles.open(whole.folder).infos if "head" in name or "pooler" in name]
    assert_same(body(backbone, whole.folder), body(backbone))

    rounded = write(backbone, tmp_path / "cache", dtype=BF16)
    assert len(list(rounded.folder.glob("*.safetensors"))) > 1
    assert 0.4 < rounded.num_bytes / whole.num_bytes < 0.8
    assert_same(body(backbone, rounded.folder, "bf16", BF16), body(backbone, precision="bf16", dtype=BF16))

    trimmed = read_copy(prepare(backbone, tmp_path / "cache", keep=kept(backbone)))
    table = TensorFiles.open(trimmed.folder).tensor(TABLE)
    assert torch.equal(table, body(backbone)[TABLE][torch.from_numpy(kept(backbone).ids)])
    assert trimmed.kept is not None and trimmed.kept.digest == kept(backbone).digest
    assert json.loads((trimmed.folder / "config.json").read_text())["vocab_size"] == 6
    loaded = AutoModel.from_pretrained(trimmed.folder, add_pooling_layer=False).state_dict()
    assert_same({**loaded, TABLE: table}, {**body(backbone), TABLE: table})


@pytest.mark.parametrize("precision", ["nf4", "int8"])
def test_a_copy_in_the_dtype_that_is_quantized_from_gives_the_same_quantized_weights(backbone, tmp_path, precision):
    rounded = write(backbone, tmp_path / "cache", dtype=BF16)
    assert_same(body(backbone, rounded.folder, precision, BF16), body(backbone, precision=precision, dtype=BF16))


def test_names_of_before_2019_and_the_layout_of_before_2020(own, tmp_path):
    backbone = own("bert", as_pickle=True)
    path = backbone.model_path / "pytorch_model.bin"
    older = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in torch.load(path).items()
    }
    # The library leaves what it loaded mapped to the file that is written over now.
    expected = {name: tensor.clone() for name, tensor in body(backbone).items()}
    torch.save(older, path, _use_new_zipfile_serialization=False)
    assert_same(body(backbone, prepare(backbone, tmp_path / "cache")), expected)


def test_weights_in_several_dtypes_stay_as_they_are(own, tmp_path):
    backbone = own("bert", as_pickle=True)
    path = backbone.model_path / "pytorch_model.bin"
    tensors = torch.load(path)
    name = "bert.embeddings.LayerNorm.bias"
    torch.save({**tensors, name: tensors[name].to(BF16)}, path)
    folder = prepare(backbone, tmp_path / "cache")
    kinds = {info.dtype for info in TensorFiles.open(folder).infos.values()}
    assert kinds == {FP32, BF16}
    assert_same(body(backbone, folder), body(backbone))


def test_only_a_copy_that_gives_the_originals_weights_serves(backbone, tmp_path):
    cache = tmp_path / "cache"
    assert find_prepared(cache, backbone, dtype=FP32, keep=None) is None
    few, more, most = (kept(backbone, *range(10, 10 + n)) for n in (0, 5, 20))

    def found(dtype: torch.dtype, keep: KeptTokens | None) -> str | None:
        copy = find_prepared(cache, backbone, dtype=dtype, keep=keep)
        return None if copy is None else names[copy.folder]

    names = {prepare(backbone, cache, dtype=BF16, keep=more): "bf16, trimmed"}
    assert found(BF16, few) == found(BF16, more) == "bf16, trimmed"
    assert found(BF16, most) is found(BF16, None) is found(FP32, few) is found(FP16, few) is None
    names[prepare(backbone, cache)] = "whole"
    assert found(FP32, None) == found(FP32, few) == found(FP16, few) == found(BF16, most) == "whole"
    assert found(BF16, more) == "bf16, trimmed"
    names[prepare(backbone, cache, keep=more)] = "trimmed"
    assert found(FP32, few) == found(FP16, more) == "trimmed"
    assert found(FP32, most) == "whole"
    names[prepare(backbone, cache, keep=few)] = "trimmed to less"
    assert found(FP32, few) == "trimmed to less"
    other_table = KeptTokens(few.ids, few.num_rows + 1)
    assert found(FP32, other_table) == "whole"  # and whoever loads it finds that the table is another
    assert find_prepared(cache, replace(backbone, weights="random"), dtype=FP32, keep=None) is None


def test_weights_that_are_published_in_bf16_are_not_rounded(own, tmp_path):
    backbone = own("bert")
    AutoModel.from_pretrained(backbone.model_path, dtype=BF16).save_pretrained(backbone.model_path)
    folder = prepare(backbone, tmp_path / "cache", dtype=BF16)
    assert read_copy(folder).dtype is None
    found = find_prepared(tmp_path / "cache", backbone, dtype=FP32, keep=None)
    assert found is not None and found.folder == folder
    assert_same(body(backbone, folder), body(backbone))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_copy_of_what_the_original_was_does_not_serve(backbone, tmp_path, file):
    cache = tmp_path / "cache"
    first = prepare(backbone, cache)
    path = backbone.model_path / file
    if file == "config.json":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"layer_norm_eps": 0.1}))
    else:
        BODIES["xlm-roberta"].from_pretrained(backbone.model_path).half().save_pretrained(backbone.model_path)
    assert find_prepared(cache, backbone, dtype=FP32, keep=None) is None
    assert prepare(backbone, cache) != first


def test_a_copy_of_the_hubs_is_known_by_its_commit_without_a_request(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(HubModel, "folder", lambda self, part: Path(backbone.model.path))
    published = replace(backbone, model=HubModel("org/tiny", commit="1" * 40), tokenizer=backbone.tokenizer)
    folder = prepare(published, tmp_path / "cache")
    monkeypatch.undo()
    found = find_prepared(tmp_path / "cache", published, dtype=FP32, keep=None)
    assert found is not None and found.folder == folder
    later = replace(published, model=HubModel("org/tiny", commit="2" * 40))
    assert find_prepared(tmp_path / "cache", later, dtype=FP32, keep=None) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{}"),
        lambda folder: os.truncate(folder / "model.safetensors", 900),
        lambda folder: flip_bit(folder / "model.safetensors"),
        lambda folder: flip_bit(folder / "kept.json"),
    ],
    ids=["missing", "manifest", "truncated", "bit", "kept"],
)
def test_a_damaged_copy_is_passed_over_and_made_anew(backbone, tmp_path, damage, caplog):
    cache, keep = tmp_path / "cache", kept(backbone)
    folder = prepare(backbone, cache, keep=keep)
    damage(folder)
    assert find_prepared(cache, backbone, dtype=FP32, keep=keep) is None
    assert "a prepared copy is passed over" in caplog.text
    assert prepare(backbone, cache, keep=keep) == folder
    assert find_prepared(cache, backbone, dtype=FP32, keep=keep) is not None
    assert [path.name for path in cache.iterdir()] == [folder.name]


def flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)


class Cut(BaseException):
    """As a Ctrl-C."""


def cut_at(share: float):
    def tell(done: int, total: int) -> None:
        if done > share * total:
            raise Cut

    return tell


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_cut_off_goes_on(own, tmp_path):
    backbone = own(as_pickle=True)
    whole = write(backbone, tmp_path / "whole")
    cache = tmp_path / "cache"
    with pytest.raises(Cut):
        write(backbone, cache, cut_at(0.3))
    (partial,) = cache.iterdir()
    assert partial.name.endswith(".partial")
    first = {path.name: path.stat().st_mtime_ns for path in partial.glob("*.safetensors")}
    assert len(first) >= 2
    assert find_prepared(cache, backbone, dtype=FP32, keep=None) is None
    with pytest.raises(Cut):
        write(backbone, cache, cut_at(0.8))
    damaged = sorted(first)[1]
    flip_bit(partial / damaged)
    (partial / ".model.safetensors.0123456789ab.tmp").write_bytes(b"what a killed writer left")
    told = []
    copy = write(backbone, cache, lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == plan_copy(backbone, cache).num_bytes
    assert listing(copy.folder) == listing(whole.folder)
    times = {path.name: path.stat().st_mtime_ns for path in copy.folder.glob("*.safetensors")}
    assert {name for name in first if times[name] != first[name]} == {damaged}
    assert [path.name for path in cache.iterdir()] == [copy.folder.name]
    told.clear()
    assert write(backbone, cache, lambda done, total: told.append((done, total))) == copy
    assert len(told) == 1  # nothing is written again


@pytest.mark.parametrize("noted", ["[]", '{"model.safetensors": 1}', "{"])
def test_notes_of_progress_that_mean_nothing_are_left_aside(backbone, tmp_path, noted):
    whole, cache = write(backbone, tmp_path / "whole"), tmp_path / "cache"
    with pytest.raises(Cut):
        write(backbone, cache, cut_at(0.5))
    (partial,) = cache.iterdir()
    (partial / "progress.json").write_text(noted)
    assert listing(write(backbone, cache).folder) == listing(whole.folder)


def test_a_checkpoint_that_changes_while_it_is_copied(backbone, tmp_path):
    """Whatever of the other one was read is in no copy, not even once the first is back."""
    cache, weights = tmp_path / "cache", backbone.model_path / "model.safetensors"
    expected, published = write(backbone, tmp_path / "whole"), weights.read_bytes()

    def replace_it(done: int, total: int) -> None:
        if done > 0.4 * total:
            weights.write_bytes(published[:-4000] + bytes(4000))

    with pytest.raises(DataError, match="have changed while they were copied"):
        write(backbone, cache, replace_it)
    weights.write_bytes(published)
    assert listing(write(backbone, cache).folder) == listing(expected.folder)


def killed_writer(backbone: Backbone, cache: Path) -> None:
    def tell(done: int, total: int) -> None:
        if done > 0.6 * total:
            os.kill(os.getpid(), 9)

    write(backbone, cache, tell)


def test_a_killed_writer_leaves_no_copy_and_no_lock(backbone, tmp_path):
    cache = tmp_path / "cache"
    process = multiprocessing.get_context("fork").Process(target=killed_writer, args=(backbone, cache))
    process.start()
    process.join(60)
    assert process.exitcode == -9
    (partial,) = cache.iterdir()
    assert [path for path in partial.iterdir() if path.name.endswith(".tmp")]
    assert find_prepared(cache, backbone, dtype=FP32, keep=None) is None
    copy = write(backbone, cache)
    assert listing(copy.folder) == listing(write(backbone, tmp_path / "whole").folder)


def test_two_writers_do_not_meet(backbone, tmp_path):
    cache = tmp_path / "cache"

    def tell(done: int, total: int) -> None:
        with pytest.raises(StoreError, match="another process is making the same copy"):
            write(backbone, cache)

    assert write(backbone, cache, tell).folder.is_dir()


def test_a_full_disk_in_the_middle(backbone, tmp_path, monkeypatch):
    real = preparing.write_tensors

    def full(path: Path, tensors) -> None:
        real(path, tensors)
        if len(list(path.parent.glob("*.safetensors"))) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache = tmp_path / "cache"
    monkeypatch.setattr(preparing, "write_tensors", full)
    with pytest.raises(StoreError, match=r"No space left on device\. Free some space"):
        write(backbone, cache)
    (partial,) = cache.iterdir()
    assert len(list(partial.glob("*.safetensors"))) == 2
    assert not [path for path in partial.iterdir() if path.name.endswith(".tmp")]
    monkeypatch.undo()
    assert write(backbone, cache).folder.is_dir()


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(StoreError, match=r"needs 0\.1 GB in .*, where 0\.0 GB are free"):
        prepare(backbone, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def cut_table(folder: Path) -> None:
    fields = json.loads((folder / "config.json").read_text())
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    model.resize_token_embeddings(fields["vocab_size"] - 5)
    model.save_pretrained(folder)


def change_config(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), DataError, r"config\.json cannot be read"),
        (lambda folder: change_config(folder, model_type="gpt2"), ConfigError, "architecture 'gpt2', for which there"),
        (
            lambda folder: change_config(folder, vocab_size=999),
            DataError,
            r"other shapes .*embeddings\.word_embeddings",
        ),
        (lambda folder: change_config(folder, num_hidden_layers=3), DataError, r"lacks weights .*layer\.2\."),
        (lambda folder: change_config(folder, hidden_act="gellu"), DataError, r"config\.json makes no model"),
        (lambda folder: os.truncate(folder / "model.safetensors", 5_000), DataError, "is truncated"),
        (cut_table, DataError, r"tokenizer has \d+ tokens and the embedding table only \d+ rows"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_told_before_anything_is_written(backbone, tmp_path, change, error, message):
    change(Path(backbone.model.path))
    with pytest.raises(error, match=message) as caught:
        prepare(backbone, tmp_path / "cache")
    assert isinstance(caught.value, AdapterTransferError)
    assert not (tmp_path / "cache").exists()


def test_there_is_nothing_to_prepare_of_random_weights(tmp_path):
    with pytest.raises(ConfigError, match="random weights"):
        prepare(BACKBONES["micro-random"], tmp_path / "cache")


def test_tokens_of_another_table_are_refused(backbone, tmp_path):
    with pytest.raises(DataError, match="of a table of 4,000 rows, and this one has"):
        prepare(backbone, tmp_path / "cache", keep=KeptTokens(np.arange(10), 4_000))


PEAK = """
import json, sys
from pathlib import Path
import torch
from adapter_transfer.backbones.preparing import prepare
from adapter_transfer.backbones.zoo import own_backbone

def resident(field):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024

told = {}
for folder, dtype in zip(sys.argv[2:], (None, torch.bfloat16)):
    backbone = own_backbone(folder)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    made = prepare(backbone, Path(sys.argv[1]), dtype=dtype)
    told[str(made)] = (before, resident("VmHWM"))
print(json.dumps(told))
"""


def test_the_peak_of_memory_is_not_that_of_the_checkpoint(encoder, tmp_path):
    """At most twice the largest tensor plus 1 GB in all, and what is added well below the files' 240 MB."""
    config = AutoConfig.from_pretrained(encoder("xlm-roberta"))
    sizes = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 3, "vocab_size": 20_000}
    with torch.device("meta"):
        shapes = AutoModel.from_config(type(config)(**{**config.to_dict(), **sizes}), add_pooling_layer=False)
    tensors = {
        f"roberta.{name}": torch.full(tensor.shape, float(number))
        for number, (name, tensor) in enumerate(shapes.state_dict().items())
    }
    largest = 20_000 * 1024 * 4
    folders = [tmp_path / "bin", tmp_path / "shards"]
    for folder in folders:
        shutil.copytree(encoder("xlm-roberta"), folder)
        (folder / "model.safetensors").unlink()
        change_config(folder, **sizes)
    torch.save(tensors, folders[0] / "pytorch_model.bin")
    names = list(tensors)
    weight_map = {name: f"model-{names.index(name) % 2}.safetensors" for name in names}
    for shard in set(weight_map.values()):
        save_file({name: tensors[name] for name in names if weight_map[name] == shard}, folders[1] / shard)
    (folders[1] / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    command = [sys.executable, "-c", PEAK, str(tmp_path / "copies"), *map(str, folders)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert len(told) == 2
    for folder, (before, peak) in told.items():
        assert peak < 2 * largest + 1e9
        assert peak - before < 100e6, folder
        files = TensorFiles.open(Path(folder))
        for name in files.infos:
            assert torch.equal(files.tensor(name), tensors[f"roberta.{name}"].to(files.infos[name].dtype)), name
