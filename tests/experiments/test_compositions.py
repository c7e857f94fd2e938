"""Compositions for real: a phase starts from the one before it, and what is evaluated is what was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.config import apply_overrides, parse, read_text
from adapter_transfer.experiments import session
from adapter_transfer.experiments.assemblies import body_source, evaluation_assembly
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import Plan, PlannedRun, make_plan
from adapter_transfer.experiments.runs import evaluation_of
from adapter_transfer.experiments.store import Store
from adapter_transfer.methods.attach import adapter_dir, assemble, body_dir, head_dir, with_flexible_heads
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.encoding import encode
from adapter_transfer.tasks.task import load_examples
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.runtime import Runtime, make_accelerator

MACHINE = MachineSettings(device="cpu", threads=1)
CELLS = """
name: cells
backbones: [nano]
precisions: [fp32, bf16]
methods: [full, {name: seq_bn, settings: {reduction_factor: 4}}]
intermediates: [next-event]
compositions: [stack, stack-tuned, sequential]
target: micro-copa
languages: [en]
seeds: [1]
head: carry
training:
  - {learning_rate: 3e-3, batch_size: 8, epochs: 1, max_length: 64, max_train_examples: 24}
  - {when: {phase: target}, max_steps: 3}
"""
# What a target phase starts from is what it saves, if its one step moves nothing.
STANDSTILL = ("precisions=[fp32]", "training.1.max_steps=1", "training.1.learning_rate=1e-12")
ADAPTER_CELLS = [("seq_bn", "stack"), ("seq_bn", "stack-tuned"), ("seq_bn", "sequential")]
ALL_CELLS = [("full", "sequential"), *ADAPTER_CELLS]


class Trained:
    """The trainings of an experiment in a store, found by what they are and never by the ids that runs name."""

    def __init__(self, store: Store, *overrides: str) -> None:
        self.store = store
        plan = make_plan(parse(Experiment, apply_overrides(read_text(CELLS, "cells.yaml"), overrides)), store)
        runs = [run for run in plan.runs if run.spec.phase != "evaluation"]
        outcome = execute(Plan(plan.name, tuple(runs), ()), store, MACHINE)
        assert not outcome.failed, outcome.failed
        self.specs = [run.spec for run in runs]

    def spec(self, phase, method, composition="none", precision="fp32", seed=1):
        wanted = (phase, method, composition, precision, seed)
        found = [s for s in self.specs if (s.phase, s.method, s.composition, s.precision, s.seed) == wanted]
        assert len(found) == 1, wanted
        return found[0]

    def artifact(self, phase, method, composition="none", precision="fp32", seed=1):
        return self.store.run_dir(self.spec(phase, method, composition, precision, seed).id) / "artifact"

    def recorded_logits(self, run_id):
        table = pq.read_table(self.store.run_dir(run_id) / "predictions.parquet")
        assert set(table["language"].to_pylist()) == {"en"}
        return np.array(table["logits"].to_pylist(), dtype=np.float32)

    def rebuilt_logits(self, spec):
        """Logits on the validation split, from the artifacts of the cell's own seed, without a session."""
        folders = {
            "intermediate": self.artifact("intermediate", spec.method, "none", spec.precision, spec.seed),
            "target": self.artifact("target", spec.method, spec.composition, spec.precision, spec.seed),
        }
        evaluation = validation_run(spec)
        is_half = spec.precision == "bf16" and spec.method != "full"
        backbone, task = BACKBONES[spec.backbone], TASKS[spec.task]
        tokenizer = load_tokenizer(backbone)
        body = load_body(
            backbone,
            dtype=torch.bfloat16 if is_half else torch.float32,
            device=torch.device("cpu"),
            vocab_size=len(tokenizer),
            trained_dir=body_source(evaluation, folders.__getitem__),
        )
        model, assembly = with_flexible_heads(body), evaluation_assembly(evaluation, folders.__getitem__)
        assemble(model, assembly)
        encoded = encode(load_examples(task, "validation", "en"), task.format, tokenizer, spec.training.max_length)
        runtime = Runtime(make_accelerator("cpu", spec.precision), pad_id=tokenizer.pad_token_id)
        return predict(model, assembly.head, encoded, runtime).reshape(len(encoded), -1)


def validation_run(spec):
    """The run that evaluates a target run on the split whose predictions its training has recorded."""
    return evaluation_of(spec, [ref for ref in spec.data if ref.split == "validation"])


def tensors(path: Path):
    """Saved tensors, without the name of the adapter or head in their keys."""
    return {key.replace("micro-copa", "*").replace("next-event", "*"): value for key, value in load_file(path).items()}


def saved_adapter(artifact: Path, name: str):
    return tensors(adapter_dir(artifact, name) / "adapter.safetensors")


def saved_head(artifact: Path, task: str):
    return tensors(head_dir(artifact, task) / "model_head.safetensors")


def saved_body(artifact: Path):
    return tensors(body_dir(artifact) / "model.safetensors")


def distance(one, other):
    """The largest difference between two sets of tensors of the same names."""
    assert one.keys() == other.keys()
    return max(float((one[key] - other[key]).abs().max()) for key in one)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store.open(tmp_path_factory.mktemp("compositions") / "store")


