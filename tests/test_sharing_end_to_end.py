"""Sharing from end to end, with nothing in the place of anything: train, push, pull, predict, and go on from it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from adapters import AutoAdapterModel
from adapters.composition import Fuse, Stack
from loopback_hub import LoopbackHub
from transformers import AutoTokenizer

from adapter_transfer.config import apply_overrides, dump_yaml, parse, read_text
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import Plan, make_plan
from adapter_transfer.experiments.predictions import read_answers
from adapter_transfer.experiments.pulling import pull_into
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store
from adapter_transfer.prediction.loading import load
from adapter_transfer.prediction.predictor import Predictor
from adapter_transfer.prediction.questions import Question, question_from_fields
from adapter_transfer.publishing.bundle import choose_bundle
from adapter_transfer.publishing.contents import write_package
from adapter_transfer.publishing.repackaging import repackage
from adapter_transfer.sandbox import sandbox_dir
from adapter_transfer.sharing.hub import upload
from adapter_transfer.sharing.inspection import inspect_package

pytestmark = pytest.mark.slow

MACHINE = MachineSettings(device="cpu", threads=1)
BRANCH = "trial"
CHOICES = {
    "seq_bn": "{name: seq_bn, settings: {reduction_factor: 4}}",
    "double_seq_bn": "{name: double_seq_bn, settings: {reduction_factor: 8}}",
    "lora": "{name: lora, settings: {r: 4}}",
    "prefix": "{name: prefix, settings: {prefix_length: 4, bottleneck_size: 16}}",
    "ia3": "ia3",
}
GRID = f"""
name: grid
backbones: [nano]
methods: [{", ".join(CHOICES.values())}]
intermediates: [next-event]
compositions: [stack, stack-tuned, sequential, sum]
target: micro-copa
languages: [en, qa]
seeds: [1, 2]
training:
  - {{learning_rate: 3e-3, batch_size: 8, epochs: 1, max_length: 48, max_train_examples: 16}}
