"""Training on quantized bodies: the one loop, resumed or not, and what it saves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.methods.attach import adapter_dir, assemble, head_dir, save_artifact, with_flexible_heads
from adapter_transfer.training import loop
from adapter_transfer.training.evaluate import predict

CELLS = [("nf4", "seq_bn"), ("nf4", "lora"), ("int8", "seq_bn")]


class Cut(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize(("precision", "method"), CELLS)
def test_it_trains_what_was_added_and_nothing_else(make_bench, encoded, tmp_path, precision, method):
    bench, data = make_bench(method, precision=precision), encoded("train", 32)
    before = bench.state()
    untrained = data.format.score(data, predict(bench.model, bench.assembly.head, data, bench.runtime))
    settings = {"epochs": 10, "learning_rate": 1e-2, "select": "last"}
    position = loop.fit(bench.fit_inputs(tmp_path, data, encoded("validation", 8), **settings))
    trained = data.format.score(data, predict(bench.model, bench.assembly.head, data, bench.runtime))
    assert trained.loss < 0.6 * untrained.loss
    assert position.num_skipped_steps == 0
    moved = {name for name, value in bench.state().items() if not torch.equal(value, before[name])}
    assert bench.parameters.keys() >= moved >= bench.parameters.keys() - {"heads.micro-copa.4.bias"}
    assert any(value.dtype in (torch.uint8, torch.int8) for value in before.values())


@pytest.mark.parametrize(("precision", "method"), CELLS)
def test_a_resumed_training_equals_an_uninterrupted_one(make_bench, encoded, tmp_path, monkeypatch, precision, method):
    # An evaluation lies between the steps, and checkpoints hold what trains and no quantized weight.
    train, validation = encoded("train", 32), encoded("validation", 8)
    settings = {"epochs": 3, "dropout": 0.1, "validate_every": 1}
    straight = make_bench(method, precision=precision, dropout=0.1, checkpoint_steps=2)
    end = loop.fit(straight.fit_inputs(tmp_path / "straight", train, validation, **settings))
    real, calls = loop.apply_gradients, []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) > 5:
            raise Cut
        return real(*arguments)

    first = make_bench(method, precision=precision, dropout=0.1, checkpoint_steps=2)
    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(loop, "apply_gradients", stopping)
        loop.fit(first.fit_inputs(tmp_path / "cut", train, validation, **settings))
    second = make_bench(method, precision=precision, dropout=0.1, checkpoint_steps=2)
    resumed = loop.fit(second.fit_inputs(tmp_path / "cut", train, validation, **settings))
    assert replace(resumed, seconds=0) == replace(end, seconds=0)
    expected = straight.state()
    assert all(torch.equal(value, expected[name]) for name, value in second.state().items())


def test_validating_between_the_steps_of_an_nf4_training_changes_nothing(make_bench, encoded, tmp_path, monkeypatch):
    # As on a CPU with AVX512-BF16, where a validation would pack the weights anew.
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    ends = []
    for name, every in (("often", 1), ("once", "epoch")):
        bench = make_bench("lora", precision="nf4")
        settings = {"validate_every": every, "select": "last"}
        loop.fit(bench.fit_inputs(tmp_path / name, encoded("train", 32), encoded("validation", 8), **settings))
        ends.append(bench.state())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


@pytest.mark.parametrize("precision", ["nf4", "int8"])
def test_what_it_saves_loads_into_full_precision(make_bench, encoded, tmp_path, precision):
    bench, data = make_bench("seq_bn", precision=precision), encoded("validation", 16)
    train = encoded("train", 32)
    inputs = bench.fit_inputs(tmp_path / "run", train, data, epochs=3, learning_rate=1e-2, select="last")
    loop.fit(inputs)
    save_artifact(bench.model, bench.assembly, tmp_path / "artifact")
    scores = predict(bench.model, "micro-copa", data, bench.runtime)
    part = replace(bench.assembly.adapters[0], source=adapter_dir(tmp_path / "artifact", "micro-copa"))
    head = head_dir(tmp_path / "artifact", "micro-copa")
    loaded = {}
    for kept in (precision, "fp32"):
        body = load_body(BACKBONES["nano"], precision=kept, device=torch.device("cpu"), vocab_size=10, dropout=0.0)
        model = with_flexible_heads(body)
        assemble(model, replace(bench.assembly, adapters=(part,), head_source=head))
        loaded[kept] = predict(model, "micro-copa", data, bench.runtime)
    np.testing.assert_array_equal(loaded[precision], scores)
    # Another body, so other scores, but they say much the same.
    assert np.corrcoef(*(np.diff(each.reshape(-1, 2)).ravel() for each in (loaded["fp32"], scores)))[0, 1] > 0.9
