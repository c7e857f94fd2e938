"""Building: the same checkpoint twice, a record of every candidate, the best one kept; shipped files as recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, XLMRobertaTokenizerFast

from adapter_transfer.errors import UnknownNameError
from adapter_transfer.sandbox import read_build, sandbox_dir, verify_sandbox
from adapter_transfer.sandbox.build import CRITERION, build_sandbox, shipped_digests
from adapter_transfer.sandbox.pretraining import SCALES, pretrain, save_body
from adapter_transfer.sandbox.pretraining_text import pretraining_lines, train_sandbox_tokenizer, word_ids

SCALE_NAMES = ("nano", "micro", "mini")
MAX_SHIPPED_BYTES = 6_000_000


@pytest.fixture(scope="module")
def tokenizer() -> XLMRobertaTokenizerFast:
    return train_sandbox_tokenizer()


def test_shipped_files_are_the_recorded_ones_and_small() -> None:
    assert verify_sandbox() == []
    recorded = read_build()["files"]
    assert shipped_digests(sandbox_dir()) == recorded
    assert sum((sandbox_dir() / name).stat().st_size for name in recorded) < MAX_SHIPPED_BYTES


def test_record_names_every_candidate_and_the_best_one_was_chosen() -> None:
    build = read_build()
    assert tuple(build["chosen"]) == SCALE_NAMES
    for scale in SCALE_NAMES:
        candidates = [entry for entry in build["candidates"] if entry["scale"] == scale]
        best = max(candidates, key=lambda entry: entry["validation"][build["criterion"]])
        assert best["chosen"] and best["seed"] == build["chosen"][scale]
        assert all(entry["num_steps"] > 0 and entry["mlm_loss"] > 0 for entry in candidates)


@pytest.mark.parametrize("scale", SCALE_NAMES)
def test_shipped_checkpoint_loads_without_missing_or_extra_weights(scale: str) -> None:
    folder = sandbox_dir() / "checkpoints" / scale
    model, loading = AutoModel.from_pretrained(
        folder, add_pooling_layer=False, dtype=torch.float32, output_loading_info=True
    )
    assert not any(loading[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (
        SCALES[scale].num_layers,
        SCALES[scale].hidden_size,
    )
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_shipped_tokenizer_is_the_trained_one_and_needs_no_unknown_token(tokenizer: XLMRobertaTokenizerFast) -> None:
    shipped = AutoTokenizer.from_pretrained(sandbox_dir() / "checkpoints" / "tokenizer")
    assert shipped.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    for path in sorted((sandbox_dir() / "data").rglob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        texts = [value for row in rows for field, value in row.items() if isinstance(value, str) and field != "tags"]
        assert all(shipped.unk_token_id not in ids for ids in shipped(texts)["input_ids"])


def test_every_name_and_stem_is_one_piece(tokenizer: XLMRobertaTokenizerFast) -> None:
    assert len(tokenizer.tokenize("Anna kicked the dog")) == 4
    assert tokenizer.unk_token_id not in word_ids(tokenizer)


def test_five_steps_give_the_same_bytes_twice(tokenizer: XLMRobertaTokenizerFast, tmp_path: Path) -> None:
    lines = list(pretraining_lines(200))
    for name in ("one", "two"):
        save_body(pretrain(SCALES["nano"], tokenizer, seed=7, num_steps=5, lines=lines).model, tmp_path / name)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    other = pretrain(SCALES["nano"], tokenizer, seed=8, num_steps=1, lines=lines)
    assert torch.equal(torch.random.get_rng_state(), before)  # our streams are our own
    assert other.num_steps == 1


def test_build_keeps_the_best_candidate_and_records_all(tmp_path: Path) -> None:
    scores = iter([0.5, 0.7, 0.6])
    steps: list[str] = []
    build = build_sandbox(
        tmp_path,
        scales=["nano"],
        seeds=[3, 4, 5],
        num_steps=1,
        score=lambda *_: {CRITERION: next(scores)},
        progress=lambda what, done, loss: steps.append(what),
    )
    assert build["chosen"] == {"nano": 4}
    assert [entry["seed"] for entry in build["candidates"]] == [3, 4, 5]
    assert steps == ["nano, seed 3", "nano, seed 4", "nano, seed 5"]
    assert verify_sandbox(tmp_path) == [] and read_build(tmp_path) == build
    assert not any(path.name.startswith(".") for path in (tmp_path / "checkpoints").iterdir())
    (tmp_path / "checkpoints" / "nano" / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "data" / "micro-copa" / "en" / "train.jsonl").unlink()
    assert verify_sandbox(tmp_path) == ["checkpoints/nano/config.json", "data/micro-copa/en/train.jsonl"]


def test_unknown_scale_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'micro'"):
        build_sandbox(tmp_path, scales=["micr"])
