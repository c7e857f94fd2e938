"""Executions that are disturbed: workers and parents that die, interruptions at bad moments, a changed backbone."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from small_experiment import artifact_digests

from adapter_transfer.backbones.checkpoints import LocalFolder
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.config import parse, read_text
from adapter_transfer.experiments import worker
from adapter_transfer.experiments.events import RunAdvanced, RunDone
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.lease import Lease
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import Plan, make_plan
from adapter_transfer.experiments.store import RunDirectory, Store
from adapter_transfer.training.history import read_history

MACHINE = MachineSettings(device="cpu", threads=1, checkpoint_steps=1)
# Long enough to be hit in the middle: progress is told every 6 of 24 steps.
YAML = """
name: disturbed
backbones: [nano]
methods: [{name: seq_bn, settings: {reduction_factor: 4}}]
intermediates: [none, next-event]
target: micro-copa
languages: [en]
seeds: [1]
training:
  - learning_rate: 1e-3
    batch_size: 4
    epochs: 4
    max_length: 64
    max_train_examples: 24
    validate_every: 12
    dropout: 0.1
"""
COMMAND = """
import multiprocessing, sys
from pathlib import Path
from adapter_transfer.config import parse, read_text
from adapter_transfer.experiments.events import RunAdvanced
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.store import Store

def tell(event):
    if isinstance(event, RunAdvanced):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)

if __name__ == "__main__":
    store = Store.open(Path(sys.argv[1]))
    plan = make_plan(parse(Experiment, read_text(sys.argv[2], "x")), store)
    execute(plan, store, MachineSettings(device="cpu", threads=1, checkpoint_steps=1), num_workers=2, tell=tell)
"""
_ENDS_WITHIN_SECONDS = 10.0


@pytest.fixture(autouse=True)
def bounded():
    """A test that would wait for ever fails instead."""

    def give_up(*_):
        raise TimeoutError("waited too long")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(150)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def plan_of(store: Store, *intermediates: str, **changes: object) -> Plan:
    """The experiment's plan; of its cells with these intermediates, if any are given."""
    experiment = parse(Experiment, read_text(YAML, "disturbed.yaml")).model_copy(update=changes)
    plan = make_plan(experiment, store)
    runs = [run for run in plan.runs if not intermediates or run.spec.intermediate in intermediates]
    return Plan(plan.name, tuple(runs), ())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The experiment's store where nothing happened."""
    store = Store.open(tmp_path_factory.mktemp("undisturbed") / "store")
    assert len(execute(plan_of(store), store, MACHINE).done) == 5
    return store


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


def work_lightly(number, store_root, settings, pipe):
    """Stands for `worker.main` without the seconds that loading torch takes: the first attempt at a run that is marked
    as deadly waits to be killed, every other run is done at once."""
    store = Store.open(store_root)
    while True:
        try:
            spec = pipe.recv()
        except EOFError:
            return
        is_first = store.status(spec.id) == "absent"
        run_json = {"identity": spec.identity(), "description": spec.description()}
        with store.begin(spec.id, run_json) as directory:
            pipe.send(RunAdvanced(spec.id, number, 1, 2))
            if is_first and (store_root / "deadly" / spec.id).exists():
                time.sleep(60)
            directory.commit({})
        pipe.send(RunDone(spec.id, number))


@pytest.fixture
def light_workers(monkeypatch, root):
    monkeypatch.setattr(worker, "main", work_lightly)
    monkeypatch.syspath_prepend(root)  # a spawned process finds this file by its name in the repository


def crew():
    """Name → process id of the workers there are."""
    return {child.name: child.pid for child in multiprocessing.active_children()}


def kill(pid: int) -> None:
    """Kills a child of ours, and returns when it is gone (but not yet reaped)."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_worker_that_dies_is_replaced_and_stops_only_what_needs_its_run(store, light_workers):
    plan = plan_of(store, seeds=(1, 2))
    specs = {run.spec.id: run.spec for run in plan.runs}
    # More stands on these than on others, so both workers take one first, and replacements do all the rest.
    deadly = {run_id for run_id, spec in specs.items() if spec.phase == "intermediate"}
    for run_id in deadly:
        (store.root / "deadly" / run_id).mkdir(parents=True)
    killed = []

    def kill_in_deadly(event):
        if isinstance(event, RunAdvanced) and event.run_id in deadly:
            killed.append(crew()[f"worker-{event.worker}"])
            kill(killed[-1])
        elif isinstance(event, RunDone):
            assert not set(killed) & set(crew().values())

    outcome = execute(plan, store, MACHINE, num_workers=2, tell=kill_in_deadly)
    assert len(killed) == 2
    assert outcome.failed.keys() == deadly
    assert all("ended by signal 9" in failure.message for failure in outcome.failed.values())
    assert {store.status(run_id) for run_id in deadly} == {"partial"}
    assert set(outcome.done) == {run_id for run_id, spec in specs.items() if spec.intermediate == "none"}
    assert outcome.skipped.keys() == specs.keys() - deadly - set(outcome.done)
    assert not crew()
    again = execute(plan_of(store, seeds=(1, 2)), store, MACHINE, num_workers=2)
    assert set(again.done) == deadly | outcome.skipped.keys()


def test_a_worker_that_dies_while_it_waits_costs_no_run(store, light_workers):
    def kill_the_idle_one(event):
        if isinstance(event, RunDone) and specs[event.run_id].phase == "intermediate":
            kill(crew()[f"worker-{1 - event.worker}"])

    plan = plan_of(store, "next-event", compositions=("stack", "sequential"))
    specs = {run.spec.id: run.spec for run in plan.runs}
    outcome = execute(plan, store, MACHINE, num_workers=2, tell=kill_the_idle_one)
    assert not outcome.failed
    assert len(outcome.done) == len(specs) == 5


def is_running(pid: int) -> bool:
    """Whether a process still does anything; one that waits to be reaped by whoever inherited it does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


