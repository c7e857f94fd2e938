"""Which weights a training ends with: the best or the last ones, and when it stops early."""

from __future__ import annotations

import math

import pytest
import torch

from adapter_transfer.tasks.metrics import Score
from adapter_transfer.training import loop
from adapter_transfer.training.history import read_history

RISING_THEN_FALLING = [(0.5, 0.7), (0.7, 0.6), (0.6, 0.5), (0.5, 0.8)]


class Cut(Exception):
    """Stands for a kill."""


class Script:
    """Stands for `validate`: gives (accuracy, loss) in order and keeps the weights that each of them judged.

    Which validation it is, is read from the history, as a resumed training goes on in the middle.
    """

    def __init__(self, scores) -> None:
        self.scores = scores
        self.weights = {}

    def __call__(self, inputs) -> list[Score]:
        steps = [record["step"] for record in read_history(inputs.history_path) if "validation_loss" in record]
        accuracy, loss = self.scores[len(steps)]
        self.weights[len(steps) + 1] = {name: p.detach().clone() for name, p in inputs.parameters.items()}
        return [Score("accuracy", {"accuracy": accuracy}, num_items=0, loss=loss, constant_predictions=False)]


@pytest.fixture
def trained(make_bench, encoded, tmp_path, monkeypatch):
    """Trains with scripted validations, one a step: `trained(scores, name, method="full", cut_at=3, patience=2)`."""

    def train(scores, folder="run", *, method="seq_bn", cut_at=None, checkpoint_steps=200, **changes):
        bench, script = make_bench(method, checkpoint_steps=checkpoint_steps), Script(scores)
        settings = {"epochs": len(scores), "batch_size": 8, "validate_every": 1, "learning_rate": 1e-3} | changes
        inputs = bench.fit_inputs(tmp_path / folder, encoded("train", 8), encoded("validation", 4), **settings)
        real, steps = loop.apply_gradients, []

        def stepping(*arguments):
            if len(steps) == cut_at:
                raise Cut
            steps.append(1)
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "validate", script)
            patch.setattr(loop, "apply_gradients", stepping)
            if cut_at is None:
                return bench, loop.fit(inputs), script
            with pytest.raises(Cut):
                loop.fit(inputs)
            return bench, None, script

    return train


def assert_weights(bench, expected):
    for name, parameter in bench.parameters.items():
        assert torch.equal(parameter, expected[name]), name


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_the_best_weights_are_restored(trained, method):
    bench, position, script = trained(RISING_THEN_FALLING, method=method)
    assert position.step == 4
    assert (position.best_step, position.best_score, position.best_loss) == (2, 0.7, 0.6)
    assert_weights(bench, script.weights[2])
    assert any(not torch.equal(script.weights[2][name], script.weights[4][name]) for name in bench.parameters)


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_the_last_weights_are_kept_if_asked_for(trained, method):
    bench, position, script = trained(RISING_THEN_FALLING, method=method, select="last")
    assert (position.step, position.best_step) == (4, 4)
    assert_weights(bench, script.weights[4])


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        pytest.param([(0.5, 0.7), (0.5, 0.6), (0.5, 0.65)], 2, id="equal accuracy goes to the lower loss"),
        pytest.param([(0.5, 0.7), (0.5, 0.7), (0.4, 0.1)], 1, id="equal in both goes to the earlier"),
        pytest.param([(0.5, 0.1), (0.6, 0.9), (0.6, 0.9)], 2, id="accuracy goes before loss"),
    ],
)
def test_ties(trained, scores, best):
    bench, position, script = trained(scores)
    assert position.best_step == best
    assert_weights(bench, script.weights[best])


@pytest.mark.parametrize(
    ("scores", "patience", "best", "end"),
    [
        ([(0.6, 0.5), (0.5, 0.5), (0.7, 0.5)], 1, 1, 2),
        ([(0.5, 0.5), (0.6, 0.5), (0.6, 0.5), (0.5, 0.4), (0.7, 0.5)], 2, 2, 4),
        # A better one starts the count anew.
        ([(0.6, 0.5), (0.5, 0.5), (0.7, 0.5), (0.6, 0.5), (0.6, 0.5), (0.9, 0.1)], 2, 3, 5),
        ([(0.6, 0.5), (0.5, 0.5), (0.5, 0.5)], 3, 1, 3),
    ],
)
@pytest.mark.parametrize("select", ["best", "last"])
def test_patience(trained, scores, patience, best, end, select):
    bench, position, script = trained(scores, patience=patience, select=select)
    assert position.step == end
    assert position.stopped_early == (end < len(scores))
    assert position.best_step == (best if select == "best" else end)
    assert_weights(bench, script.weights[position.best_step])


@pytest.mark.parametrize("method", ["full", "seq_bn"])
@pytest.mark.parametrize("cut_at", [1, 3, 4])
def test_stopping_early_survives_an_interruption(trained, method, cut_at):
    scores = [(0.5, 0.5), (0.6, 0.5), (0.55, 0.5), (0.5, 0.4), (0.6, 0.6), (0.9, 0.1)]
    straight, end, script = trained(scores, "straight", method=method, patience=3)
    assert (end.step, end.best_step, end.stopped_early) == (5, 2, True)
    trained(scores, "cut", method=method, patience=3, cut_at=cut_at, checkpoint_steps=2)
    resumed, position, again = trained(scores, "cut", method=method, patience=3, checkpoint_steps=2)
    assert min(again.weights) == cut_at // 2 * 2 + 1  # it did go on from the checkpoint
    assert (position.step, position.best_step, position.stopped_early) == (5, 2, True)
    assert (position.best_score, position.best_loss) == (end.best_score, end.best_loss)
    assert (position.train_loss_first, position.train_loss_last) == (end.train_loss_first, end.train_loss_last)
    assert_weights(resumed, script.weights[2])
    for name, value in straight.state().items():
        assert torch.equal(resumed.state()[name], value), name


def test_a_training_that_was_cut_off_after_it_had_stopped_trains_no_further(trained):
    scores = [(0.6, 0.5), (0.5, 0.5), (0.5, 0.5), (0.9, 0.1)]
    _, end, script = trained(scores, patience=2, checkpoint_steps=1)
    bench, position, again = trained(scores, patience=2, checkpoint_steps=1)
    assert (position.step, position.best_step) == (end.step, end.best_step) == (3, 1)
    assert not again.weights
    assert_weights(bench, script.weights[1])


def test_the_best_of_real_validations_is_what_the_training_ends_with(make_bench, encoded, tmp_path):
    # Far too high a rate: what is learned at first is lost again.
    bench = make_bench("full")
    settings = {"epochs": 6, "learning_rate": 3e-3, "schedule": "constant", "validate_every": 2}
    inputs = bench.fit_inputs(tmp_path, encoded("train", 16), encoded("validation", 50), **settings)
    position = loop.fit(inputs)
    validations = [r for r in read_history(inputs.history_path) if "validation_loss" in r]
    best = max(validations, key=lambda record: (record["validation_accuracy"], -record["validation_loss"]))
    assert len(validations) == 6
    assert best is not validations[-1]  # or this would show nothing
    assert position.best_step == best["step"]
    (score,) = loop.validate(inputs)
    assert (score.value, score.loss) == (best["validation_accuracy"], best["validation_loss"])
    assert math.isfinite(score.loss)
