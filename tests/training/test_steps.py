"""Accumulation, micro-batches and frozen weights, on a real XLM-R."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaLayer

from adapter_transfer.methods.attach import adapter_weights, undecayed_parameters
from adapter_transfer.training.batching import collate, micro_batches, pad_rows
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.loop import fit
from adapter_transfer.training.optimizers import make_optimizer
from adapter_transfer.training.position import resume
from adapter_transfer.training.settings import TrainingSettings
from adapter_transfer.training.steps import accumulate_gradients, learning_rate_at

CELLS = [("full", "none"), ("seq_bn", "none"), ("seq_bn", "stack"), ("seq_bn", "stack-tuned")]

# Softmax does not feel a shift: a key's bias shifts all scores of a query, the last bias all choices of an example.
# Their gradient is 0 but for rounding, which AdamW scales up to steps of the learning rate.
WITHOUT_GRADIENT = ("attention.self.key.bias", "heads.micro-copa.4.bias")


def gradients(bench, data, cuts):
    batches = [collate(data, cut, 1, bench.runtime.device) for cut in cuts]
    loss = accumulate_gradients(bench.model, bench.assembly.head, batches, sum(map(len, cuts)), bench.runtime)
    return loss, {name: parameter.grad.clone() for name, parameter in bench.parameters.items()}


@pytest.mark.parametrize(("method", "composition"), CELLS)
def test_four_times_two_equals_eight(make_bench, encoded, method, composition):
    data = encoded("train", 8)
    whole, parts = make_bench(method, composition=composition), make_bench(method, composition=composition)
    loss, expected = gradients(whole, data, [np.arange(8)])
    split_loss, actual = gradients(parts, data, [np.arange(i, i + 2) for i in range(0, 8, 2)])
    torch.testing.assert_close(split_loss, loss, rtol=1e-6, atol=1e-7)
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-4, atol=1e-7, msg=name)
    assert max(float(g.abs().max()) for g in expected.values()) > 1e-3  # not equal because nothing flows


def test_the_loss_of_a_step_is_the_mean_over_its_examples(make_bench, encoded):
    data, bench = encoded("train", 5), make_bench("seq_bn")
    loss, _ = gradients(bench, data, [np.arange(3), np.arange(3, 5)])
    with torch.no_grad():
        singles = [gradients_free_loss(bench, data, index) for index in range(5)]
    assert float(loss) == pytest.approx(float(np.mean(singles)), rel=1e-5)


def gradients_free_loss(bench, data, index):
    batch = collate(data, np.array([index]), 1, bench.runtime.device)
    hidden = bench.model.base_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)[0]
    logits = torch.nn.Sequential.forward(bench.model.heads[bench.assembly.head], hidden[:, 0]).view(1, -1)
    return float(torch.nn.functional.cross_entropy(logits, batch.labels))


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_another_token_budget_changes_only_rounding(make_bench, encoded, tmp_path, method):
    train, validation = encoded("train", 24), encoded("validation", 8)
    ends = []
    for budget in (100_000, 200):
        bench = make_bench(method, token_budget=budget)
        position = fit(bench.fit_inputs(tmp_path / f"{budget}", train, validation, learning_rate=1e-4, select="last"))
        logits = predict(bench.model, bench.assembly.head, validation, bench.runtime)
        ends.append((position.train_loss_last, bench.state(), logits))
    assert len(micro_batches(train, np.arange(8), 200)) > 1
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-5)
    np.testing.assert_allclose(np.diff(ends[0][2]), np.diff(ends[1][2]), rtol=1e-3, atol=1e-5)
    for name, weight in ends[0][1].items():
        if not name.endswith(WITHOUT_GRADIENT):
            torch.testing.assert_close(ends[1][1][name], weight, rtol=1e-3, atol=2e-5, msg=name)


@pytest.mark.parametrize(("method", "composition"), CELLS)
def test_only_what_trains_moves_and_it_does_move(make_bench, encoded, tmp_path: Path, method, composition):
    bench = make_bench(method, composition=composition)
    before, moving = bench.state(), set(bench.parameters)
    fit(bench.fit_inputs(tmp_path, encoded("train", 16), encoded("validation", 8), weight_decay=0.1, select="last"))
    changed = {name for name, value in bench.state().items() if not torch.equal(value, before[name])}
    assert changed <= moving
    # Rows of tokens that do not occur get no gradient, yet decay moves them: every trained tensor has changed.
    assert changed == moving
    if method == "seq_bn":
        assert not any("embeddings" in name for name in moving)
        expected = {"micro-copa"} | ({"next-event"} if composition == "stack-tuned" else set())
        allowed = {n for part in expected for n in adapter_weights(bench.model, part)}
        assert moving == allowed | {name for name in before if name.startswith("heads.micro-copa.")}


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_schedule_rises_to_the_peak_and_ends_as_it_says(schedule):
    settings = TrainingSettings(learning_rate=1e-3, warmup_share=0.1, schedule=schedule)
    rates = [learning_rate_at(step, 100, settings) for step in range(101)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[9] == pytest.approx(1e-3) == max(rates)
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(rates[10:]))
    assert rates[100] == pytest.approx(1e-3 if schedule == "constant" else 0, abs=1e-12)
    halfway = {"linear": 0.5, "cosine": 0.5 * (1 + math.cos(math.pi / 2)), "constant": 1.0}
    assert rates[55] == pytest.approx(1e-3 * halfway[schedule])


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_padding_changes_nothing_but_rounding(make_bench, encoded, method):
    # Scored alone, padded among longer rows, and by the library's own forward with its own mask.
    data, bench = encoded("validation", 16), make_bench(method)
    bench.model.eval()
    together = predict(bench.model, bench.assembly.head, data, bench.runtime).reshape(-1)
    alone = predict(bench.model, bench.assembly.head, data, replace(bench.runtime, token_budget=1)).reshape(-1)
    np.testing.assert_allclose(together, alone, atol=2e-6)
    assert len(set(data.row_lengths.tolist())) > 1
    ids, mask = pad_rows(data, np.arange(32), 1, bench.runtime.device)
    with torch.no_grad():
        hidden = bench.model.base_model(input_ids=ids, attention_mask=mask)[0][:, 0]
        library = torch.nn.Sequential.forward(bench.model.heads["micro-copa"], hidden).flatten()
    np.testing.assert_allclose(together, library.numpy(), atol=2e-6)


def test_weights_whose_neutral_value_is_not_zero_are_not_decayed(make_bench, encoded, tmp_path):
    # IA3's vectors start at 1 and are matrices by shape; decayed, they would shut off what they scale.
    bench = make_bench("ia3")
    undecayed = undecayed_parameters(bench.model, bench.assembly)
    assert undecayed
    settings = TrainingSettings(learning_rate=1e-3, weight_decay=0.1)
    optimizer = make_optimizer(bench.parameters, settings, bench.runtime.device, undecayed)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in bench.parameters.items():
        is_decayed = parameter.ndim > 1 and name not in undecayed
        assert decays[id(parameter)] == (0.1 if is_decayed else 0.0), name
    assert {0.0, 0.1} == set(decays.values())
    # Kept so over a checkpoint: the optimizer is restored by name.
    inputs = replace(
        bench.fit_inputs(tmp_path, encoded("train", 16), encoded("validation", 8), weight_decay=0.1, select="last"),
        undecayed=undecayed,
        runtime=replace(bench.runtime, checkpoint_steps=1),
    )
    fit(inputs)
    fresh = make_optimizer(bench.parameters, inputs.settings, bench.runtime.device, undecayed)
    position, _ = resume(inputs.progress_dir, bench.parameters, fresh, inputs.runtime.make_scaler())
    assert position.step == 1


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_computing_layers_again_changes_no_bit(make_bench, encoded, tmp_path, monkeypatch, method):
    ends, passes = [], []
    real = XLMRobertaLayer.forward

    def counting(layer, *given, **named):
        passes[-1] += layer.training
        return real(layer, *given, **named)

    for again in (False, True):
        passes.append(0)
        bench = make_bench(method, dropout=0.2, token_budget=100_000)
        changes = {"gradient_checkpointing": again, "epochs": 2, "dropout": 0.2, "select": "last"}
        inputs = bench.fit_inputs(tmp_path / str(again), encoded("train", 16), encoded("validation", 8), **changes)
        with monkeypatch.context() as patch:
            patch.setattr(XLMRobertaLayer, "forward", counting)
            fit(inputs)
        assert not any(getattr(module, "gradient_checkpointing", False) for module in bench.model.modules())
        ends.append(bench.state())
    assert passes[0] == 8  # steps × layers
    assert passes[1] > passes[0]
    assert all(torch.equal(value, ends[0][name]) for name, value in ends[1].items())


def test_tokens_are_counted_over_all_steps(make_bench, encoded, tmp_path):
    train = encoded("train", 12)
    counts = []
    for budget in (100_000, 1):
        bench = make_bench("seq_bn", token_budget=budget)
        position = fit(bench.fit_inputs(tmp_path / f"{budget}", train, encoded("validation", 4), epochs=2))
        counts.append((position.num_tokens, position.num_padded_tokens))
    assert len(set(train.row_lengths.tolist())) > 1
    total = 2 * int(train.row_lengths.sum())
    longest = train.row_lengths.reshape(-1, 2).max(axis=1)
    # Of one example a micro-batch, rows are padded to the longer choice; together they are padded more.
    assert counts[1] == (total, 2 * 2 * int(longest.sum()))
    assert counts[0][0] == total
    assert counts[0][1] > counts[1][1]
