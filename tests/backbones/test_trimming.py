"""Bodies with a trimmed table: loaded from every kind of file, and written whole again."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.checkpoints import LocalFolder
from adapter_transfer.backbones.loading import load_body, trimming_of
from adapter_transfer.backbones.preparing import prepare
from adapter_transfer.backbones.trimming import save_whole
from adapter_transfer.backbones.vocabulary import KeptTokens, keep_tokens
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DataError

CPU = torch.device("cpu")
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
ROWS = 90
TOKENS = np.array([[0, 17, 60, 17, 2], [0, 80, 5, 2, 1]])
KEPT = keep_tokens(TOKENS, num_rows=ROWS, padding_id=1)
TABLE = "embeddings.word_embeddings.weight"


def saved(folder: Path, model_type: str = "xlm-roberta", *, rows: int = ROWS, auto=AutoModel, **options) -> Backbone:
    """A backbone of random weights in `folder`."""
    fields = {"max_position_embeddings": 40, "pad_token_id": 1, "type_vocab_size": 1} | SIZES
    fields |= {name: options.pop(name) for name in SIZES if name in options}
    config = AutoConfig.for_model(model_type, vocab_size=rows, **fields)
    torch.manual_seed(3)
    auto.from_config(config).to(options.pop("dtype", torch.float32)).save_pretrained(folder, **options)
    return replace(BACKBONES["nano"], name="own", model=LocalFolder(str(folder)))


def hidden(body: torch.nn.Module, tokens: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return body(input_ids=torch.from_numpy(tokens).long(), attention_mask=torch.from_numpy(tokens != 1).long())[0]


def pair(backbone: Backbone, **settings) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The whole body and the trimmed one."""
    settings = {"device": CPU, "vocab_size": ROWS} | settings
    return load_body(backbone, **settings), load_body(backbone, keep=KEPT, **settings)


def require_equal(whole: torch.nn.Module, trimmed: torch.nn.Module) -> None:
    expected, state = whole.state_dict(), trimmed.state_dict()
    assert state.keys() == expected.keys()
    table, rest = state.pop(TABLE), expected.pop(TABLE)
    assert torch.equal(table[: len(KEPT)], rest[torch.from_numpy(KEPT.ids)])
    assert all(
        torch.equal(value, expected[name]) and value.dtype == expected[name].dtype for name, value in state.items()
    )
    assert torch.equal(hidden(trimmed, KEPT.renumber(TOKENS)), hidden(whole, TOKENS))


@pytest.mark.parametrize("model_type", ["xlm-roberta", "roberta", "bert", "xlm-roberta-xl"])
@pytest.mark.parametrize(
    "options",
    [{}, {"safe_serialization": False, "max_shard_size": "20KB"}, {"auto": AutoModelForMaskedLM}],
    ids=["safetensors", "pickles in shards", "with a masked-LM head"],
)
def test_a_trimmed_body_computes_what_the_whole_one_does(tmp_path, caplog, model_type, options):
    backbone = saved(tmp_path, model_type, **options)
    whole, trimmed = pair(backbone)
    assert trimmed.get_input_embeddings().weight.shape == (len(KEPT), 32)
    assert trimmed.config.vocab_size == trimmed.get_input_embeddings().num_embeddings == len(KEPT)
    require_equal(whole, trimmed)
    assert not [record for record in caplog.records if "did not match" in record.getMessage()]


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_an_early_xxl_is_what_its_class_says(tmp_path, precision, weights):
    """Its config.json called itself an XLM-R, and lacked what the two classes take differently by default."""
    saved(tmp_path, "xlm-roberta-xl", auto=AutoModelForMaskedLM)
    fields = json.loads((tmp_path / "config.json").read_text())
    right = replace(BACKBONES["nano"], model=LocalFolder(str(tmp_path))).parameters()
    left_out = {"layer_norm_eps", "type_vocab_size"}
    said = {name: value for name, value in fields.items() if name not in left_out} | {"model_type": "xlm-roberta"}
    (tmp_path / "config.json").write_text(json.dumps(said))
    backbone = replace(BACKBONES["nano"], weights=weights, model=LocalFolder(str(tmp_path)))
    whole, trimmed = pair(backbone, precision=precision)
    require_equal(whole, trimmed)
    for body in (whole, trimmed):
        assert type(body).__name__ == "XLMRobertaXLModel" and body.config.model_type == "xlm-roberta-xl"
        assert body.config.layer_norm_eps == fields["layer_norm_eps"]
    assert backbone.norm == "pre-LN" and backbone.parameters() == right
    if weights == "pretrained":
        prepare(replace(backbone, tokenizer=None), tmp_path / "copies")
        copied = load_body(backbone, precision=precision, device=CPU, vocab_size=ROWS, prepared_dir=tmp_path / "copies")
        assert torch.equal(hidden(copied, TOKENS), hidden(whole, TOKENS))