"""


def grid(*overrides: str) -> Experiment:
    return parse(Experiment, apply_overrides(read_text(GRID, "grid.yaml"), overrides))


def run(experiment: Experiment, folder: Path) -> tuple[Store, Plan]:
    store = Store.open(folder)
    plan = make_plan(experiment, store, Sources(pull=partial(pull_into, store.root)))
    outcome = execute(plan, store, MACHINE)
    assert not outcome.failed and not outcome.skipped, outcome.failed
    return store, plan


def specs(plan: Plan, phase: str) -> list[RunSpec]:
    return [planned.spec for planned in plan.runs if planned.spec.phase == phase]


def tables(store: Store, plan: Plan) -> dict[tuple[Any, ...], pa.Table]:
    """Cell and seed → everything that was predicted, the logits with it."""
    return {
        (spec.backbone, spec.precision, spec.method, spec.composition, spec.seed): pq.read_table(
            store.run_dir(spec.id) / "predictions.parquet"
        )
        for spec in specs(plan, "evaluation")
    }


def push(store: Store, run_id: str, repo: str, folder: Path, *, all_seeds: bool = True) -> str:
    bundle = choose_bundle(store, [run_id], all_seeds=all_seeds)
    write_package(store, bundle, folder, repo=repo)
    inspect_package(folder)
    return upload(folder, repo, message="A trial", branch=BRANCH).commit


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Plan]:
    return run(grid(), tmp_path_factory.mktemp("trained") / "store")


@pytest.fixture
def hub(loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LoopbackHub:
    loopback_hub.use(monkeypatch, tmp_path / "home")
    return loopback_hub


def furthest(predictor: Predictor, store: Store, evaluation: str, root: Path) -> float:
    """The largest difference of a probability from what the run's evaluation wrote down."""
    found = 0.0
    for language, answers in read_answers(store, evaluation, with_logits=True).items():
        path = root / "adapter_transfer" / "sandbox" / "data" / "micro-copa" / language / "test.jsonl"
        questions = [question_from_fields(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
        assert tuple(question.id for question in questions) == answers.items
        predicted = predictor.predict(questions)
        # An encoder that knows none of the words sees two choices as one: then rounding chooses.
        is_clear = np.abs(answers.logits[:, 0] - answers.logits[:, 1]) > 1e-5
        chosen = np.array([each.choice for each in predicted])
        assert (chosen == answers.predictions)[is_clear].all()
        exponents = np.exp(answers.logits.astype(np.float64))
        expected = exponents / exponents.sum(axis=1, keepdims=True)
        found = max(found, float(np.abs(np.array([each.probabilities for each in predicted]) - expected).max()))
    return found


def test_every_composition_answers_as_its_run_once_it_was_pushed_and_pulled(trained, hub, root, tmp_path):
    store, plan = trained
    evaluations = {spec.parents["target"]: spec.id for spec in specs(plan, "evaluation")}
    cells: dict[tuple[str, str], list[RunSpec]] = {}
    for spec in specs(plan, "target"):
        cells.setdefault((spec.method, spec.composition), []).append(spec)
    assert len(cells) == 14
    for (method, composition), seeds in cells.items():
        repo = f"org/{method}-{composition}"
        push(store, seeds[0].id, repo, tmp_path / f"{method}-{composition}")
        for spec in seeds:
            predictor = load(f"hub:{repo}@{BRANCH}", store=tmp_path / "theirs", seed=spec.seed, device="cpu")
            assert (predictor.method, predictor.identity.composition, predictor.seed) == (
                method,
                composition,
                spec.seed,
            )
            assert furthest(predictor, store, evaluations[spec.id], root) <= 1e-6, (method, composition, spec.seed)
        hub.requests.clear()


def adopting(name: str, method: str, *overrides: str) -> Experiment:
    """The grid's cells of one method, on a pulled intermediate."""
    return grid(f"intermediates=['{name}']", f"methods=[{CHOICES[method]}]", *overrides)


def lower_run(store: Store, plan: Plan, method: str) -> str:
    return next(spec.id for spec in specs(plan, "intermediate") if spec.method == method)


@pytest.mark.parametrize("method", CHOICES)
def test_a_pulled_intermediate_gives_the_bits_of_the_trained_one(trained, hub, tmp_path, method):
    store, plan = trained
    commit = push(store, lower_run(store, plan, method), f"org/{method}", tmp_path / "package")
    theirs, adopted = run(adopting(f"hub:org/{method}@{BRANCH}", method), tmp_path / "theirs")
    assert [(spec.seed, spec.adopted.seed, spec.adopted.commit) for spec in specs(adopted, "intermediate")] == [
        (1, 1, commit),
        (2, 2, commit),
    ]
    expected = {key: table for key, table in tables(store, plan).items() if key[2] == method}
    found = tables(theirs, adopted)
    assert found.keys() == expected.keys() and len(found) == 2 * len({key[3] for key in found})
    for key, table in expected.items():
        assert found[key].equals(table), key


@pytest.mark.parametrize(
    "overrides",
    [("trim_vocabulary=true",), ("trim_vocabulary=false",), ("precisions=[bf16, nf4]",)],
    ids=["trimmed", "whole", "bf16 and nf4"],
)
@pytest.mark.parametrize("method", ["seq_bn", "lora"])
def test_it_does_whatever_the_body_is_in_memory(hub, tmp_path, method, overrides):
    """Each precision has an intermediate of its own, and a trimmed table is exact."""
    overrides += ("compositions=[stack, sum]", "seeds=[1]")
    store, plan = run(adopting("next-event", method, *overrides), tmp_path / "ours")
    expected = tables(store, plan)
    for spec in specs(plan, "intermediate"):
        repo = f"org/{spec.precision}"
        push(store, spec.id, repo, tmp_path / spec.precision)
        own = [each for each in overrides if not each.startswith("precisions")] + [f"precisions=[{spec.precision}]"]
        theirs, adopted = run(adopting(f"hub:{repo}@{BRANCH}", method, *own), tmp_path / f"theirs-{spec.precision}")
        for key, table in tables(theirs, adopted).items():
            assert expected.pop(key).equals(table), key
    assert not expected


def test_a_fusion_with_an_adapter_on_top_answers_as_the_library_does(hub, tmp_path):
    """`save_adapter_setup` of plain adapters, pushed, pulled and asked."""
    model, tokenizer = library_model()
    for name in "abt":
        model.add_adapter(name, config="seq_bn")
    model.add_adapter_fusion(Fuse("a", "b"))
    model.add_multiple_choice_head("t", num_choices=2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("adapter", "heads.")):
                parameter.add_(torch.randn_like(parameter) * 0.05)
    setup = Stack(Fuse("a", "b"), "t")
    model.save_adapter_setup(str(tmp_path / "plain"), setup, head_setup="t", use_safetensors=True)
    inspect_package(tmp_path / "plain")
    repackage(tmp_path / "plain", tmp_path / "package", backbone="nano", task="micro-copa", repo="org/fused")
    inspect_package(tmp_path / "package")
    upload(tmp_path / "package", "org/fused", message="A trial", branch=BRANCH)
    predictor = load(f"hub:org/fused@{BRANCH}", store=tmp_path / "theirs", device="cpu")
    choices = ("tabi molo.", "molo tabi ren.")
    model.set_active_adapters(setup)
    model.active_head = "t"
    model.eval()
    found, expected = [], []
    for premise, question, words in (
        ("ren molo tabi.", "cause", "What was the cause?"),
        ("tabi ren.", "effect", "What happened as a result?"),
    ):
        rows = tokenizer([f"{premise} {words}"] * 2, list(choices), padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**{name: tensor[None] for name, tensor in rows.items()}).logits[0].double()
        expected += logits.softmax(-1).tolist()
        (answer,) = predictor.predict([Question(premise, question, choices)])
        found += answer.probabilities
    assert np.abs(np.array(found) - np.array(expected)).max() <= 1e-6
    assert max(abs(each - 0.5) for each in expected) > 1e-3


def library_model() -> tuple[Any, Any]:
    folder = sandbox_dir() / "checkpoints"
    tokenizer = AutoTokenizer.from_pretrained(str(folder / "tokenizer"))
    torch.manual_seed(5)
    return AutoAdapterModel.from_pretrained(str(folder / "nano")), tokenizer


def steps_done(store: Path) -> int:
    """Of the training that is furthest, those that would not be done again."""
    return max((int(path.name.removeprefix("step-")) for path in store.glob("runs/*/progress/step-*")), default=0)


def test_what_was_cut_goes_on_to_the_same_bits(hub, tmp_path):
    """A target on a pulled adapter is killed in its training, and the same command goes on."""
    longer = ("seeds=[1]", "compositions=[stack]", "training.0.max_train_examples=400", "training.0.epochs=3")
    store, plan = run(adopting("next-event", "seq_bn", *longer), tmp_path / "ours")
    push(store, specs(plan, "intermediate")[0].id, "org/event", tmp_path / "package")
    config = tmp_path / "theirs.yaml"
    config.write_text(dump_yaml(adopting(f"hub:org/event@{BRANCH}", "seq_bn", *longer)))
    theirs = tmp_path / "theirs"
    command = [sys.executable, "-m", "adapter_transfer_cli.main", "compare", str(config), "--store", str(theirs)]
    command += ["--device", "cpu", "--threads", "1", "--checkpoint-steps", "2", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        until = time.monotonic() + 240
        while process.poll() is None and not steps_done(theirs) > 2 and time.monotonic() < until:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and steps_done(theirs) > 2
    assert subprocess.run(command, stdout=subprocess.DEVNULL, timeout=240).returncode == 0
    opened = Store.open(theirs, create=False)
    adopted = make_plan(
        adopting(f"hub:org/event@{BRANCH}", "seq_bn", *longer), opened, Sources(pull=partial(pull_into, theirs))
    )
    assert tables(opened, adopted) == tables(store, plan)


@pytest.mark.parametrize(("kind", "method"), [("xlm-roberta-xl", "seq_bn"), ("bert", "lora")])
def test_an_encoder_in_a_folder_is_named_and_not_told_where_it_lies(hub, encoder, root, tmp_path, kind, method):
    folder = encoder(kind)
    here = (f"backbones=[{folder}]", "seeds=[1]", "compositions=[stack, sum]", "training.0.max_length=32")
    store, plan = run(adopting("next-event", method, *here), tmp_path / "ours")
    ((target,), (evaluation,)) = specs(plan, "target"), specs(plan, "evaluation")
    push(store, target.id, "org/target", tmp_path / "target", all_seeds=False)
    push(store, lower_run(store, plan, method), "org/lower", tmp_path / "lower", all_seeds=False)
    sent = [blob.content for _, blob in hub.store.blobs()]
    assert sent and not any(str(part).encode() in content for part in (folder.parent, tmp_path) for content in sent)
    with pytest.raises(ConfigError, match="name your copy of it with --backbone"):
        load(f"hub:org/target@{BRANCH}", store=tmp_path / "theirs", device="cpu")
    predictor = load(f"hub:org/target@{BRANCH}", store=tmp_path / "theirs", backbone=str(folder), device="cpu")
    assert furthest(predictor, store, evaluation.id, root) <= 1e-6
    theirs, adopted = run(adopting(f"hub:org/lower@{BRANCH}", method, *here), tmp_path / "theirs")
    assert tables(theirs, adopted) == tables(store, plan)
