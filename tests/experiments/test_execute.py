"""Experiments run for real: sharing, resuming, failing, and two processes that want the same run."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_experiment import artifact_digests

from adapter_transfer.experiments.evaluation import evaluation_plan
from adapter_transfer.experiments.events import RunDone, RunFailed, RunSkipped
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import Plan, make_plan
from adapter_transfer.experiments.store import Store

MACHINE = MachineSettings(device="cpu", threads=1, checkpoint_steps=1)


def run(experiment, folder, **changes):
    store = Store.open(folder)
    plan = make_plan(experiment, store)
    events = []
    outcome = execute(plan, store, replace(MACHINE, **changes), tell=events.append)
    return store, plan, outcome, events


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A store in which the small experiment has been run, with the experiment."""
    from adapter_transfer.config import parse, read_text
    from adapter_transfer.experiments.experiment import Experiment

    text = Path(__file__).with_name("conftest.py").read_text("utf-8").split('"""')[3]
    experiment = parse(Experiment, read_text(text, "small.yaml"))
    folder = tmp_path_factory.mktemp("finished") / "store"
    store, plan, outcome, _ = run(experiment, folder)
    assert not outcome.failed
    return store, plan, experiment


def test_every_run_ends_complete(finished):
    store, plan, _ = finished
    assert {store.status(run.spec.id) for run in plan.runs} == {"done"}
    for planned in plan.runs:
        stored = store.read(planned.spec.id)
        files = store.verify(planned.spec.id).files
        assert "predictions.parquet" in files
        assert stored.run["machine"]["threads"] == 1
        assert stored.run["versions"]["adapters"]
        if planned.spec.phase != "evaluation":
            assert any(name.endswith(".safetensors") for name in files)
            assert stored.metrics["num_train_examples"] == 24
            assert 0 < stored.metrics["trained_parameters"] <= stored.metrics["total_parameters"] * 2
        assert not (stored.path / "progress").exists()


def test_predictions_hold_every_item(finished):
    store, plan, _ = finished
    evaluation = next(run.spec for run in plan.runs if run.spec.phase == "evaluation")
    table = pq.read_table(store.run_dir(evaluation.id) / "predictions.parquet").to_pydict()
    assert table["language"] == ["en"] * 500 + ["qa"] * 500
    assert table["idx"][:500] == table["idx"][500:]
    assert all(len(logits) == 2 for logits in table["logits"])
    assert table["prediction"] == [int(second > first) for first, second in table["logits"]]
    metrics = store.read(evaluation.id).metrics["languages"]
    right = sum(p == y for p, y in zip(table["prediction"][500:], table["label"][500:], strict=True))
    assert metrics["qa"]["accuracy"] == right / 500


def test_a_second_call_trains_nothing(finished):
    store, _, experiment = finished
    _, plan, outcome, events = run(experiment, store.root)
    assert not plan.todo
    assert not outcome.done
    assert not events


def test_one_more_seed_runs_only_its_own(finished, small):
    store, _, _ = finished
    _, _, outcome, _ = run(
        small("seeds=[1, 2]", "methods=[seq_bn]", "methods.0={name: seq_bn, settings: {reduction_factor: 4}}"),
        store.root,
    )
    assert len(outcome.done) == 5  # intermediate, two targets, two evaluations
    assert {store.read(run_id).run["description"]["seed"] for run_id in outcome.done} == {2}


def test_a_run_in_another_process_gives_the_same_artifact(finished, tmp_path):
    store, _, experiment = finished
    plan = make_plan(experiment, Store.open(tmp_path / "again"))
    outcome = execute(plan, Store.open(tmp_path / "again"), MACHINE, num_workers=2)
    assert len(outcome.done) == len(plan.runs)
    again = artifact_digests(Store.open(tmp_path / "again"))
    assert again.items() <= artifact_digests(store).items()


