"""Cells of a small experiment, trained and evaluated for real on the smallest scale."""

from __future__ import annotations

from pathlib import Path

from adapter_transfer.config import parse, read_text
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store

CELLS = """
name: cells
backbones: [nano]
methods: [full, {name: seq_bn, settings: {reduction_factor: 4}}, {name: lora, settings: {r: 4}}]
intermediates: [none, next-event]
compositions: [stack, sequential, sum]
target: micro-copa
languages: [en, qa]
seeds: [1]
training:
  - {learning_rate: 3e-3, batch_size: 8, epochs: 1, max_length: 48, max_train_examples: 16}
"""
ONE_CELL = """
name: cell
backbones: [nano]
methods: [{name: seq_bn, settings: {reduction_factor: 4}}]
intermediates: [none]
target: micro-copa
languages: [qa]
seeds: [1]
training:
  - {learning_rate: 3e-3, batch_size: 8, epochs: 1, max_length: 48, max_train_examples: 16}
"""


def train_cells(root: Path, experiment: str = CELLS) -> Store:
    """A new store at `root` with everything that an experiment asks for."""
    store = Store.open(root)
    plan = make_plan(parse(Experiment, read_text(experiment, "cells.yaml")), store)
    outcome = execute(plan, store, MachineSettings(device="cpu", threads=1))
    assert not outcome.failed, outcome.failed
    return store


def specs_of(store: Store) -> dict[tuple[str, str, str], RunSpec]:
    """(phase, method, composition) → the run; of one seed."""
    described = (store.read(run_id).run["description"] for run_id in store.run_ids())
    return {(spec.phase, spec.method, spec.composition): spec for spec in map(RunSpec.from_description, described)}
