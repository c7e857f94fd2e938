"""What is looked at before the runs of a plan start."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_experiment import SMALL

from adapter_transfer.config import parse
from adapter_transfer.documents import read_text
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.training import optimizers
from adapter_transfer_cli.execution import _require_machine


def test_an_optimizer_is_needed_for_training_only(monkeypatch):
    plan = make_plan(parse(Experiment, read_text(SMALL + "  - {optimizer: adamw-8bit}\n", "small.yaml")))
    monkeypatch.setattr(optimizers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="optimizer 'adamw-8bit' needs bitsandbytes"):
        _require_machine(MachineSettings(device="cpu"), plan)
    left = tuple(run for run in plan.runs if run.spec.phase == "evaluation")
    assert left
    _require_machine(MachineSettings(device="cpu"), replace(plan, runs=left))
