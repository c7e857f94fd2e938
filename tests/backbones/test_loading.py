"""Bodies from files: both kinds of weights, in whole or in shards, and code that a pickle would run."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.checkpoints import LocalFolder
from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.precision import compute_dtype, weights_dtype
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DataError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
IDS = torch.arange(20).view(2, 10) + 5


def saved(folder: Path, model_type: str = "xlm-roberta", *, as_pickle: bool, shard: str = "5GB") -> torch.nn.Module:
    """Saves a small model of random weights; returns it."""
    config = AutoConfig.for_model(
        model_type, **SIZES, vocab_size=60, max_position_embeddings=40, pad_token_id=1, type_vocab_size=2
    )
    torch.manual_seed(3)
    model = AutoModel.from_config(config).eval()
    model.save_pretrained(folder, safe_serialization=not as_pickle, max_shard_size=shard)
    return model


def backbone_in(folder: Path) -> Backbone:
    return replace(BACKBONES["nano"], name="own", model=LocalFolder(str(folder)))


@pytest.mark.parametrize("model_type", ["xlm-roberta", "roberta", "bert"])
@pytest.mark.parametrize("shard", ["5GB", "20KB"], ids=["whole", "in shards"])
@pytest.mark.parametrize("as_pickle", [False, True], ids=["safetensors", "bin"])
def test_published_files_load(tmp_path, model_type, as_pickle, shard):
    model = saved(tmp_path, model_type, as_pickle=as_pickle, shard=shard)
    suffix = ".bin" if as_pickle else ".safetensors"
    assert (len(list(tmp_path.glob(f"*{suffix}"))) > 1) == (shard == "20KB")
    body = load_body(backbone_in(tmp_path), device=CPU, vocab_size=60)
    expected = dict(model.named_parameters())
    parameters = dict(body.named_parameters())
    assert expected.keys() - parameters.keys() == {"pooler.dense.weight", "pooler.dense.bias"}
    assert all(torch.equal(parameter, expected[name]) for name, parameter in parameters.items())
    with torch.no_grad():
        assert torch.equal(body(input_ids=IDS)[0], model(input_ids=IDS)[0])


@pytest.mark.parametrize("precision", ["nf4", "int8"])
def test_pickled_weights_are_quantized_as_well(tmp_path, precision):
    saved(tmp_path / "a", as_pickle=True)
    saved(tmp_path / "b", as_pickle=False)
    bodies = [
        load_body(backbone_in(tmp_path / name), precision=precision, device=CPU, vocab_size=60) for name in ("a", "b")
    ]
    states = [body.state_dict() for body in bodies]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_pickle_brings_no_code(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    saved(tmp_path, as_pickle=True)
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"embeddings.word_embeddings.weight": Harm()}))
    with pytest.raises(DataError, match=r"'own'.*cannot be loaded"):
        load_body(backbone_in(tmp_path), device=CPU, vocab_size=60)
    assert not (tmp_path / "harm").exists()


def test_quantized_weights_do_not_pass_for_others(tmp_path):
    saved(tmp_path / "plain", as_pickle=False)
    body = load_body(backbone_in(tmp_path / "plain"), precision="int8", device=CPU, vocab_size=60)
    body.save_pretrained(tmp_path / "int8")
    with pytest.raises(DataError, match=r"int8 has quantized weights, and precision fp32 was asked for"):
        load_body(BACKBONES["nano"], device=CPU, vocab_size=60, trained_dir=tmp_path / "int8")


@pytest.mark.parametrize("weights", ["pretrained", "random"])
@pytest.mark.parametrize("said", ["eager", "kernels-community/flash-attn"])
def test_a_checkpoint_does_not_choose_how_attention_is_computed(tmp_path, weights, said):
    saved(tmp_path, as_pickle=False)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"_attn_implementation": said}))
    body = load_body(replace(backbone_in(tmp_path), weights=weights), device=CPU, vocab_size=60)
    assert body.config._attn_implementation == "sdpa"
    assert type(body.encoder.layer[0].attention.self).__name__ == "XLMRobertaSdpaSelfAttention"


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8", "nf4"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["encoder.layer.1.attention.self.key.weight", "embeddings.LayerNorm.bias"])
def test_weights_that_are_not_finite_are_refused(tmp_path, precision, value, place):
    saved(tmp_path, as_pickle=False)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors[place].view(-1)[7] = value
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=f"'own': .* weights that are not finite: .*{place.removesuffix('.weight')}"):
        load_body(backbone_in(tmp_path), precision=precision, device=CPU, vocab_size=60)


def test_weights_beyond_what_a_precision_holds_are_refused(tmp_path):
    saved(tmp_path, as_pickle=False)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["embeddings.LayerNorm.bias"][3] = 70_000
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    load_body(backbone_in(tmp_path), precision="bf16", device=CPU, vocab_size=60)
    with pytest.raises(DataError, match=r"in fp16 .*not finite: embeddings\.LayerNorm\.bias"):
        load_body(backbone_in(tmp_path), precision="fp16", device=CPU, vocab_size=60)


def test_dropout_and_the_padding_id_are_set_where_they_are_said(tmp_path):
    saved(tmp_path, "bert", as_pickle=False)
    own = replace(backbone_in(tmp_path), pad_token_id=4)
    body = load_body(own, device=CPU, vocab_size=60, dropout=0.3)
    assert body.embeddings.word_embeddings.padding_idx == 4
    assert {module.p for module in body.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}


@pytest.mark.parametrize("weights", ["pretrained", "random"])
@pytest.mark.parametrize(("given", "expected"), [(0.3, 0.3), (0.0, 0.0), (None, 0.5)])
def test_dropout_is_that_of_heads_too(tmp_path, weights, given, expected):
    saved(tmp_path, as_pickle=False)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"classifier_dropout": 0.5}))
    backbone = replace(backbone_in(tmp_path), weights=weights)
    body = load_body(backbone, device=CPU, vocab_size=60, dropout=given)
    assert body.config.classifier_dropout == expected


@pytest.mark.parametrize("has_bf16", [True, False])
def test_precisions_mean_dtypes(monkeypatch, has_bf16):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bf16)
    assert compute_dtype("fp32", CUDA) == torch.float32
    assert compute_dtype("bf16", CPU) == torch.bfloat16
    assert compute_dtype("fp16", CUDA) == torch.float16
    for precision in ("nf4", "int8"):
        assert compute_dtype(precision, CPU) == torch.float32
        assert compute_dtype(precision, CUDA) == (torch.bfloat16 if has_bf16 else torch.float16)
    assert weights_dtype("fp16", CPU, trains=False) == torch.float16
    assert weights_dtype("fp16", CPU, trains=True) == torch.float32


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_frozen_weights_are_kept_as_they_compute_and_trained_ones_in_fp32(precision):
    kept = {
        trains: load_body(BACKBONES["nano"], precision=precision, trains=trains, device=CPU, vocab_size=10)
        for trains in (False, True)
    }
    assert {p.dtype for p in kept[True].parameters()} == {torch.float32}
    assert {p.dtype for p in kept[False].parameters()} == {compute_dtype(precision, CPU)}
