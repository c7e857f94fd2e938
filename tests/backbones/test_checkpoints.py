"""Where checkpoints lie: each kind's folder and identity, JSON, sharded weights, and what is missing."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import save_file

from adapter_transfer.backbones.checkpoints import (
    HubModel,
    LocalFolder,
    PackageFolder,
    checkpoint_from_json,
    checkpoint_json,
    read_config,
    vocabulary_file,
    weight_files,
)
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DataError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
KINDS = [PackageFolder("sandbox/checkpoints/nano"), LocalFolder("/models/mine"), HubModel("org/name", "v2", COMMIT)]


@pytest.mark.parametrize("checkpoint", KINDS, ids=lambda checkpoint: type(checkpoint).__name__)
def test_each_kind_survives_json_and_pickle(checkpoint):
    assert checkpoint_from_json(json.loads(json.dumps(checkpoint_json(checkpoint)))) == checkpoint
    assert pickle.loads(pickle.dumps(checkpoint)) == checkpoint


def test_only_the_hub_is_pinned_and_only_once():
    asked = []

    def commit(kind, repo, revision):
        asked.append((kind, repo, revision))
        return COMMIT

    package, local, pinned = KINDS
    assert [place.pinned(commit) for place in KINDS] == [package, local, pinned]
    assert asked == []
    assert HubModel("org/name", "v2").pinned(commit) == pinned
    assert asked == [("model", "org/name", "v2")]


def test_people_are_told_where_it_is():
    shown = [place.describe() for place in (*KINDS, HubModel("org/name"), HubModel("org/name", "v2"))]
    assert shown == ["built in", "/models/mine", f"org/name@{COMMIT[:12]}", "org/name", "org/name@v2"]


def test_an_unresolved_revision_has_no_identity():
    with pytest.raises(AssertionError, match="before its revision was resolved"):
        HubModel("org/name").identity("weights")


def test_a_folder_is_identified_by_its_content(encoder, tmp_path):
    place = LocalFolder(str(encoder("bert")))
    copy = LocalFolder(str(shutil.copytree(place.path, tmp_path / "copy")))
    (tmp_path / "copy" / "README.md").write_text("what a model card says does not count")
    for part in ("config", "weights", "tokenizer"):
        assert copy.identity(part) == place.identity(part)
    assert (
        place.identity("weights")
        == hashlib.sha256((place.folder("weights") / "model.safetensors").read_bytes()).hexdigest()
    )
    assert sorted(place.identity("tokenizer")) == [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    vocabulary = tmp_path / "copy" / "tokenizer_config.json"
    vocabulary.write_text(vocabulary.read_text() + " ")
    assert copy.identity("tokenizer") != place.identity("tokenizer")
    assert copy.identity("weights") == place.identity("weights")


def test_the_sandbox_is_identified_by_every_file_it_has():
    nano = BACKBONES["nano"]
    assert set(nano.tokenizer.identity("tokenizer")) == {path.name for path in nano.tokenizer_path.iterdir()}
    assert {"config.json", "model.safetensors"} == {path.name for path in nano.model_path.iterdir()}


@pytest.fixture
def sharded(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"a")
    (tmp_path / "b.bin").write_bytes(b"b")
    index = {"metadata": {}, "weight_map": {"x": "b.bin", "y": "a.bin", "z": "b.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return tmp_path


def test_shards_follow_their_index(sharded):
    names = ["pytorch_model.bin.index.json", "a.bin", "b.bin"]
    assert [path.name for path in weight_files(sharded)] == names
    identity = LocalFolder(str(sharded)).identity("weights")
    assert list(identity) == names
    (sharded / "b.bin").write_bytes(b"c")
    assert LocalFolder(str(sharded)).identity("weights")["a.bin"] == identity["a.bin"]
    assert LocalFolder(str(sharded)).identity("weights")["b.bin"] != identity["b.bin"]


def test_safetensors_come_first(sharded):
    save_file({"x": torch.ones(3)}, sharded / "model.safetensors")
    assert [path.name for path in weight_files(sharded)] == ["model.safetensors"]


def test_a_missing_shard_is_named(sharded):
    (sharded / "a.bin").unlink()
    with pytest.raises(DataError, match=r"index\.json names shards that are not there: a\.bin"):
        weight_files(sharded)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"x": "../b.bin"}}', '{"weight_map": {"x": "*.bin"}}',
     '{"weight_map": {"x": 1}}'],
)  # fmt: skip
def test_a_damaged_index_is_refused(sharded, content):
    (sharded / "pytorch_model.bin.index.json").write_text(content)
    with pytest.raises(DataError, match="no index of sharded weights"):
        weight_files(sharded)


def test_missing_parts_are_named(tmp_path):
    with pytest.raises(DataError, match=r"has no weights: none of model\.safetensors, "):
        weight_files(tmp_path)
    with pytest.raises(DataError, match=r"has no tokenizer: none of tokenizer\.json, "):
        vocabulary_file(tmp_path)
    with pytest.raises(DataError, match="nowhere cannot be read"):
        vocabulary_file(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"config\.json cannot be read \(No such file"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("content", "why"), [("{", "no valid JSON"), ("[]", "no JSON object"), ("\xff", "no valid JSON")]
)
def test_a_damaged_config_is_refused(tmp_path, content, why):
    (tmp_path / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=why):
        read_config(tmp_path)


@pytest.fixture
def hub(loopback_hub, monkeypatch, tmp_path):
    """The tests' own Hub, with `fetched()` telling which files were asked for since the last call."""
    loopback_hub.use(monkeypatch, tmp_path / "hf")

    def fetched():
        names = {
            path.rpartition("/")[2] for method, path in loopback_hub.requests if method == "GET" and "/resolve/" in path
        }
        loopback_hub.requests.clear()
        return names

    loopback_hub.fetched = fetched
    return loopback_hub