def signal_at_work(store: Store, folder: Path, number: signal.Signals) -> str:
    """Starts the experiment with two workers, signals the parent alone while they train; returns its stderr.

    Fails unless parent and workers end soon and leave every run's lease free.
    """
    with (folder / "stderr").open("w+") as errors:
        script = folder / "command.py"  # a file: a worker that is spawned reads its parent's code again
        script.write_text(COMMAND)
        arguments = [sys.executable, str(script), str(store.root), YAML]
        parent = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=errors, text=True)
        workers: list[int] = []
        try:
            workers = [int(pid) for pid in parent.stdout.readline().split()]
            assert len(workers) == 2, (folder / "stderr").read_text()
            parent.send_signal(number)
            parent.wait(_ENDS_WITHIN_SECONDS)
            deadline = time.monotonic() + _ENDS_WITHIN_SECONDS
            while any(map(is_running, workers)) and time.monotonic() < deadline:
                time.sleep(0.05)
            left = [pid for pid in workers if is_running(pid)]
        finally:
            for pid in [parent.pid, *workers]:
                if is_running(pid):
                    os.kill(pid, signal.SIGKILL)
            parent.communicate()
        assert not left
        assert parent.returncode == -number
        for run_id in store.run_ids():
            with Lease(store.run_dir(run_id) / "lease"):
                pass
        errors.seek(0)
        return errors.read()


def test_workers_end_with_their_parent_and_the_same_command_goes_on(undisturbed, store, tmp_path):
    signal_at_work(store, tmp_path, signal.SIGKILL)
    assert list(store.root.rglob("progress/step-*"))
    assert signal_at_work(store, tmp_path, signal.SIGINT).rstrip().endswith("KeyboardInterrupt")
    statuses = set(store.statuses().values())
    assert "partial" in statuses
    assert statuses <= {"partial", "done"}  # an interruption is no failure
    assert not execute(plan_of(store), store, MACHINE).failed
    assert artifact_digests(store) == artifact_digests(undisturbed)


def test_an_interruption_between_artifact_and_manifest(undisturbed, store, monkeypatch):
    real, calls = RunDirectory.commit, []

    def commit(directory, metrics):
        calls.append(directory.path.name)
        if len(calls) in (1, 3):  # the training's first attempt, then the evaluation's
            raise KeyboardInterrupt
        return real(directory, metrics)

    monkeypatch.setattr(RunDirectory, "commit", commit)
    for num_done in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            execute(plan_of(store, "none"), store, MACHINE)
        assert (store.run_dir(calls[-1]) / "predictions.parquet").exists()
        assert store.status(calls[-1]) == "partial"
        assert list(store.statuses().values()).count("done") == num_done
    assert not execute(plan_of(store, "none"), store, MACHINE).failed
    assert len(calls) == 4
    assert artifact_digests(store)
    assert artifact_digests(store).items() <= artifact_digests(undisturbed).items()


@pytest.mark.parametrize("changed", ["model/model.safetensors", "model/config.json", "tokenizer/tokenizer.json"])
def test_a_backbone_that_changes_after_the_plan_is_refused(store, tmp_path, monkeypatch, changed):
    nano = BACKBONES["nano"]
    shutil.copytree(nano.model_path, tmp_path / "model")
    shutil.copytree(nano.tokenizer_path, tmp_path / "tokenizer")
    copy = replace(nano, model=LocalFolder(str(tmp_path / "model")), tokenizer=LocalFolder(str(tmp_path / "tokenizer")))
    monkeypatch.setitem(BACKBONES._entries, "nano", copy)
    plan = plan_of(store, "none")
    content = bytearray((tmp_path / changed).read_bytes())
    content[-3] ^= 1 if changed.endswith("safetensors") else ord(" ") ^ ord("\n")
    (tmp_path / changed).write_bytes(content)
    outcome = execute(plan, store, MACHINE)
    (failure,) = outcome.failed.values()
    assert "backbone 'nano' is not the one this run was planned" in failure.message
    assert "DataError" in failure.trace
    assert len(outcome.skipped) == 1
    assert not outcome.done


def numbers(store: Store):
    """What a training records of itself, but for time and memory."""
    (spec,) = (run.spec for run in plan_of(store, "none").runs if run.spec.phase == "target")
    metrics = dict(store.read(spec.id).metrics)
    for name in ("seconds", "peak_memory_bytes", "finished_by"):
        del metrics[name]
    history = read_history(store.run_dir(spec.id) / "history.jsonl")
    return metrics, [{key: value for key, value in record.items() if key != "seconds"} for record in history]


def test_checkpoints_change_no_recorded_number(undisturbed, store, tmp_path, monkeypatch):
    metrics, history = numbers(undisturbed)
    assert len([record for record in history if "loss" in record]) == 4
    execute(plan_of(store, "none"), store, replace(MACHINE, checkpoint_steps=200))
    assert numbers(store) == (metrics, history)
    # Nor does going on from one, in the middle of the steps whose losses are averaged.
    from adapter_transfer.training import loop  # here, as a spawned worker that imports this file needs no torch

    resumed, real, calls = Store.open(tmp_path / "resumed"), loop.apply_gradients, []

    def stop_after_ten(*arguments):
        calls.append(1)
        if len(calls) == 11:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "apply_gradients", stop_after_ten)
        with pytest.raises(KeyboardInterrupt):
            execute(plan_of(resumed, "none"), resumed, replace(MACHINE, checkpoint_steps=4))
    execute(plan_of(resumed, "none"), resumed, replace(MACHINE, checkpoint_steps=4))
    assert numbers(resumed) == (metrics, history)
