"""Several tasks trained together, one body or adapter with a head each: records, artifacts, going on where it was."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import RunFailedError
from adapter_transfer.methods.attach import (
    AdapterPart,
    Assembly,
    adapter_dir,
    assemble,
    body_dir,
    trained_parameters,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.encoding import encode, take
from adapter_transfer.tasks.formats import Cutting, EncodedExamples, Example, Format
from adapter_transfer.tasks.span_format import SpanExtraction
from adapter_transfer.tasks.tagging_format import Tagging
from adapter_transfer.tasks.task import load_examples
from adapter_transfer.training import loop
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.history import read_history
from adapter_transfer.training.loop import FitInputs, FitTask
from adapter_transfer.training.phases import PhasePaths, TrainingPhase, run_training_phase
from adapter_transfer.training.runtime import Runtime, make_accelerator
from adapter_transfer.training.settings import TrainingSettings

CPU = torch.device("cpu")
NANO = BACKBONES["nano"]
MIXTURE = "next-event+event-nli+spans+tags"
SETTINGS = {"learning_rate": 1e-3, "batch_size": 4, "epochs": 2, "sampling": "uniform", "validate_every": 8}


class Cut(Exception):
    """Stands for a kill."""


def word_tasks(split: str) -> dict[str, tuple[Format, list[Example]]]:
    """A span and a tagging task of the sandbox's text: find the asked word; tell words by their length."""
    found = load_examples(TASKS["micro-copa"], split, "en").examples[:24]
    spans, tagged = [], []
    for number, example in enumerate(found):
        context = " ".join(text for row in example.rows for text in row if text is not None)
        words = context.split()
        word = words[number % len(words)]
        spans.append(Example(example.id, ((word, context),), ((word, context.index(word)),)))
        tags = tuple("long" if len(each) > 4 else "short" for each in words)
        tagged.append(Example(example.id, ((" ".join(words), None),), tags))
    return {"spans": (SpanExtraction(), spans), "tags": (Tagging(("long", "short")), tagged)}


@pytest.fixture(scope="module")
def tasks() -> tuple[FitTask, ...]:
    """A task of each format, of different sizes."""
    tokenizer = load_tokenizer(NANO)
    sizes = {"next-event": 12, "event-nli": 24, "spans": 16, "tags": 8}

    def of(name: str, split: str) -> EncodedExamples:
        if name in TASKS:
            return encode(load_examples(TASKS[name], split, "en"), TASKS[name].format, tokenizer, 64)
        format, examples = word_tasks(split)[name]
        return format.encode(examples, "en", tokenizer, Cutting(32, 8))

    return tuple(
        FitTask(name, take(of(name, "train"), size), take(of(name, "validation"), 6)) for name, size in sizes.items()
    )


@dataclass
class Mixture:
    """A model with a head for each task, and what trains it."""

    model: Any
    assembly: Assembly
    runtime: Runtime


def mixture(method: str, tasks: tuple[FitTask, ...], *, dropout: float = 0.1, checkpoint_steps: int = 3) -> Mixture:
    is_full = METHODS[method].kind == "full"
    body = load_body(NANO, trains=is_full, device=CPU, vocab_size=len(load_tokenizer(NANO)), dropout=dropout)
    heads = [(task.name, task.train.format) for task in tasks]
    settings = METHODS[method].parse_settings({} if is_full else {"reduction_factor": 4}).model_dump()
    assembly = Assembly(
        METHODS[method],
        settings,
        *heads[0],
        init_seed=5,
        more_heads=tuple(heads[1:]),
        adapters=() if is_full else (AdapterPart(MIXTURE, trains=True),),
        trains_body=is_full,
    )
    runtime = Runtime(make_accelerator("cpu", "fp32"), token_budget=400, checkpoint_steps=checkpoint_steps, pad_id=1)
    return Mixture(with_flexible_heads(body), assembly, runtime)


def fit_inputs(made: Mixture, tasks: tuple[FitTask, ...], folder: Path, **changes: Any) -> FitInputs:
    folder.mkdir(exist_ok=True)
    return FitInputs(
        model=made.model,
        tasks=tasks,
        settings=TrainingSettings(**SETTINGS | changes),
        seed=1,
        purpose=f"intermediate/{MIXTURE}",
        runtime=made.runtime,
        progress_dir=folder / "progress",
        history_path=folder / "history.jsonl",
        parameters=trained_parameters(made.model),
    )