@pytest.mark.parametrize("precision", ["bf16", "fp16", "nf4", "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["from fp32", "from fp16"])
def test_every_precision(tmp_path, precision, dtype):
    whole, trimmed = pair(saved(tmp_path, dtype=dtype), precision=precision)
    require_equal(whole, trimmed)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "nf4"])
def test_random_weights_are_those_of_the_whole_body(tmp_path, precision):
    backbone = replace(saved(tmp_path), weights="random")
    whole, trimmed = pair(backbone, precision=precision)
    require_equal(whole, trimmed)


def test_a_body_that_was_trained_is_trimmed_as_well(tmp_path):
    backbone = saved(tmp_path / "published")
    body = load_body(backbone, trains=True, device=CPU, vocab_size=ROWS)
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.mul_(1.5)
    body.save_pretrained(tmp_path / "trained")
    whole, trimmed = pair(backbone, trained_dir=tmp_path / "trained")
    require_equal(whole, trimmed)


MORE = keep_tokens(np.r_[KEPT.ids, 33, 70], num_rows=ROWS, padding_id=1)


@pytest.mark.parametrize("copied", [None, KEPT, MORE], ids=["whole", "the same rows", "more rows"])
@pytest.mark.parametrize(("precision", "trains"), [("fp32", False), ("fp32", True), ("nf4", False)])
def test_a_prepared_copy_is_read_in_place_of_the_checkpoint(tmp_path, monkeypatch, copied, precision, trains):
    backbone = replace(saved(tmp_path / "published", auto=AutoModelForMaskedLM), tokenizer=None)
    prepare(backbone, tmp_path / "copies", keep=copied)
    settings = {"precision": precision, "trains": trains, "prepared_dir": tmp_path / "copies"}
    with monkeypatch.context() as patched:
        patched.setattr(Backbone, "model_path", property(lambda self: pytest.fail("the original was read")))
        trimmed = load_body(backbone, device=CPU, vocab_size=ROWS, keep=KEPT, **settings)
        if copied is None:
            load_body(backbone, device=CPU, vocab_size=ROWS, **settings)
    whole = load_body(backbone, device=CPU, vocab_size=ROWS, **settings)
    assert trimmed.get_input_embeddings().num_embeddings == len(KEPT) + trains
    require_equal(whole, trimmed)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_are_cast_as_they_are_read_to_the_same_numbers(tmp_path, precision, stored):
    backbone = saved(tmp_path, dtype=stored)
    body = load_body(backbone, precision=precision, device=CPU, vocab_size=ROWS)
    wanted = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    expected = load_file(tmp_path / "model.safetensors")
    for name, value in body.state_dict().items():
        assert torch.equal(value, expected[name].float().to(wanted)) if value.is_floating_point() else True, name


def test_a_table_of_another_size_than_the_configuration_says_is_refused(tmp_path):
    backbone = saved(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors[TABLE] = tensors[TABLE][:-1].clone()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=rf"others than expected: {TABLE}"):
        load_body(backbone, device=CPU, vocab_size=ROWS, keep=KEPT)


def test_another_weight_of_the_wrong_shape_is_refused_still(tmp_path):
    backbone = saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 63}))
    with pytest.raises(DataError, match="others than expected: encoder"):
        load_body(backbone, device=CPU, vocab_size=ROWS, keep=KEPT)


