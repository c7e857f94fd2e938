"""Keys of a checkpoint's files that would have something else loaded than what a run is identified by."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapter_transfer.backbones.detours import DETOURS
from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import own_backbone
from adapter_transfer.errors import DataError

CPU = torch.device("cpu")
ADAPTERS = {"adapters": {"sst": "abc"}, "config_map": {"abc": "seq_bn"}, "fusions": {}}
# (file, key) → a value that leads elsewhere, and one that means nothing if the library allows any.
VALUES = {
    ("config.json", "transformers_weights"): ("../other.safetensors", None),
    ("config.json", "configuration_files"): (["config.4.0.0.json"], []),
    ("config.json", "quantization_config"): ({"quant_method": "bitsandbytes", "load_in_8bit": True},),
    ("config.json", "is_decoder"): (True, False),
    ("config.json", "add_cross_attention"): (True, False),
    ("config.json", "adapters"): (ADAPTERS, {"adapters": {}, "config_map": {"abc": "seq_bn"}}),
    ("config.json", "auto_map"): ({"AutoModel": "mine.Model"}, {}),
    ("tokenizer_config.json", "auto_map"): ({"AutoTokenizer": [None, "mine.Mine"]}, {}),
    ("tokenizer_config.json", "fast_tokenizer_files"): (["tokenizer.4.0.0.json"], []),
    ("tokenizer_config.json", "tokenizer_file"): ("/elsewhere/tokenizer.json", None),
    ("tokenizer_config.json", "vocab_file"): ("/elsewhere/vocab.txt", None),
    ("tokenizer_config.json", "merges_file"): ("/elsewhere/merges.txt", None),
}
each_detour = pytest.mark.parametrize(("file", "key"), VALUES, ids=lambda part: part)


def say(folder, file, **fields):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture
def folder(encoder, tmp_path):
    """A BERT that may be changed, with code beside it that no one must run."""
    folder = shutil.copytree(encoder("bert"), tmp_path / "mine")
    (folder / "mine.py").write_text("raise SystemExit('this code must not run')")
    return folder


def test_each_is_tried_here():
    assert {(detour.file, detour.key) for detour in DETOURS} == VALUES.keys()


@each_detour
def test_a_detour_is_refused_when_it_is_brought_and_when_it_is_loaded(folder, file, key):
    backbone = own_backbone(str(folder))
    say(folder, file, **{key: VALUES[file, key][0]})
    told = rf"^backbone 'mine': .*mine/{file} says {key} .*\. .+\.$"
    with pytest.raises(DataError, match=told):
        own_backbone(str(folder))
    with pytest.raises(DataError, match=told):
        load_tokenizer(backbone)
    with pytest.raises(DataError, match=told):
        load_body(backbone, device=CPU, vocab_size=10)


@pytest.mark.parametrize(("file", "key"), [place for place in VALUES if len(VALUES[place]) > 1], ids=lambda part: part)
def test_a_value_that_means_nothing_passes(folder, file, key):
    say(folder, file, **{key: VALUES[file, key][1]})
    backbone = own_backbone(str(folder))
    load_body(backbone, device=CPU, vocab_size=len(load_tokenizer(backbone)))


def test_all_of_them_are_told_at_once(folder):
    say(folder, "config.json", is_decoder=True, transformers_weights="other.safetensors")
    say(folder, "tokenizer_config.json", vocab_file="/elsewhere/vocab.txt")
    with pytest.raises(DataError, match=r"transformers_weights .* is_decoder .* vocab_file "):
        own_backbone(str(folder))


def test_a_damaged_tokenizer_config_is_refused(folder):
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(DataError, match=r"tokenizer_config\.json cannot be read: it is no valid JSON"):
        own_backbone(str(folder))


def test_the_hub_is_looked_at_as_well(folder, loopback_hub, monkeypatch, tmp_path):
    loopback_hub.use(monkeypatch, tmp_path / "hf")
    say(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "mine.Mine"]}, tokenizer_class="MineFast")
    codes = loopback_hub.add_model("org/codes", folder)
    say(folder, "config.json", is_decoder=True)
    decodes = loopback_hub.add_model("org/decodes", folder)
    commits = {"org/codes": codes, "org/decodes": decodes}
    coder, decoder = (own_backbone(repo).pinned(lambda kind, repo, revision: commits[repo]) for repo in commits)
    load_body(coder, device=CPU, vocab_size=10)
    with pytest.raises(DataError, match=r"^backbone 'codes': .*says auto_map .*, and none is run here"):
        load_tokenizer(coder)
    for read in (decoder.config_fields, lambda: decoder.model_path):
        with pytest.raises(DataError, match=r"^backbone 'decodes': .*says is_decoder true, "):
            read()


def test_what_is_digested_is_what_is_loaded(folder):
    # One of another name is nobody's, and a pickle beside safetensors is not read.
    tensors = load_file(folder / "model.safetensors")
    save_file({key: torch.zeros_like(value) for key, value in tensors.items()}, folder / "other.safetensors")
    torch.save({key: torch.ones_like(value) for key, value in tensors.items()}, folder / "pytorch_model.bin")
    names = {"model.safetensors": tensors["embeddings.LayerNorm.bias"], "pytorch_model.bin": torch.ones(16)}
    for name, expected in names.items():
        body = load_body(own_backbone(str(folder)), device=CPU, vocab_size=10)
        assert torch.equal(body.embeddings.LayerNorm.bias, expected), name
        (folder / name).unlink()
    with pytest.raises(DataError, match="has no weights"):
        own_backbone(str(folder))
