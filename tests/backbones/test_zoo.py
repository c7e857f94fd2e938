"""Every declared backbone loads, is as large as it says, and has a digest of what it is made of."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from transformers import AutoModel

from adapter_transfer.backbones import zoo
from adapter_transfer.backbones.loading import TokenizerText, load_body, load_tokenizer
from adapter_transfer.backbones.sizes import count_parameters
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DataError

CPU = torch.device("cpu")
TEXT = TokenizerText(
    "0" * 64, lambda: [f"A line of text, number {number}, about rain and roofs." for number in range(50)]
)


def load(backbone, tmp_path, **changes):
    tokenizer = load_tokenizer(backbone, text=TEXT, cache_dir=tmp_path / "cache")
    settings = {"dtype": torch.float32, "device": CPU, "vocab_size": len(tokenizer)} | changes
    return tokenizer, load_body(backbone, **settings)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_every_backbone_loads_and_is_as_large_as_it_says(name, tmp_path):
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
    from transformers import AutoConfig

    for kind, hidden, inner, layers in shapes:
        config = AutoConfig.for_model(
            kind, vocab_size=250_002, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
            num_attention_heads=hidden // 64, max_position_embeddings=514, type_vocab_size=1,
        )  # fmt: skip
        with torch.device("meta"):
            model = AutoModel.from_config(config, add_pooling_layer=False)
        assert count_parameters(config.to_dict()).total == sum(p.numel() for p in model.parameters())


def test_random_weights_are_the_same_every_time_and_not_the_pretrained_ones(tmp_path):
    one, two = (load(BACKBONES["micro-random"], tmp_path)[1] for _ in range(2))
    pretrained = load(BACKBONES["micro"], tmp_path)[1]
    for (name, a), b, c in zip(one.named_parameters(), two.parameters(), pretrained.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert a.shape == c.shape
    assert not torch.equal(one.embeddings.word_embeddings.weight, pretrained.embeddings.word_embeddings.weight)


def test_a_trained_tokenizer_is_kept(tmp_path):
    read = []
    text = TokenizerText(TEXT.digest, lambda: read.append(1) or TEXT.read())
    first = load_tokenizer(BACKBONES["real-text-random"], text=text, cache_dir=tmp_path)
    second = load_tokenizer(BACKBONES["real-text-random"], text=text, cache_dir=tmp_path)
    assert read == [1]
    assert first.get_vocab() == second.get_vocab()
    with pytest.raises(DataError, match="none was given"):
        load_tokenizer(BACKBONES["real-text-random"])


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of nano that may be damaged, and what its digest was before."""
    before = BACKBONES["nano"].digest()
    for part in ("model", "tokenizer"):
        shutil.copytree(getattr(BACKBONES["nano"], f"{part}_path"), tmp_path / part)
    monkeypatch.setattr(zoo, "_package_path", lambda relative: tmp_path / relative)
    return replace(BACKBONES["nano"], model="model", tokenizer="tokenizer"), tmp_path, before


def test_the_digest_is_of_the_content(copied):
    backbone, folder, before = copied
    assert backbone.digest() == before == replace(backbone, name="other").digest()
    assert replace(backbone, weights="random").digest() != backbone.digest()
    config = folder / "model" / "config.json"
    config.write_text(config.read_text() + " ")
    assert backbone.digest() != before


def test_a_checkpoint_without_some_weights_is_refused(copied):
    from safetensors.torch import load_file, save_file

    backbone, folder, _ = copied
    path = folder / "model" / "model.safetensors"
    tensors = load_file(path)
    removed = tensors.pop(sorted(tensors)[-1])
    assert removed.numel()
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match="lacks weights"):
        load_body(backbone, dtype=torch.float32, device=CPU, vocab_size=10)


def test_a_truncated_checkpoint_is_refused(copied):
    backbone, folder, _ = copied
    path = folder / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="cannot be loaded"):
        load_body(backbone, dtype=torch.float32, device=CPU, vocab_size=10)


def test_missing_files_are_named(copied):
    backbone, folder, _ = copied
    (folder / "model" / "config.json").unlink()
    with pytest.raises(DataError, match=r"config\.json"):
        backbone.parameters()
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(DataError, match="tokenizer"):
        load_tokenizer(backbone)


def test_a_table_that_is_too_small_is_refused(copied):
    backbone, folder, _ = copied
    rows = json.loads((folder / "model" / "config.json").read_text())["vocab_size"]
    with pytest.raises(DataError, match=f"only {rows} rows"):
        load_body(backbone, dtype=torch.float32, device=CPU, vocab_size=rows + 1)
