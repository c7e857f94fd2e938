"""Training with a trimmed embedding table is the untrimmed training, number for number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel

from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.checkpoints import LocalFolder
from adapter_transfer.backbones.loading import load_body, trimming_of
from adapter_transfer.backbones.vocabulary import KeptTokens, keep_tokens
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.methods.attach import (
    AdapterPart,
    Assembly,
    assemble,
    save_artifact,
    trained_parameters,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.formats import EncodedExamples
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.history import read_history
from adapter_transfer.training.loop import FitInputs, FitTask, fit
from adapter_transfer.training.runtime import Runtime, make_accelerator
from adapter_transfer.training.settings import TrainingSettings

CPU = torch.device("cpu")
TASK = TASKS["micro-copa"]
ROWS, USED = 400, 60
SHAPE = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
TABLE = "embeddings.word_embeddings.weight"
# Gradients of these models have a norm of about 1 at first: all are clipped, by a norm over every row of the table.
SETTINGS = {"learning_rate": 3e-3, "batch_size": 4, "epochs": 8, "max_grad_norm": 0.1, "weight_decay": 0.1}


def examples(count: int, tokens: np.ndarray, seed: int) -> EncodedExamples:
    """Two rows each of 5 to 12 tokens, between <s> and </s>."""
    random = np.random.default_rng(seed)
    rows = [np.r_[0, random.choice(tokens, random.integers(5, 13)), 2] for _ in range(2 * count)]
    return EncodedExamples(
        tokens=np.concatenate(rows).astype(np.int32),
        offsets=np.cumsum([0, *map(len, rows)]),
        first_rows=np.arange(0, 2 * count + 1, 2),
        labels=random.integers(0, 2, count),
        ids=tuple(map(str, range(count))),
        languages=("en",) * count,
        format=TASK.format,
    )


@dataclass
class Data:
    """Two sets that have some of the tokens, and one that has others, in the numbers of a table."""

    train: EncodedExamples
    validation: EncodedExamples
    elsewhere: EncodedExamples


TOKENS = np.sort(np.random.default_rng(0).choice(np.arange(4, ROWS), USED, replace=False))
WHOLE = Data(examples(20, TOKENS, 1), examples(8, TOKENS, 2), examples(30, np.arange(4, ROWS), 3))
KEPT = keep_tokens(np.r_[WHOLE.train.tokens, WHOLE.validation.tokens], num_rows=ROWS, padding_id=1)


def renumbered(encoded: EncodedExamples, kept: KeptTokens | None) -> EncodedExamples:
    return encoded if kept is None else replace(encoded, tokens=kept.renumber(encoded.tokens))


def backbone_of(architecture: str, folder: Path) -> Backbone:
    config = AutoConfig.for_model(
        architecture, vocab_size=ROWS, max_position_embeddings=40, pad_token_id=1, type_vocab_size=1, **SHAPE
    )
    torch.manual_seed(3)
    AutoModel.from_config(config).save_pretrained(folder)
    return replace(BACKBONES["nano"], name="own", model=LocalFolder(str(folder)))


@dataclass
class Trained:
    """A model after training."""

    model: Any
    assembly: Assembly
    runtime: Runtime
    losses: list[float]
    norms: list[float]


def trained(
    backbone: Backbone,
    folder: Path,
    kept: KeptTokens | None,
    *,
    method: str = "full",
    precision: str = "fp32",
    **changes: Any,
) -> Trained:
    is_full, settings = METHODS[method].kind == "full", TrainingSettings(**SETTINGS | changes)
    body = load_body(
        backbone,
        precision=precision,
        trains=is_full,
        device=CPU,
        vocab_size=ROWS,
        dtype=torch.bfloat16 if settings.master_weights == "bf16" else None,
        dropout=0.1,
        keep=kept,
    )
    model = with_flexible_heads(body)
    assembly = Assembly(
        method=METHODS[method],
        settings=METHODS[method].parse_settings({}).model_dump(),
        head="micro-copa",
        format=TASK.format,
        init_seed=7,
        adapters=() if is_full else (AdapterPart("next-event", trains=False), AdapterPart("micro-copa", trains=True)),
        composition="sum" if method == "lora" else "stack",
        trains_body=is_full,
    )
    assemble(model, assembly)
    runtime = Runtime(make_accelerator("cpu", precision), precision=precision, token_budget=64, pad_id=1)
    folder.mkdir(parents=True)
    fit(
        FitInputs(
            model=model,
            tasks=(FitTask("micro-copa", renumbered(WHOLE.train, kept), renumbered(WHOLE.validation, kept)),),
            settings=settings,
            seed=1,
            purpose="target/micro-copa",
            runtime=runtime,
            progress_dir=folder / "progress",
            history_path=folder / "history.jsonl",
            parameters=trained_parameters(model),
            # The witness stands behind all rows there are.
            table_ids=np.append(kept.ids, ROWS) if is_full and kept is not None else None,
        )
    )
    records = [record for record in read_history(folder / "history.jsonl") if "loss" in record]
    assert records[-1]["step"] >= 30
    return Trained(model, assembly, runtime, [r["loss"] for r in records], [r["grad_norm"] for r in records])


def require_the_same(whole: Trained, trimmed: Trained) -> None:
    """Losses, norms and every weight that both have, to the bit."""
    assert whole.losses == trimmed.losses and whole.norms == trimmed.norms
    assert min(whole.norms) > SETTINGS["max_grad_norm"], "the norm has to matter"
    expected, state = dict(whole.model.state_dict()), dict(trimmed.model.state_dict())
    assert expected.keys() == state.keys()
    for name in expected:
        if name.endswith((TABLE, "base_model_embeddings.weight")):  # two names of one table
            expected[name], state[name] = expected[name][torch.from_numpy(KEPT.ids)], state[name][: len(KEPT)]
        assert torch.equal(expected[name], state[name]), name
    scores = [
        predict(side.model, "micro-copa", renumbered(WHOLE.validation, kept), side.runtime)
        for side, kept in ((whole, None), (trimmed, KEPT))
    ]
    assert np.array_equal(*scores)


@pytest.mark.parametrize(
    ("architecture", "method", "precision", "changes"),
    [
        ("xlm-roberta", "full", "fp32", {}),
        ("xlm-roberta", "full", "fp32", {"optimizer": "adamw-8bit"}),
        ("xlm-roberta", "full", "bf16", {"master_weights": "bf16"}),
        ("xlm-roberta-xl", "full", "fp32", {}),
        ("bert", "full", "bf16", {}),
        ("xlm-roberta", "seq_bn", "fp32", {}),
        ("xlm-roberta-xl", "seq_bn", "nf4", {}),
        ("xlm-roberta", "lora", "int8", {}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else value,
)
def test_losses_norms_weights_and_logits_are_those_of_untrimmed_training(
    tmp_path, architecture, method, precision, changes
):
    backbone = backbone_of(architecture, tmp_path / "backbone")
    whole, trimmed = (
        trained(backbone, tmp_path / name, kept, method=method, precision=precision, **changes)
        for name, kept in (("whole", None), ("trimmed", KEPT))
    )
    require_the_same(whole, trimmed)


@pytest.mark.parametrize(("architecture", "weight_decay"), [("xlm-roberta", 0.0), ("xlm-roberta-xl", 0.1)])
def test_what_is_saved_is_an_ordinary_checkpoint_of_untrimmed_training(tmp_path, architecture, weight_decay):
    backbone = backbone_of(architecture, tmp_path / "backbone")
    whole, trimmed = (
        trained(backbone, tmp_path / name, kept, weight_decay=weight_decay, select="last")
        for name, kept in (("whole", None), ("trimmed", KEPT))
    )
    trimming = trimming_of(backbone, KEPT, vocab_size=ROWS)
    save_artifact(whole.model, whole.assembly, tmp_path / "a")
    save_artifact(trimmed.model, trimmed.assembly, tmp_path / "b", trimming)
    states = [load_file(tmp_path / name / "model" / "model.safetensors") for name in ("a", "b")]
    folders = [tmp_path / name / "model" for name in ("a", "b")]
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert all(found.pop("model.safetensors") for found in files)
    # The interface too, without which the library could not load an XLM-R XL by itself.
    assert files[0] == files[1] and ("adapter_interface.json" in files[1]) == (architecture == "xlm-roberta-xl")
    published = load_file(Path(backbone.model.path) / "model.safetensors")[TABLE]
    assert states[0].keys() == states[1].keys()
    tables = [state.pop(TABLE) for state in states]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    missing = np.setdiff1d(np.arange(ROWS), KEPT.ids)
    assert torch.equal(tables[0][KEPT.ids], tables[1][KEPT.ids])
    if weight_decay == 0:
        assert torch.equal(tables[1][missing], published[missing]) and torch.equal(*tables)
    else:
        # 40 products in a row against one: 1e-6 of a weight; without any decay it would be 6e-3.
        torch.testing.assert_close(tables[1][missing], tables[0][missing], rtol=4e-6, atol=0)
        assert (tables[1][missing] / published[missing] < 0.995).all()
    # In a language whose tokens were not there at all:
    logits = []
    for name in ("a", "b"):
        body = load_body(backbone, device=CPU, vocab_size=ROWS, trained_dir=tmp_path / name / "model")
        model = with_flexible_heads(body)
        model.load_head(str(tmp_path / name / "head"), use_safetensors=True)
        logits.append(predict(model, "micro-copa", WHOLE.elsewhere, whole.runtime))
    assert np.abs(logits[0]).max() > 0.1
    np.testing.assert_allclose(*logits, rtol=0, atol=0 if weight_decay == 0 else 1e-5)