def state(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize(("method", "at_step"), [("full", 3), ("full", 7), ("seq_bn", 10), ("seq_bn", 17)])
def test_a_resumed_mixture_goes_on_with_the_same_steps_to_the_same_weights(
    tasks, tmp_path, monkeypatch, method, at_step
):
    real = loop._cuts_of_step

    def trained(folder: str, stop_at: int | None, steps: list[tuple[str, list[int]]]) -> dict[str, torch.Tensor]:
        made = mixture(method, tasks)
        assemble(made.model, made.assembly)

        def recording(task, examples, inputs):
            if len(steps) == stop_at:
                raise Cut
            steps.append((task.name, examples.tolist()))
            return real(task, examples, inputs)

        monkeypatch.setattr(loop, "_cuts_of_step", recording)
        inputs = fit_inputs(made, tasks, tmp_path / folder)
        if stop_at is None:
            assert loop.fit(inputs).step == inputs.draws.num_steps
        else:
            with pytest.raises(Cut):
                loop.fit(inputs)
        return state(made.model)

    whole, first, second = [], [], []
    expected = trained("straight", None, whole)
    trained("cut", at_step, first)
    found = trained("cut", None, second)
    assert len(whole) == 30
    assert {name for name, _ in whole} == {task.name for task in tasks}
    assert len({name for name, _ in whole[:3]}) == 3  # one head has no moments yet where the first goes on
    assert first == whole[:at_step]
    assert second == whole[at_step // 3 * 3 :]
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name

    def records(folder: str) -> list[dict[str, Any]]:
        found = read_history(tmp_path / folder / "history.jsonl")
        return [{key: value for key, value in record.items() if key != "seconds"} for record in found]

    assert records("cut") == records("straight")


def test_only_a_steps_own_head_moves(tasks, tmp_path):
    made = mixture("seq_bn", tasks, dropout=0.0)
    assemble(made.model, made.assembly)
    before = state(made.model)
    inputs = fit_inputs(made, tasks, tmp_path, max_steps=1, select="last", warmup_share=0, schedule="constant")
    loop.fit(inputs)
    moved = {name for name, value in made.model.named_parameters() if not torch.equal(value, before[name])}
    drawn = tasks[inputs.draws.tasks[0]].name
    assert {name.split(".")[1] for name in moved if name.startswith("heads.")} == {drawn}
    assert any(MIXTURE in name for name in moved)
    assert all(name.startswith("heads.") or MIXTURE in name for name in moved)


def test_a_mixture_whose_answers_are_no_longer_numbers_has_failed(tasks, tmp_path, monkeypatch):
    # Infinity less infinity: the search of SQuAD's threshold has an error of its own for that.
    spans = replace(tasks[2].validation, format=SpanExtraction(has_unanswerable=True))
    made = mixture("seq_bn", tasks, dropout=0.0)
    assemble(made.model, made.assembly)
    inputs = fit_inputs(made, (*tasks[:2], replace(tasks[2], validation=spans), tasks[3]), tmp_path, max_steps=1)

    def diverged(model: Any, head: str, encoded: EncodedExamples, runtime: Runtime) -> np.ndarray:
        found = predict(model, head, encoded, runtime)
        return np.full_like(found, np.inf) if head == "spans" else found

    monkeypatch.setattr(loop, "predict", diverged)
    with pytest.raises(RunFailedError, match="validation items of 'spans' are no longer numbers"):
        loop.fit(inputs)


@pytest.fixture(scope="module", params=["seq_bn", "full"])
def phase(request, tasks, tmp_path_factory):
    """A mixture trained from end to end: its metrics, folder, phase and the numbers of its last weights."""
    folder = tmp_path_factory.mktemp("mixture")
    made = mixture(request.param, tasks, dropout=0.0)
    whole = TrainingPhase(
        model=made.model,
        assembly=made.assembly,
        counts=NANO.parameters(),
        tasks=tasks,
        settings=TrainingSettings(**SETTINGS | {"epochs": 8, "learning_rate": 3e-3}),
        seed=1,
        purpose=f"intermediate/{MIXTURE}",
        runtime=made.runtime,
        paths=PhasePaths(folder / "artifact", folder / "progress", folder / "history.jsonl", folder / "said.parquet"),
    )
    return run_training_phase(whole), folder, request.param


def test_metrics_tell_each_task(phase, tasks):
    metrics, _, _ = phase
    json.dumps(metrics, allow_nan=False)
    assert set(metrics["tasks"]) == set(metrics["validations"]) == {task.name for task in tasks}
    assert sum(each["num_steps"] for each in metrics["tasks"].values()) == metrics["num_steps"] == 120
    assert sum(each["num_train_examples"] for each in metrics["tasks"].values()) == metrics["num_train_examples"] == 60
    for task in tasks:
        told, validation = metrics["tasks"][task.name], metrics["validations"][task.name]
        assert told["num_train_examples"] == len(task.train)
        assert told["share"] == 0.25
        assert told["chance"] == task.train.format.chance
        assert told["train_loss_last"] < told["train_loss_first"], task.name
        assert validation["metric"] == task.train.format.metric
        assert validation["num_items"] == len(task.validation) == 6
        assert np.isfinite(validation["loss"])
    means = [each[each["metric"]] for each in metrics["validations"].values()]
    assert metrics["validation_score"] == pytest.approx(np.mean(means))
    assert metrics["validation_loss"] == pytest.approx(
        np.mean([each["loss"] for each in metrics["validations"].values()])
    )
    assert metrics["validation_metric"] == "mean"
    assert metrics["num_validation"] == 24
    assert metrics["chance"] is None


def test_the_history_tells_each_task(phase, tasks):
    metrics, folder, _ = phase
    history = read_history(folder / "history.jsonl")
    names = {task.name for task in tasks}
    trainings = [record for record in history if "loss" in record]
    validations = [record for record in history if "validation_loss" in record]
    assert {name for record in trainings for name in record["losses"]} == names
    for record in trainings:
        assert min(record["losses"].values()) <= record["loss"] <= max(record["losses"].values())
    assert [record["step"] for record in validations] == list(range(8, 121, 8))
    assert all(set(record["validations"]) == names for record in validations)
    best = max(validations, key=lambda record: (record["validation_score"], -record["validation_loss"]))
    assert metrics["best_step"] == best["step"]
    assert metrics["validations"] == best["validations"]


def test_predictions_lie_in_a_file_a_task(phase, tasks):
    _, folder, _ = phase
    for task in tasks:
        table = pq.read_table(folder / f"said-{task.name}.parquet")
        assert table.column("idx").to_pylist() == list(task.validation.ids)


def test_what_it_saves_loads_with_the_libraries_alone(phase, tasks):
    from adapters import AutoAdapterModel

    metrics, folder, method = phase
    artifact = folder / "artifact"
    if method == "full":
        model = AutoAdapterModel.from_pretrained(body_dir(artifact))
    else:
        model = with_flexible_heads(load_body(NANO, device=CPU, vocab_size=len(load_tokenizer(NANO)), dropout=0.0))
        name = model.load_adapter(str(adapter_dir(artifact, MIXTURE)), use_safetensors=True)
        assert name == MIXTURE
        model.set_active_adapters(MIXTURE)
    assert sorted(each.name for each in (artifact / "heads").iterdir()) == sorted(task.name for task in tasks)
    runtime = Runtime(make_accelerator("cpu", "fp32"), pad_id=1)
    for task in tasks:
        _, name = model.load_head(str(artifact / "heads" / task.name), use_safetensors=True)
        assert name == task.name
        score = task.validation.format.score(task.validation, predict(model, name, task.validation, runtime))
        told = metrics["validations"][task.name]
        assert score.value == pytest.approx(told[told["metric"]])
        assert score.loss == pytest.approx(told["loss"], rel=1e-4)


def test_a_head_starts_alike_whatever_it_is_mixed_with(tasks):
    def heads(some: tuple[FitTask, ...]) -> dict[str, dict[str, torch.Tensor]]:
        made = mixture("full", some)
        assemble(made.model, made.assembly)
        return {task.name: dict(made.model.heads[task.name].state_dict()) for task in some}

    all_four, two = heads(tasks), heads((tasks[3], tasks[1]))
    for name, values in two.items():
        assert all(torch.equal(value, all_four[name][key]) for key, value in values.items())
    shapes = [value.shape for value in all_four["event-nli"].values()]
    assert any(len(shape) == 2 for shape in shapes)
