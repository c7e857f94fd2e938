"""`prepare`: what is copied from where, that runs use it, and what is wrong is told before anything is made."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from hub_content import publish_encoder
from small_experiment import SMALL, artifact_digests

from adapter_transfer.backbones import loading, preparing
from adapter_transfer.experiments.configurations import read_experiment
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.session import Session
from adapter_transfer.experiments.store import Store


@pytest.fixture
def own(encoder, tmp_path) -> Path:
    """A copy of a small XLM-R of the user's."""
    return Path(shutil.copytree(encoder("xlm-roberta"), tmp_path / "mine"))


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "store"


def folders(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "cache" / "backbones").iterdir())


def test_a_copy_is_made_once_and_told(call, store):
    made = call("prepare", "nano", "--store", str(store))
    assert made.code == 0, made.err
    (name,) = folders(store)
    assert f"nano (built in): 365.9 kB in {store}/cache/backbones/{name}, float16, all 1,128 embedding rows" in made.out
    assert "nano: 361.3 kB to" in made.err
    again = call("prepare", "nano", "--store", str(store), "--json", "--quiet")
    assert again.err == ""
    told = json.loads(again.out)
    assert (told["backbone"], told["dtypes"], told["num_rows"]) == ("nano", ["float16"], 1128)
    assert told["size_bytes"] == sum(
        path.stat().st_size for path in Path(told["folder"]).iterdir() if path.name != "manifest.json"
    )
    assert folders(store) == [name] == [Path(told["folder"]).name]


def test_help_shows_an_example(call):
    answer = call("prepare", "--help")
    assert "Example: adapter-transfer prepare xl --dtype bf16 --trim-for xcopa" in answer.out


def test_runs_use_the_copy_and_are_the_same(call, own, tmp_path, monkeypatch):
    path = tmp_path / "own.yaml"
    text = SMALL.replace("backbones: [nano]", f"backbones: [{{name: mine, model: {own}}}]").replace("64", "32")
    path.write_text(text + "trim_vocabulary: true\n")
    plain, prepared = (Store.open(tmp_path / name) for name in ("plain", "prepared"))
    made = call("prepare", "mine", "--trim-for", str(path), "--store", str(prepared.root), "--json")
    assert made.code == 0, made.err
    told = json.loads(made.out)
    assert told["num_rows"] < told["num_published_rows"]
    read: dict[Path, set[str]] = {plain.root: set(), prepared.root: set()}
    real = loading.AutoModel.from_pretrained
    for store in (plain, prepared):
        monkeypatch.setattr(
            loading.AutoModel,
            "from_pretrained",
            lambda folder, *rest, store=store, **how: read[store.root].add(str(folder)) or real(folder, *rest, **how),
        )
        session = Session(store, MachineSettings(device="cpu", threads=1))
        for planned in make_plan(read_experiment(str(path)), store, Sources()).runs:
            session.execute(planned.spec)
    assert read == {plain.root: {str(own)}, prepared.root: {told["folder"]}}
    assert artifact_digests(plain) == artifact_digests(prepared)


def test_a_revision_on_the_hub_is_pinned_by_the_lock(call, loopback_hub, store, tmp_path, monkeypatch):
    loopback_hub.use(monkeypatch, tmp_path / "hf")
    ((_, commit),) = publish_encoder(loopback_hub, tmp_path / "first", "org/tiny", weights="bin").items()
    path = tmp_path / "hub.yaml"
    path.write_text(SMALL.replace("backbones: [nano]", "backbones: [{name: tiny, model: org/tiny}]"))
    made = call("prepare", "tiny", "--trim-for", str(path), "--store", str(store), "--json", "--dtype", "bf16")
    assert made.code == 0, made.err
    told = json.loads(made.out)
    assert told["source"] == f"org/tiny@{commit[:12]}"
    assert told["dtypes"] == ["bfloat16"]
    assert commit in path.with_suffix(".lock.json").read_text()

    # Somebody pushes to the branch: who has the lock stays with the commit, who has none gets the later one.
    (later,) = publish_encoder(loopback_hub, tmp_path / "later", "org/tiny", seed=2).values()
    again = call("prepare", "tiny", "--trim-for", str(path), "--store", str(store), "--json", "--dtype", "bf16")
    assert json.loads(again.out)["folder"] == told["folder"]
    without = json.loads(call("prepare", "org/tiny", "--store", str(store), "--json").out)
    assert without["source"] == f"org/tiny@{later[:12]}"
    pinned = json.loads(call("prepare", "org/tiny", "--revision", commit, "--store", str(store), "--json").out)
    assert pinned["source"] == told["source"]
    assert len(folders(store)) == 3


def cut_shard(folder: Path) -> None:
    model = loading.AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="8KB")
    next(folder.glob("model-00002*")).unlink()


def cut_pickle(folder: Path) -> None:
    model = loading.AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, safe_serialization=False)
    os.truncate(folder / "pytorch_model.bin", 9_000)


def change_config(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def cut_table(folder: Path) -> None:
    model = loading.AutoModel.from_pretrained(folder)
    model.resize_token_embeddings(20, mean_resizing=False)
    model.save_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), 4, "config.json cannot be read"),
        (
            lambda folder: change_config(folder, model_type="gpt2"),
            2,
            "architecture 'gpt2', for which there is no model",
        ),
        (cut_shard, 4, "names shards that are not there: model-00002"),
        (lambda folder: os.truncate(folder / "model.safetensors", 9_000), 4, "model.safetensors is truncated"),
        (cut_pickle, 4, "pytorch_model.bin is truncated"),
        (cut_table, 4, "tokens and the embedding table only 20 rows"),
        (lambda folder: (folder / "tokenizer.json").unlink(), 4, "has no tokenizer"),
        (shutil.rmtree, 2, "there is no such folder"),
    ],
)
def test_a_checkpoint_that_cannot_be_copied(call, own, store, change, code, message):
    change(own)
    answer = call("prepare", str(own), "--store", str(store))
    assert answer.code == code
    assert message in answer.err
    assert answer.err.count("error:") == 1
    assert not store.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nanoo",), 2, "unknown backbone 'nanoo'. Did you mean 'nano'"),
        (("nano", "--trim-for", "dmo"), 2, "Did you mean 'demo'"),
        (("nano", "--dtype", "fp8"), 2, "fp8"),
        (("nano", "--revision", "v2"), 2, "only what lies on the Hub has revisions"),
        (("micro-random",), 2, "random weights"),
        (("nano", "--trim-for", "xcopa-files", "--data-dir", "/nowhere"), 2, "no such folder"),
    ],
)
def test_what_cannot_be_asked_for(call, store, arguments, code, message):
    answer = call("prepare", *arguments, "--store", str(store))
    assert answer.code == code
    assert message in answer.err
    assert not store.exists()


def test_somebody_elses_folder_is_left_alone(call, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    assert call("prepare", "nano", "--store", str(tmp_path / "photos")).code == 3
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_a_full_disk_leaves_no_copy(call, store, monkeypatch):
    def full(path: Path, tensors: object) -> None:
        path.write_bytes(b"a part of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(preparing, "write_tensors", full)
    answer = call("prepare", "nano", "--store", str(store))
    assert answer.code == 3
    assert "No space left on device. Free some space there" in answer.err
    (partial,) = folders(store)
    assert partial.endswith(".partial")
    assert not list((store / "cache" / "backbones" / partial).iterdir())
    monkeypatch.undo()
    assert call("prepare", "nano", "--store", str(store)).code == 0
