"""A training that is cut off goes on to the weights of one that was not, bit for bit."""

from __future__ import annotations

import pytest
import torch

from adapter_transfer.training import loop
from adapter_transfer.training.history import read_history


class Cut(Exception):
    """Stands for a kill."""


def interrupted(inputs, at_step, monkeypatch):
    """Runs `fit` until just after `at_step` optimizer steps."""
    count = 0
    real = loop.apply_gradients

    def counting(*arguments):
        nonlocal count
        count += 1
        if count > at_step:
            raise Cut
        return real(*arguments)

    monkeypatch.setattr(loop, "apply_gradients", counting)
    with pytest.raises(Cut):
        loop.fit(inputs)
    monkeypatch.setattr(loop, "apply_gradients", real)


@pytest.mark.parametrize("method", ["full", "seq_bn"])
@pytest.mark.parametrize("at_step", [5, 9])
def test_resumed_equals_uninterrupted(make_bench, encoded, tmp_path, monkeypatch, method, at_step):
    train, validation = encoded("train", 32), encoded("validation", 16)
    settings = {"epochs": 3, "dropout": 0.1, "select": "best"}
    straight = make_bench(method, dropout=0.1, checkpoint_steps=2)
    end = loop.fit(straight.fit_inputs(tmp_path / "straight", train, validation, **settings))
    first = make_bench(method, dropout=0.1, checkpoint_steps=2)
    interrupted(first.fit_inputs(tmp_path / "cut", train, validation, **settings), at_step, monkeypatch)
    second = make_bench(method, dropout=0.1, checkpoint_steps=2)
    resumed = loop.fit(second.fit_inputs(tmp_path / "cut", train, validation, **settings))
    assert resumed.step == end.step == 12
    assert resumed.best_step == end.best_step
    assert resumed.best_loss == end.best_loss
    expected = straight.state()
    for name, value in second.state().items():
        assert torch.equal(value, expected[name]), name
    steps = [record["step"] for record in read_history(tmp_path / "cut" / "history.jsonl") if "loss" in record]
    assert steps == sorted(set(steps))


def test_dropout_draws_do_not_depend_on_what_ran_before(make_bench, encoded, tmp_path):
    ends = []
    for name, disturb in (("quiet", False), ("disturbed", True)):
        bench = make_bench("seq_bn", dropout=0.2)
        if disturb:
            torch.manual_seed(999)
            torch.rand(1000)
        loop.fit(bench.fit_inputs(tmp_path / name, encoded("train", 16), encoded("validation", 8), select="last"))
        ends.append(bench.state())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