def test_evaluating_later_in_other_languages(finished):
    store, plan, _ = finished
    target = next(run.spec for run in plan.runs if run.spec.phase == "target" and run.spec.method == "full")
    later = evaluation_plan(store, target.id, ["sandbox"])
    assert not execute(later, store, MACHINE).failed
    before = next(r.spec for r in plan.runs if r.spec.phase == "evaluation" and r.spec.parents["target"] == target.id)
    same = store.read(before.id).metrics["languages"]["qa"]["num_correct"]
    metrics = store.read(later.runs[0].spec.id).metrics["languages"]
    assert set(metrics) == {"qa", "qb", "qc"}
    assert metrics["qa"]["num_correct"] == same


def test_a_damaged_artifact_fails_what_needs_it_and_nothing_else(small, tmp_path):
    experiment = small("methods=[seq_bn]")
    store = Store.open(tmp_path / "store")
    plan = make_plan(experiment, store)
    first = Plan(plan.name, tuple(r for r in plan.runs if r.spec.phase == "intermediate"), ())
    execute(first, store, MACHINE)
    artifact = next((store.run_dir(first.runs[0].spec.id) / "artifact").rglob("adapter.safetensors"))
    content = bytearray(artifact.read_bytes())
    content[-1] ^= 1
    artifact.write_bytes(content)
    outcome = execute(make_plan(experiment, store), store, MACHINE)
    specs = {run.spec.id: run.spec for run in plan.runs}
    assert [(specs[i].phase, specs[i].intermediate) for i in outcome.failed] == [("target", "next-event")]
    assert "adapter.safetensors" in next(iter(outcome.failed.values())).message
    assert [(specs[i].phase, specs[i].intermediate) for i in outcome.skipped] == [("evaluation", "next-event")]
    assert {specs[i].intermediate for i in outcome.done} == {"none"}
    assert store.read(next(iter(outcome.failed))).failure["type"] == "StoreError"


def test_a_loss_that_is_no_number_is_a_failure_with_advice(small, tmp_path):
    experiment = small(
        "intermediates=[none]", "methods=[full]", "training.0.learning_rate=1e30", "training.0.warmup_share=0"
    )
    _, _, outcome, events = run(experiment, tmp_path / "store")
    assert len(outcome.failed) == 1
    assert "no longer a number" in next(iter(outcome.failed.values())).message
    assert [type(event) for event in events if not isinstance(event, RunDone)][-2:] == [RunFailed, RunSkipped]


