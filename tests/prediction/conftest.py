"""Runs on the smallest scale, trained once for all tests of prediction, with what their evaluations answered."""

from __future__ import annotations

import pytest
from trained_cells import train_cells

from adapter_transfer.experiments.store import Store


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with every cell of a small experiment, evaluated; nobody writes to it."""
    return train_cells(tmp_path_factory.mktemp("trained") / "store")
