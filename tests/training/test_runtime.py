"""Trackers: one that cannot be used is said, and one that can gets the numbers."""

from __future__ import annotations

import pytest
from accelerate.tracking import GeneralTracker

from adapter_transfer.errors import ConfigError
from adapter_transfer.training import runtime
from adapter_transfer.training.loop import fit
from adapter_transfer.training.runtime import Runtime, make_accelerator


def test_an_unknown_tracker_is_named():
    with pytest.raises(ConfigError, match="Did you mean 'tensorboard'"):
        make_accelerator("cpu", "fp32", trackers=("tensorbord",))


def test_a_tracker_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setattr(runtime, "get_available_trackers", lambda: [])
    with pytest.raises(ConfigError, match="is not installed"):
        make_accelerator("cpu", "fp32", trackers=("wandb",))


class Notes(GeneralTracker):
    """Keeps what it is told."""

    name = "notes"
    requires_logging_directory = False

    def __init__(self):
        super().__init__()
        self.told = []

    @property
    def tracker(self):
        return self

    def store_init_configuration(self, values):
        pass

    def log(self, values, step=None, **kwargs):
        self.told.append((step, values))


def test_trackers_get_losses_and_validations(make_bench, encoded, tmp_path):
    bench = make_bench("seq_bn")
    notes = Notes()
    bench.runtime.accelerator.trackers = [notes]
    bench.runtime = Runtime(bench.runtime.accelerator, pad_id=1, trackers=("notes",))
    fit(bench.fit_inputs(tmp_path, encoded("train", 16), encoded("validation", 8)))
    assert {key for _, values in notes.told for key in values} >= {"loss", "learning_rate", "validation_accuracy"}
    assert [step for step, _ in notes.told] == [1, 2, 2]