@pytest.fixture(scope="module")
def dtypes_seen():
    """(precision, method, phase) → dtypes of the bodies that sessions handed to that phase."""
    return {}


@pytest.fixture(scope="module")
def trained(store, dtypes_seen):
    """Every cell trained, then evaluated by a second session on the split that the trainings validated on."""
    train, evaluate = session.run_training_phase, session.run_evaluation_phase

    def note(model, method, runtime, phase):
        dtypes = {parameter.dtype for parameter in model.base_model.parameters()}
        dtypes_seen.setdefault((runtime.accelerator.mixed_precision, method, phase), set()).update(dtypes)

    def noted_training(phase):
        note(phase.model, phase.assembly.method.name, phase.runtime, "training")
        return train(phase)

    def noted_evaluation(model, assembly, languages, runtime, *arguments, **named):
        note(model, assembly.method.name, runtime, "evaluation")
        return evaluate(model, assembly, languages, runtime, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "run_training_phase", noted_training)
        patch.setattr(session, "run_evaluation_phase", noted_evaluation)
        cells = Trained(store)
        evaluations = [validation_run(spec) for spec in cells.specs if spec.phase == "target"]
        again = Plan("again", tuple(PlannedRun(spec, "todo") for spec in evaluations), ())
        assert len(execute(again, store, MACHINE).done) == 2 * len(ALL_CELLS)
    return cells


@pytest.fixture(scope="module")
def standing(store, trained):
    """The same cells of two seeds at a standstill, heads carried; the intermediates of seed 1 are the ones above."""
    return Trained(store, *STANDSTILL, "seeds=[1, 2]")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("method", "composition"), ALL_CELLS)
def test_what_is_evaluated_is_what_was_trained(trained, method, composition, precision):
    spec = trained.spec("target", method, composition, precision)
    recorded = trained.recorded_logits(spec.id)
    assert recorded.shape == (200, 2)
    assert recorded.std() > 1e-3  # not equal because nothing was learned
    np.testing.assert_array_equal(trained.recorded_logits(validation_run(spec).id), recorded)
    np.testing.assert_array_equal(trained.rebuilt_logits(spec), recorded)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_only_stack_leaves_the_lower_adapter_to_the_intermediate(trained, precision):
    lower = saved_adapter(trained.artifact("intermediate", "seq_bn", precision=precision), "next-event")
    moved = trained.artifact("target", "seq_bn", "stack-tuned", precision)
    assert distance(saved_adapter(moved, "next-event"), lower) > 1e-3
    for composition in ("stack", "sequential"):
        artifact = trained.artifact("target", "seq_bn", composition, precision)
        assert [folder.name for folder in (artifact / "adapters").iterdir()] == ["micro-copa"]


def test_sessions_load_the_body_in_the_precision_that_the_method_needs(trained, dtypes_seen):
    for phase in ("training", "evaluation"):
        for method in ("full", "seq_bn"):
            assert dtypes_seen["no", method, phase] == {torch.float32}
        # Full fine-tuning keeps fp32 master weights; frozen weights lie as they compute.
        assert dtypes_seen["bf16", "full", phase] == {torch.float32}
        assert dtypes_seen["bf16", "seq_bn", phase] == {torch.bfloat16}


@pytest.mark.parametrize(("method", "composition"), ALL_CELLS)
def test_what_trains_is_saved_in_fp32(trained, method, composition):
    artifact = trained.artifact("target", method, composition, "bf16")
    files = list(artifact.rglob("*.safetensors"))
    assert len(files) == {"stack-tuned": 3}.get(composition, 2)
    assert {tensor.dtype for path in files for tensor in load_file(path).values()} == {torch.float32}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("method", "composition"), ALL_CELLS)
def test_a_target_starts_from_the_intermediate_of_its_own_seed(standing, method, composition, seed):
    lower = standing.artifact("intermediate", method, seed=seed)
    other = standing.artifact("intermediate", method, seed=3 - seed)
    start = standing.artifact("target", method, composition, seed=seed)
    pieces = [(saved_head(start, "micro-copa"), saved_head(lower, "next-event"), saved_head(other, "next-event"))]
    if method == "full":
        pieces.append((saved_body(start), saved_body(lower), saved_body(other)))
    elif composition != "stack":
        adapter = saved_adapter(start, "next-event" if composition == "stack-tuned" else "micro-copa")
        pieces.append((adapter, saved_adapter(lower, "next-event"), saved_adapter(other, "next-event")))
    for piece, own, others in pieces:
        assert distance(piece, own) < 1e-9
        assert distance(piece, others) > 1e-3
    # A frozen lower adapter is not saved with the target: the logits tell whose it was.
    spec = standing.spec("target", method, composition, seed=seed)
    np.testing.assert_array_equal(standing.rebuilt_logits(spec), standing.recorded_logits(spec.id))


def test_a_fresh_head_is_not_the_intermediates(store, standing):
    fresh = Trained(store, *STANDSTILL, "head=fresh", "compositions=[sequential]")
    heads = {}
    for method in ("full", "seq_bn"):
        heads[method] = saved_head(fresh.artifact("target", method, "sequential"), "micro-copa")
        assert distance(heads[method], saved_head(fresh.artifact("intermediate", method), "next-event")) > 1e-3
    assert distance(heads["full"], heads["seq_bn"]) < 1e-9
