"""Every declared backbone is as large as it says, those that are here load, and people can bring their own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModel

from adapter_transfer.backbones.checkpoints import HubModel, LocalFolder, weight_files
from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.sizes import count_parameters
from adapter_transfer.backbones.tokenizer_loading import TokenizerText, load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES, PUBLISHED, own_backbone, own_name
from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer.hub import resolve_commit

CPU = torch.device("cpu")
TEXT = TokenizerText(
    "0" * 64, lambda: [f"A line of text, number {number}, about rain and roofs." for number in range(50)]
)


def load(backbone, tmp_path, **changes):
    tokenizer = load_tokenizer(backbone, text=TEXT, cache_dir=tmp_path / "cache")
    settings = {"dtype": torch.float32, "device": CPU, "vocab_size": len(tokenizer)} | changes
    return tokenizer, load_body(backbone, **settings)


@pytest.mark.parametrize("name", [name for name, backbone in BACKBONES.items() if backbone.is_sandbox])
def test_every_backbone_that_is_here_loads_and_is_as_large_as_it_says(name, tmp_path):
    backbone = BACKBONES[name]
    tokenizer, body = load(backbone, tmp_path)
    counted = count_parameters(body.config.to_dict())
    assert counted.total == sum(parameter.numel() for parameter in body.parameters())
    assert counted.encoder == sum(parameter.numel() for parameter in body.encoder.parameters())
    if not backbone.trains_tokenizer:
        assert backbone.parameters() == counted
    ids = tokenizer("It rained.", return_tensors="pt")
    assert ids["input_ids"].max() < len(tokenizer) <= body.config.vocab_size
    assert tokenizer.pad_token_id == body.config.pad_token_id == 1
    assert torch.isfinite(body(**ids)[0]).all()


def test_sizes_of_the_published_architectures():
    # XLM-R base and large: 12 x 768 and 24 x 1024 (Conneau et al. 2020); XL: 36 x 2560 (Goyal et al. 2021). The counts
    # are those of the real classes, made on the meta device.
    shapes = [("xlm-roberta", 768, 3072, 12), ("xlm-roberta", 1024, 4096, 24), ("xlm-roberta-xl", 2560, 10240, 36)]
    for kind, hidden, inner, layers in shapes:
        config = AutoConfig.for_model(
            kind, vocab_size=250_002, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
            num_attention_heads=hidden // 64, max_position_embeddings=514, type_vocab_size=1,
        )  # fmt: skip
        with torch.device("meta"):
            model = AutoModel.from_config(config, add_pooling_layer=False)
        assert count_parameters(config.to_dict()).total == sum(p.numel() for p in model.parameters())


def test_published_sizes_are_those_that_were_published():
    # Millions of parameters without pooler and heads: model card of Multilingual-MiniLM (21M Transformer, 96M
    # embedding); Conneau et al. 2020, table 1 (270M, 550M); Goyal et al. 2021 (3.5B, 10.7B), all rounded there.
    total = {backbone.name: backbone.parameters().total / 1e6 for backbone in PUBLISHED}
    l12 = BACKBONES["mminilm-l12"].parameters()
    assert (round(l12.encoder / 1e6), round(l12.embeddings / 1e6)) == (21, 96)
    assert total["base"] == pytest.approx(270, rel=0.03)
    assert total["large"] == pytest.approx(550, rel=0.03)
    assert (round(total["xl"], -2), round(total["xxl"], -2)) == (3500, 10_700)
    # The file of mMiniLMv2's weights has 215 MB in fp16, with the head of the masked language model.
    assert total["mminilm-l6"] * 2 == pytest.approx(215, rel=0.01)


@pytest.mark.parametrize("backbone", PUBLISHED, ids=lambda backbone: backbone.name)
def test_published_shapes_are_those_of_the_real_classes(backbone):
    config = AutoConfig.for_model(**backbone.shape)
    with torch.device("meta"):
        model = AutoModel.from_config(config, add_pooling_layer=False)
    assert backbone.parameters().total == sum(parameter.numel() for parameter in model.parameters())
    assert config.hidden_size % config.num_attention_heads == 0
    assert backbone.unsupported_reason() is None
    assert not backbone.is_sandbox


def test_random_weights_are_the_same_every_time_and_not_the_pretrained_ones(tmp_path):
    one, two = (load(BACKBONES["micro-random"], tmp_path)[1] for _ in range(2))
    pretrained = load(BACKBONES["micro"], tmp_path)[1]
    for (name, a), b, c in zip(one.named_parameters(), two.parameters(), pretrained.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert a.shape == c.shape
    assert not torch.equal(one.embeddings.word_embeddings.weight, pretrained.embeddings.word_embeddings.weight)


@pytest.fixture
def copied(tmp_path):
    """A copy of nano that may be damaged, and its folder."""
    for part in ("model", "tokenizer"):
        shutil.copytree(getattr(BACKBONES["nano"], f"{part}_path"), tmp_path / part)
    places = {part: LocalFolder(str(tmp_path / part)) for part in ("model", "tokenizer")}
    return replace(BACKBONES["nano"], **places), tmp_path


def test_a_checkpoint_without_some_weights_is_refused(copied):
    from safetensors.torch import load_file, save_file

    backbone, folder = copied
    path = folder / "model" / "model.safetensors"
    tensors = load_file(path)
    removed = tensors.pop(sorted(tensors)[-1])
    assert removed.numel()
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match="lacks weights"):
        load_body(backbone, dtype=torch.float32, device=CPU, vocab_size=10)


def test_a_truncated_checkpoint_is_refused(copied):
    backbone, folder = copied
    path = folder / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="cannot be loaded"):
        load_body(backbone, dtype=torch.float32, device=CPU, vocab_size=10)


def test_a_table_that_is_too_small_is_refused(copied):
    backbone, folder = copied
    rows = json.loads((folder / "model" / "config.json").read_text())["vocab_size"]
    with pytest.raises(DataError, match=f"only {rows} rows"):
        load_body(backbone, dtype=torch.float32, device=CPU, vocab_size=rows + 1)


@pytest.mark.parametrize("kind", ["xlm-roberta", "roberta", "bert", "mminilm"])
def test_your_own_folder_loads(kind, encoder, tmp_path):
    folder = shutil.copytree(encoder(kind), tmp_path / "My encoder (v1)")
    backbone = own_backbone(str(folder))
    assert backbone.name == "My-encoder-v1"
    assert not backbone.is_sandbox
    tokenizer, body = load(backbone, tmp_path)
    assert body.config.model_type == backbone.architecture
    assert body.config.pad_token_id == tokenizer.pad_token_id == body.embeddings.word_embeddings.padding_idx
    encoded = tokenizer("It rained.", "The roof is wet.", return_tensors="pt")
    assert torch.isfinite(body(**encoded)[0]).all()
    assert backbone.digest() == own_backbone(str(encoder(kind)), name="other").digest()


def test_a_folder_is_meant_by_how_it_is_written(encoder, tmp_path, monkeypatch):
    shutil.copytree(encoder("bert"), tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "org"))
    place = LocalFolder(str((tmp_path / "org" / "name").resolve()))
    for text in ("org/name", "./org/name", "./org/name/", "~/name", str(tmp_path / "org" / "name")):
        backbone = own_backbone(text)
        assert (backbone.model, backbone.tokenizer, backbone.name) == (place, place, "name"), text
    monkeypatch.chdir(tmp_path / "org" / "name")
    assert own_backbone(".").model == place
    assert own_name("..") == "org"
    assert own_backbone("org/name").model == HubModel("org/name")


def test_an_own_encoder_of_the_hub_is_not_asked_for_yet():
    backbone = own_backbone("FacebookAI/roberta.base_v2", revision="refs/pr/3")
    assert backbone.name == "roberta-base_v2"
    assert backbone.model == backbone.tokenizer == HubModel("FacebookAI/roberta.base_v2", "refs/pr/3")
    assert backbone.shape is None
    told = own_backbone("org/name", tokenizer_class="xlm-roberta", pad_token_id=1)
    assert (told.tokenizer_class, told.config_overrides) == ("xlm-roberta", {"pad_token_id": 1})


def test_a_published_model_keeps_its_quirks_by_its_id():
    backbone = own_backbone("microsoft/Multilingual-MiniLM-L12-H384", revision="v2")
    assert (backbone.tokenizer_class, backbone.pad_token_id) == ("xlm-roberta", 1)
    assert backbone.model == HubModel("microsoft/Multilingual-MiniLM-L12-H384", "v2")
    assert backbone.shape is None


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("./nowhere", {}, "there is no such folder"),
        ("bert", {}, r"neither a folder .* nor a Hub id \(org/name\)"),
        ("org/name/more", {}, "neither a folder"),
        ("org/na me", {}, "neither a folder"),
        ("../org--name/x", {}, "there is no such folder"),
        ("org/name", {"name": "a b"}, "at most 64 characters"),
        ("org/name", {"name": "base"}, "the zoo has one of that name"),
        ("org/nano", {}, "the zoo has one of that name"),
    ],
)
def test_what_is_no_backbone_is_refused(text, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        own_backbone(text, **options)


def test_a_folder_that_is_no_encoder_is_refused(encoder, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(encoder("roberta"), folder)
    with pytest.raises(ConfigError, match="has no revision 'v2'"):
        own_backbone(str(folder), revision="v2")
    with pytest.raises(ConfigError, match="it is a file"):
        own_backbone(str(folder / "config.json"))
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    with pytest.raises(DataError, match="has no weights"):
        own_backbone(str(folder))
    (folder / "other.safetensors").rename(folder / "model.safetensors")
    for name in ("tokenizer.json", "vocab.json"):
        (folder / name).unlink()
    with pytest.raises(DataError, match="has no tokenizer"):
        own_backbone(str(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(ConfigError, match=r"architecture 'gpt2'.*supported: xlm-roberta, roberta, bert"):
        own_backbone(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(DataError, match=r"config\.json cannot be read"):
        own_backbone(str(folder))


def test_an_encoder_of_the_hub_is_the_same_as_its_folder(encoder, loopback_hub, tmp_path, monkeypatch):
    loopback_hub.use(monkeypatch, tmp_path / "hf")
    commit = loopback_hub.add_model("org/mine", encoder("mminilm"))
    told = {"tokenizer_class": "xlm-roberta", "pad_token_id": 1}
    backbone = own_backbone("org/mine", **told).pinned(resolve_commit)
    assert backbone.model == HubModel("org/mine", "main", commit)
    here = own_backbone(str(encoder("mminilm")), name="here")
    assert backbone.known_fields() == here.known_fields()
    (tokenizer, body), (local_tokenizer, local_body) = load(backbone, tmp_path), load(here, tmp_path)
    encoded = tokenizer("It rained on roofs.", return_tensors="pt")
    assert torch.equal(encoded["input_ids"], local_tokenizer("It rained on roofs.", return_tensors="pt")["input_ids"])
    assert torch.equal(body(**encoded)[0], local_body(**encoded)[0])
    loopback_hub.requests.clear()
    loopback_hub.use(monkeypatch, tmp_path / "hf", offline=True)
    load(backbone, tmp_path)
    assert loopback_hub.requests == []


@pytest.mark.parametrize("is_safe", [True, False], ids=["safetensors", "bin"])
@pytest.mark.parametrize("shard_size", ["5GB", "4KB"])
def test_every_layout_of_published_weights_loads(is_safe, shard_size, encoder, tmp_path):
    expected = own_backbone(str(encoder("xlm-roberta")))
    folder = shutil.copytree(expected.model_path, tmp_path / "layout", ignore=shutil.ignore_patterns("*.safetensors"))
    AutoModel.from_pretrained(expected.model_path).save_pretrained(
        folder, safe_serialization=is_safe, max_shard_size=shard_size
    )
    backbone = own_backbone(str(folder))
    assert (len(weight_files(folder)) > 2) == (shard_size == "4KB")
    (tokenizer, body), (_, same) = load(backbone, tmp_path), load(expected, tmp_path)
    encoded = tokenizer("It rained on roofs.", return_tensors="pt")
    assert torch.equal(body(**encoded)[0], same(**encoded)[0])
