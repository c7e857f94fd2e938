"""Runs in several precisions, in one session: each is what it would be alone, and what cannot be is listed."""

from __future__ import annotations

import pytest

from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.store import Store

MACHINE = MachineSettings(device="cpu", threads=1)
ALL = ("nf4", "fp32", "int8", "fp16")


def run(experiment, folder):
    store = Store.open(folder)
    plan = make_plan(experiment, store)
    outcome = execute(plan, store, MACHINE)
    assert not outcome.failed
    return store, plan


def digests(store: Store, spec) -> dict[str, str]:
    return {name: file.sha256 for name, file in store.verify(spec.id).files.items() if name.startswith("artifact/")}


@pytest.fixture
def grid(small):
    return lambda *precisions: small(
        f"precisions=[{','.join(precisions)}]", "methods=[full, seq_bn]", "intermediates=[none]", "languages=[en]"
    )


def test_precisions_of_one_session_are_apart(grid, tmp_path):
    store, plan = run(grid(*ALL), tmp_path / "all")
    impossible = {(cell.precision, cell.method) for cell in plan.impossible}
    assert impossible == {("nf4", "full"), ("int8", "full")}
    assert all("quantized weights cannot be trained" in cell.reason for cell in plan.impossible)
    trained = [planned.spec for planned in plan.runs if planned.spec.phase == "target"]
    assert sorted((spec.precision, spec.method) for spec in trained) == sorted(
        (precision, method)
        for precision in ALL
        for method in ("full", "seq_bn")
        if (precision, method) not in impossible
    )
    made = {(spec.precision, spec.method): digests(store, spec) for spec in trained}
    # On the CPU nf4 computes in fp32, and yet it is another body: no two precisions have made the same weights.
    for method in ("full", "seq_bn"):
        weights = [frozenset(files.items()) for (_, name), files in made.items() if name == method]
        assert len(set(weights)) == len(weights)
    for spec in trained:
        metrics = store.read(spec.id).metrics
        assert metrics["num_steps"] - metrics["num_skipped_steps"] >= 2
        assert metrics["train_loss_last"] < 1
    alone, same = run(grid("nf4"), tmp_path / "alone")
    (spec,) = (planned.spec for planned in same.runs if planned.spec.phase == "target")
    assert digests(alone, spec) == made["nf4", "seq_bn"]