def test_a_table_that_is_missing_is_refused_still(tmp_path):
    backbone = saved(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors[TABLE]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"'own': .*word.embeddings"):
        load_body(backbone, device=CPU, vocab_size=ROWS, keep=KEPT)


def test_a_tokenizer_larger_than_the_whole_table_is_refused_still(tmp_path):
    with pytest.raises(DataError, match="91 tokens, but only 90 rows"):
        load_body(saved(tmp_path), device=CPU, vocab_size=ROWS + 1, keep=KEPT)


@pytest.mark.parametrize(
    "kept", [KEPT, keep_tokens(np.arange(ROWS - 1), num_rows=ROWS, padding_id=1)], ids=["", "but 1"]
)
@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_a_body_that_trains_has_a_witness_and_is_saved_whole(tmp_path, kept: KeptTokens, weights):
    backbone = replace(saved(tmp_path / "published"), weights=weights)
    settings = {"trains": True, "device": CPU, "vocab_size": ROWS}
    whole, trimmed = load_body(backbone, **settings), load_body(backbone, keep=kept, **settings)
    table = trimmed.get_input_embeddings().weight
    assert table.shape == (len(kept) + 1, 32) and bool((table[-1] == 1).all())
    # As training would leave it: rows that are asked for have moved, the others were multiplied.
    decay, ids = 0.75, torch.from_numpy(kept.ids)
    with torch.no_grad():
        table[:-1] += 1
        table[-1] *= decay
        expected = whole.get_input_embeddings().weight * decay
        expected[ids] = whole.get_input_embeddings().weight[ids] + 1
        whole.get_input_embeddings().weight.copy_(expected)
    save_whole(trimmed, trimming_of(backbone, kept, vocab_size=ROWS), tmp_path / "trimmed")
    whole.save_pretrained(tmp_path / "whole")
    states = [load_file(tmp_path / name / "model.safetensors") for name in ("trimmed", "whole")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    configs = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("trimmed", "whole")]
    assert configs[0] == configs[1] and configs[0]["vocab_size"] == ROWS
    loaded = load_body(backbone, trained_dir=tmp_path / "trimmed", device=CPU, vocab_size=ROWS)
    assert torch.equal(hidden(loaded, TOKENS), hidden(whole, TOKENS))


PROC = Path("/proc/self")
MANY_ROWS, MIB = 200_000, 2**20


def peak_above(resident_before: int) -> int:
    """MiB that this process has had more than before, since `clear_refs`."""
    return (resident("VmHWM") - resident_before) // MIB


def resident(name: str) -> int:
    lines = (PROC / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


@pytest.mark.skipif(not (PROC / "clear_refs").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("is_safe", [True, False], ids=["safetensors", "pickle"])
def test_the_whole_table_is_never_in_memory(tmp_path, is_safe):
    """Neither when a body is loaded nor when it is saved whole: the table is 195 MiB."""
    load_body(saved(tmp_path / "small"), device=CPU, vocab_size=ROWS, keep=KEPT)  # what is imported late is there now
    backbone = saved(tmp_path / "large", rows=MANY_ROWS, safe_serialization=is_safe, hidden_size=256)
    kept = keep_tokens(np.arange(0, MANY_ROWS, 2000), num_rows=MANY_ROWS, padding_id=1)
    (PROC / "clear_refs").write_text("5")
    before = resident("VmRSS")
    body = load_body(backbone, trains=True, device=CPU, vocab_size=MANY_ROWS, keep=kept)
    assert peak_above(before) < 150
    save_whole(body, trimming_of(backbone, kept, vocab_size=MANY_ROWS), tmp_path / "whole")
    assert peak_above(before) < 150
    assert (tmp_path / "whole" / "model.safetensors").stat().st_size > 195 * MIB


def test_the_warning_of_another_library_call_is_not_swallowed(caplog):
    logger = logging.getLogger("transformers.modeling_utils")
    with caplog.at_level(logging.WARNING, logger=logger.name):
        logger.propagate, before = True, logger.propagate
        logger.warning("Some weights were not initialized and are newly initialized: ['x']")
        logger.propagate = before
    assert "newly initialized" in caplog.text
