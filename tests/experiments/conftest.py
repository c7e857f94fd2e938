"""A small experiment on the smallest scale, to be run for real."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapter_transfer.config import apply_overrides, parse, read_text
from adapter_transfer.experiments.experiment import Experiment

SMALL = """
name: small
backbones: [nano]
methods: [full, {name: seq_bn, settings: {reduction_factor: 4}}]
intermediates: [none, next-event]
target: micro-copa
languages: [en, qa]
seeds: [1]
training:
  - {learning_rate: 1e-3, batch_size: 8, epochs: 1, max_length: 64, max_train_examples: 24}
"""


@pytest.fixture
def small() -> Callable[..., Experiment]:
    """The experiment, with `--set` changes."""
    return lambda *overrides: parse(Experiment, apply_overrides(read_text(SMALL, "small.yaml"), overrides))
