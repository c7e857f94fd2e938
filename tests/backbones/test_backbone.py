"""A backbone's declaration: what is recorded, what makes its digest, what its configuration says of it."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel

from adapter_transfer.backbones.backbone import Backbone, backbone_from_json
from adapter_transfer.backbones.checkpoints import HubModel, LocalFolder, PackageFolder
from adapter_transfer.backbones.zoo import BACKBONES, own_backbone
from adapter_transfer.canonical import digest
from adapter_transfer.durable import sha256_file
from adapter_transfer.errors import ConfigError, DataError

COMMIT, OTHER = "0123456789abcdef0123456789abcdef01234567", "f" * 40
TEXTS = "0" * 64
SANDBOX = [name for name, backbone in BACKBONES.items() if backbone.is_sandbox]
PUBLISHED = [name for name, backbone in BACKBONES.items() if not backbone.is_sandbox]


def pinned(backbone: Backbone, commit: str = COMMIT) -> Backbone:
    return backbone.pinned(lambda kind, repo, revision: commit)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_a_recorded_backbone_is_the_same_backbone(name):
    for backbone in (BACKBONES[name], pinned(BACKBONES[name])):
        assert backbone_from_json(json.loads(json.dumps(backbone.as_json()))) == backbone
        assert pickle.loads(pickle.dumps(backbone)) == backbone


def test_a_record_of_an_earlier_version_may_lack_fields():
    record = {key: BACKBONES["nano"].as_json()[key] for key in ("name", "summary", "reference", "model", "tokenizer")}
    assert backbone_from_json({**record, "is_sandbox": True}) == BACKBONES["nano"]


@pytest.mark.parametrize(
    "change",
    [{"model": {"kind": "tape", "path": "x"}}, {"model": {"kind": "hub"}}, {"model": 3}, {"colour": "red"}],
    ids=str,
)
def test_a_damaged_record_is_refused(change):
    with pytest.raises(DataError, match="recorded backbone cannot be read"):
        backbone_from_json({**BACKBONES["nano"].as_json(), **change})


@pytest.mark.parametrize("name", SANDBOX)
def test_digests_of_existing_runs_stay(name):
    # The recipe as it was when backbones were folders of this package only; run ids are made of it.
    backbone = BACKBONES[name]
    content = {"weights": backbone.weights}
    if backbone.config is not None:
        content["config"] = {**backbone.config, "vocab_size": backbone.vocab_size}
    else:
        content["config"] = sha256_file(backbone.model_path / "config.json")
    if backbone.weights == "random":
        content["random_seed"] = 0
    else:
        content["model"] = sha256_file(backbone.model_path / "model.safetensors")
    if backbone.trains_tokenizer:
        content["tokenizer"] = {"texts": TEXTS, "vocab_size": backbone.vocab_size}
    else:
        content["tokenizer"] = {path.name: sha256_file(path) for path in backbone.tokenizer_path.iterdir()}
    assert backbone.digest(TEXTS) == digest(content)


@pytest.fixture
def copied(tmp_path):
    """A copy of nano that may be changed."""
    nano = BACKBONES["nano"]
    places = {}
    for part in ("model", "tokenizer"):
        places[part] = LocalFolder(str(shutil.copytree(getattr(nano, f"{part}_path"), tmp_path / part)))
    return replace(nano, **places)


def test_the_digest_is_of_the_content(copied):
    before = BACKBONES["nano"].digest()
    assert copied.digest() == before == replace(copied, name="other", summary="other").digest()
    assert replace(copied, weights="random").digest() != before
    assert replace(copied, pad_token_id=0).digest() != before
    assert replace(copied, tokenizer_class="xlm-roberta").digest() != before
    config = copied.model_path / "config.json"
    config.write_text(config.read_text() + " ")
    assert copied.digest() != before


def test_the_digest_of_the_hub_is_of_its_commits():
    # Nothing is downloaded: the tests are offline, and a request would fail.
    base = pinned(BACKBONES["base"])
    digests = [
        base.digest(),
        pinned(BACKBONES["base"], OTHER).digest(),
        pinned(BACKBONES["large"]).digest(),
        replace(base, tokenizer=HubModel("FacebookAI/xlm-roberta-base", commit=OTHER)).digest(),
        replace(base, pad_token_id=0).digest(),
        replace(base, weights="random").digest(),
    ]
    assert len(set(digests)) == len(digests)
    assert pinned(BACKBONES["base"].at_revision("refs/pr/1")).digest() == base.digest()


def test_model_and_tokenizer_are_pinned():
    asked = []

    def commit(kind, repo, revision):
        asked.append((kind, repo, revision))
        return COMMIT

    mixed = replace(BACKBONES["base"], tokenizer=HubModel("org/tokenizer", "v1"))
    done = mixed.pinned(commit)
    assert asked == [("model", "FacebookAI/xlm-roberta-base", "main"), ("model", "org/tokenizer", "v1")]
    assert (done.model.commit, done.tokenizer.commit) == (COMMIT, COMMIT)
    assert BACKBONES["nano"].pinned(commit) == BACKBONES["nano"]
    assert BACKBONES["real-text-random"].pinned(commit) == BACKBONES["real-text-random"]
    assert len(asked) == 2


def test_another_revision_has_to_be_resolved_again():
    changed = pinned(BACKBONES["base"]).at_revision("v2")
    assert changed.model == changed.tokenizer == HubModel("FacebookAI/xlm-roberta-base", "v2")
    mixed = replace(BACKBONES["base"], tokenizer=HubModel("org/tokenizer", "v1"))
    assert mixed.at_revision("v2").tokenizer == mixed.tokenizer
    with pytest.raises(ConfigError, match=r"only what lies on the Hub has revisions.*built in"):
        BACKBONES["nano"].at_revision("v2")


@pytest.mark.parametrize("kind", ["xlm-roberta", "roberta", "bert"])
def test_the_longest_row_fits_and_no_longer_one(kind, encoder):
    backbone = own_backbone(str(encoder(kind)))
    assert backbone.architecture == kind
    assert backbone.unsupported_reason() is None
    assert backbone.max_length == (40 if kind == "bert" else 38)
    body = AutoModel.from_pretrained(backbone.model_path)
    body(torch.full((1, backbone.max_length), 5))
    with pytest.raises((IndexError, RuntimeError)):
        body(torch.full((1, backbone.max_length + 1), 5))
    encoder_only = [parameter for name, parameter in body.named_parameters() if not name.startswith("pooler.")]
    assert backbone.parameters().total == sum(parameter.numel() for parameter in encoder_only)


def changed_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    fields = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))


def test_what_a_configuration_leaves_out_is_as_in_transformers(copied):
    changed_config(copied.model_path, pad_token_id=None, type_vocab_size=None)
    assert "pad_token_id" not in copied.config_fields()
    read = AutoConfig.from_pretrained(copied.model_path)
    assert read.pad_token_id == copied.known_fields()["pad_token_id"] == 1
    assert read.type_vocab_size == copied.known_fields()["type_vocab_size"] == 2
    changed_config(copied.model_path, hidden_size=None, num_hidden_layers="two")
    with pytest.raises(DataError, match=r"lacks num_hidden_layers, hidden_size$"):
        copied.parameters()


def test_a_checkpoint_of_another_shape_than_declared_is_refused(copied):
    shape = {name: copied.config_fields()[name] for name in ("model_type", "hidden_size", "num_hidden_layers")}
    right = replace(copied, shape=shape)
    assert right.config_fields() == copied.config_fields()
    assert right.model_path == copied.model_path
    wrong = replace(copied, shape={**shape, "hidden_size": 65})
    for read in (wrong.config_fields, lambda: wrong.model_path):
        with pytest.raises(DataError, match=r"declared with another shape.*hidden_size is 64, not 65"):
            read()


def test_the_override_is_what_the_model_gets(copied):
    assert copied.config_overrides == {}
    other = replace(copied, pad_token_id=0)
    assert other.config_overrides == {"pad_token_id": 0}
    assert other.config_fields() == copied.config_fields()
    assert other.known_fields()["pad_token_id"] == 0
    assert other.max_length == copied.max_length + 1


def test_xl_is_known_by_its_class_too(copied):
    changed_config(copied.model_path, architectures=["XLMRobertaXLForMaskedLM"])
    assert copied.architecture == "xlm-roberta-xl"
    assert copied.unsupported_reason() is None
    changed_config(copied.model_path, architectures=["GPT2Model"], model_type="gpt2")
    assert "supported: xlm-roberta, roberta, bert, xlm-roberta-xl" in copied.unsupported_reason()


def test_missing_files_are_named(copied):
    (copied.model_path / "config.json").unlink()
    with pytest.raises(DataError, match=r"backbone 'nano': .*config\.json"):
        copied.parameters()
    with pytest.raises(DataError, match=r"config\.json"):
        copied.digest()
    with pytest.raises(AssertionError, match="trains its tokenizer"):
        _ = BACKBONES["real-text-random"].tokenizer_path
    with pytest.raises(AssertionError, match="has no checkpoint"):
        _ = BACKBONES["real-text-random"].model_path


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_backbones_answer_without_a_network(name, monkeypatch):
    def refuse(*_args):
        raise AssertionError("the Hub was asked")

    for function in ("download_files", "list_files"):
        monkeypatch.setattr(f"adapter_transfer.backbones.checkpoints.{function}", refuse)
    backbone = BACKBONES[name]
    assert backbone.config_fields() == backbone.shape
    for known in (backbone, pinned(backbone)):
        assert known.max_length == 512
        assert known.parameters().total > 0
        assert known.architecture == known.shape["model_type"]
        assert known.source.startswith(known.model.repo)
    with pytest.raises(AssertionError, match="the Hub was asked"):
        pinned(backbone).config_fields()


def test_a_package_folder_is_inside_the_package():
    assert PackageFolder("sandbox").folder("config").is_relative_to(Path(str(BACKBONES["nano"].model_path)).parents[2])