def test_the_hub_gives_each_part_alone_and_once(hub, encoder, tmp_path, monkeypatch):
    folder = shutil.copytree(encoder("bert"), tmp_path / "published")
    (folder / "pytorch_model.bin").write_bytes(b"not wanted where there are safetensors")
    (folder / "README.md").write_text("not wanted")
    place = HubModel("org/bert", commit=hub.add_model("org/bert", folder))
    place.identity("weights")
    assert hub.requests == []
    assert read_config(place.folder("config")) == read_config(folder)
    assert hub.fetched() == {"config.json"}
    assert vocabulary_file(place.folder("tokenizer")) == "tokenizer.json"
    assert hub.fetched() == {"tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"}
    (path,) = weight_files(place.folder("weights"))
    assert path.read_bytes() == (folder / "model.safetensors").read_bytes()
    assert any("model.safetensors" in path for _, path in hub.requests)
    assert not any("pytorch_model" in path or "README" in path for _, path in hub.requests)
    hub.requests.clear()
    hub.use(monkeypatch, tmp_path / "hf", offline=True)
    assert [place.folder(part) for part in ("config", "tokenizer", "weights")] == [path.parent] * 3
    assert hub.requests == []


def test_a_cache_that_another_program_filled_in_part_is_not_a_whole_tokenizer(hub, encoder, monkeypatch, tmp_path):
    import huggingface_hub

    # Without its tokenizer_config.json a cased BERT would go on uncased, as the same commit.
    place = HubModel("org/bert", commit=hub.add_model("org/bert", encoder("bert")))
    for name in ("config.json", "vocab.txt", "model.safetensors"):
        huggingface_hub.hf_hub_download("org/bert", name)
    hub.use(monkeypatch, tmp_path / "hf", offline=True)
    assert place.folder("config")
    for part in ("tokenizer", "weights"):
        with pytest.raises(DataError, match="cannot be asked which files it has"):
            place.folder(part)


def test_the_hub_gives_sharded_weights(hub, sharded):
    (sharded / "config.json").write_text("{}")
    place = HubModel("org/sharded", commit=hub.add_model("org/sharded", sharded))
    assert [path.name for path in weight_files(place.folder("weights"))] == [
        "pytorch_model.bin.index.json",
        "a.bin",
        "b.bin",
    ]


def test_a_repository_without_a_part_is_refused(hub, tmp_path):
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "config.json").write_text("{}")
    place = HubModel("org/empty", commit=hub.add_model("org/empty", tmp_path / "published"))
    with pytest.raises(DataError, match=r"org/empty@\w+ has no tokenizer"):
        place.folder("tokenizer")
    with pytest.raises(DataError, match=r"org/empty@\w+ has no weights"):
        place.folder("weights")
    assert hub.fetched() == set()