def test_a_damaged_checkpoint_is_passed_over(small, tmp_path, monkeypatch, caplog):
    from adapter_transfer.training import loop

    experiment = small("intermediates=[none]", "methods=[seq_bn]")
    straight, _, _, _ = run(experiment, tmp_path / "straight")
    real, calls = loop.apply_gradients, []

    def stop_at_three(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(loop, "apply_gradients", stop_at_three)
    with pytest.raises(KeyboardInterrupt):
        run(experiment, tmp_path / "cut")
    monkeypatch.setattr(loop, "apply_gradients", real)
    newest = sorted((tmp_path / "cut").rglob("progress/step-*"))[-1]
    (newest / "tensors.safetensors").unlink()
    resumed, _, outcome, _ = run(experiment, tmp_path / "cut")
    assert not outcome.failed
    assert any("refused" in record.getMessage() for record in caplog.records)
    assert artifact_digests(resumed) == artifact_digests(straight)


COMMAND = """
import sys
from pathlib import Path
from adapter_transfer.config import apply_overrides, parse, read_text
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.store import Store
if __name__ == "__main__":
    experiment = parse(Experiment, apply_overrides(read_text(Path(sys.argv[1]).read_text(), "x"), sys.argv[4:]))
    store = Store.open(Path(sys.argv[2]))
    machine = MachineSettings(device="cpu", threads=1, checkpoint_steps=2)
    outcome = execute(make_plan(experiment, store), store, machine, num_workers=int(sys.argv[3]))
    print(len(outcome.failed), *[failure.message for failure in outcome.failed.values()])
"""


class Command:
    """An execution in processes of its own, which can be killed."""

    def __init__(self, folder: Path, yaml: str, workers: int, *overrides: str) -> None:
        script, config = folder / "command.py", folder / "config.yaml"
        script.write_text(COMMAND)
        config.write_text(yaml)
        self.arguments = [sys.executable, str(script), str(config), str(folder / "store"), str(workers), *overrides]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self) -> str:
        done = subprocess.run(self.arguments, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()


def kill_at_random(command: Command, store_dir: Path, kills: int, longest: float, seed: int) -> int:
    """Starts and kills with SIGKILL until it ends or `kills` is reached; returns how many kills hit a training."""
    draw, hits = random.Random(seed), 0
    for _ in range(kills):
        process = command.start()
        started = time.monotonic()
        # Counted from the first sign of work, because loading the libraries takes most of so small an experiment.
        known = set(store_dir.rglob("*"))
        while process.poll() is None and time.monotonic() - started < 120 and set(store_dir.rglob("*")) == known:
            time.sleep(0.05)
        time.sleep(draw.uniform(0, longest))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            hits += 1
        process.communicate()
    return hits


def test_a_killed_experiment_ends_as_an_uninterrupted_one(finished, tmp_path, root):
    store, _, _ = finished
    text = (root / "tests" / "experiments" / "conftest.py").read_text("utf-8").split('"""')[3]
    command = Command(tmp_path, text, 1)
    assert kill_at_random(command, tmp_path / "store", kills=1, longest=1.0, seed=1) == 1
    assert command.finish().startswith("0")
    again = artifact_digests(Store.open(tmp_path / "store"))
    assert again
    assert again.items() <= artifact_digests(store).items()


@pytest.mark.slow
def test_ten_kills_at_random_moments(tmp_path, root):
    yaml = (root / "configs" / "demo.yaml").read_text("utf-8")
    overrides = ("backbones=[nano, micro]", "seeds=[1]")
    (tmp_path / "straight").mkdir()
    straight = Command(tmp_path / "straight", yaml, 2, *overrides)
    assert straight.finish().startswith("0")
    (tmp_path / "killed").mkdir()
    killed = Command(tmp_path / "killed", yaml, 2, *overrides)
    hits = kill_at_random(
        killed, tmp_path / "killed" / "store", kills=10, longest=8.0, seed=int(os.environ.get("SEED", "7"))
    )
    assert hits >= 5
    assert killed.finish().startswith("0")
    expected = artifact_digests(Store.open(tmp_path / "straight" / "store"))
    assert artifact_digests(Store.open(tmp_path / "killed" / "store")) == expected


def hold(folder: str, run_id: str, description: str, ready, release) -> None:
    """Holds a run's lease until told to let go."""
    with Store.open(Path(folder)).begin(run_id, json.loads(description)):
        ready.set()
        release.wait(60)


def test_two_processes_on_one_run_directory(small, tmp_path, monkeypatch):
    from adapter_transfer.experiments import worker

    monkeypatch.setattr(worker, "_LEASE_PATIENCE_SECONDS", 0.3)
    experiment = small("intermediates=[none]", "methods=[seq_bn]")
    store = Store.open(tmp_path / "store")
    spec = make_plan(experiment, store).runs[0].spec
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    run_json = json.dumps({"format": 1, "id": spec.id, "identity": spec.identity(), "description": spec.description()})
    holder = context.Process(target=hold, args=(str(store.root), spec.id, run_json, ready, release))
    holder.start()
    try:
        assert ready.wait(60)
        outcome = execute(make_plan(experiment, store), store, MACHINE)
        failure = outcome.failed[spec.id]
        assert failure.is_busy
        assert str(holder.pid) in failure.message
        assert store.status(spec.id) == "partial"
    finally:
        release.set()
        holder.join()
    assert not execute(make_plan(experiment, store), store, MACHINE).failed
