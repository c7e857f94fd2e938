"""What lies on this machine already, known without asking anybody."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from adapter_transfer.backbones.at_hand import download_bytes, tokenizer_file
from adapter_transfer.backbones.checkpoints import HubModel
from adapter_transfer.backbones.zoo import BACKBONES

COMMIT = "1" * 40


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """The folder of XLM-R base's commit in an empty cache of the Hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--FacebookAI--xlm-roberta-base" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    return folder


def pinned():
    return BACKBONES["base"].pinned(lambda kind, repo, revision: COMMIT)


def test_what_is_in_the_cache_is_at_hand(snapshot):
    base = pinned()
    assert tokenizer_file(base) is None
    assert download_bytes(base) == 4 * 277_453_056
    (snapshot / "tokenizer.json").write_text("{}")
    (snapshot / "model.safetensors").write_text("")
    assert tokenizer_file(base) == snapshot / "tokenizer.json"
    assert download_bytes(base) == 0


def test_of_sharded_weights_every_shard_counts(snapshot):
    index = snapshot / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.bin", "b": "two.bin"}}))
    (snapshot / "one.bin").write_text("")
    assert download_bytes(pinned()) > 0
    (snapshot / "two.bin").write_text("")
    assert download_bytes(pinned()) == 0
    index.write_text("damaged")
    assert download_bytes(pinned()) > 0


def test_what_travels_with_the_package_or_is_made_here_is_not_downloaded(tmp_path):
    assert download_bytes(BACKBONES["nano"]) == download_bytes(BACKBONES["real-text-random"]) == 0
    trained = replace(BACKBONES["real-text-random"])
    assert tokenizer_file(trained, texts_digest="a" * 64, cache_dir=tmp_path) is None
    made = tmp_path / f"{'a' * 16}-16000" / "tokenizer.json"
    made.parent.mkdir()
    made.write_text("{}")
    assert tokenizer_file(trained, texts_digest="a" * 64, cache_dir=tmp_path) == made


def test_a_revision_that_was_never_resolved_is_nowhere():
    assert isinstance(BACKBONES["base"].tokenizer, HubModel)
    assert tokenizer_file(BACKBONES["base"]) is None
