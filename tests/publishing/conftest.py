"""Runs on the smallest scale, trained once for all tests of publishing; nobody writes to their stores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from trained_cells import train_cells

from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store

SEEDS = """
name: seeds
backbones: [nano]
methods: [{name: seq_bn, settings: {reduction_factor: 4}}]
intermediates: [none, next-event]
compositions: [stack]
target: micro-copa
languages: [en, qa]
seeds: [1, 2, 3]
training:
  - {learning_rate: 3e-3, batch_size: 8, epochs: 1, max_length: 48, max_train_examples: 16}
"""
OTHERS = """
name: others
backbones: [nano]
methods: [full, {name: seq_bn, settings: {reduction_factor: 4}}, {name: lora, settings: {r: 4}}]
intermediates: [next-event+event-nli]
compositions: [stack, stack-tuned, sequential, sum]
target: micro-copa
languages: [qa]
seeds: [1]
training:
  - {learning_rate: 3e-3, batch_size: 8, epochs: 1, max_length: 48, max_train_examples: 16}
"""

Find = Callable[..., list[str]]


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three seeds of seq_bn, with next-event below and without."""
    return train_cells(tmp_path_factory.mktemp("seeds") / "store", SEEDS)


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One seed of every composition after a mixture of tasks, and full fine-tuning."""
    return train_cells(tmp_path_factory.mktemp("others") / "store", OTHERS)


@pytest.fixture(scope="session")
def find() -> Find:
    """(store, wanted fields of a run) → ids of the runs that have them, by seed."""

    def of_store(store: Store, **wanted: object) -> list[str]:
        specs = {run_id: RunSpec.from_description(store.read(run_id).run["description"]) for run_id in store.run_ids()}
        found = {
            run_id: spec
            for run_id, spec in specs.items()
            if all(getattr(spec, name) == value for name, value in wanted.items())
        }
        return sorted(found, key=lambda run_id: found[run_id].seed)

    return of_store


@pytest.fixture(scope="session")
def shared(seeds: Store, find: Find, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of three seeds of the stacked cell; not to be changed."""
    from adapter_transfer.publishing.bundle import choose_bundle
    from adapter_transfer.publishing.contents import write_package

    folder = tmp_path_factory.mktemp("shared") / "package"
    bundle = choose_bundle(seeds, find(seeds, phase="target", composition="stack"))
    write_package(seeds, bundle, folder, licence="apache-2.0", environment={})
    return folder
