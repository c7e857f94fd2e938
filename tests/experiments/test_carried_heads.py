"""A head that goes on from 3, 4 or 5 choices to 2 has the same numbers; a fresh one has not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.experiments.assemblies import body_source, training_assembly
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.store import Store
from adapter_transfer.methods.attach import Assembly, assemble, head_dir, save_artifact, with_flexible_heads
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.formats import Cutting
from adapter_transfer.tasks.task import load_examples
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.runtime import Runtime, make_accelerator

MACHINE = MachineSettings(device="cpu", threads=1)
CPU = torch.device("cpu")


def head_of(model, name):
    return {key: value.detach().clone() for key, value in model.heads[name].state_dict().items()}


def saved_head(folder):
    """A saved head without its name in the keys."""
    (path,) = folder.glob("*head*.safetensors")
    found = load_file(path)
    return {key.removeprefix(f"heads.{key.split('.')[1]}."): value for key, value in found.items()}


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("method", ["full", "seq_bn"])
def test_four_choices_go_on_as_two(small, tmp_path, method):
    """Through real runs: what a target training starts from, by the choice of head."""
    store, starts = Store.open(tmp_path / "store"), {}
    for head in ("carry", "fresh"):
        experiment = small("intermediates=[next-event]", f"head={head}", f"methods=[{method}]", "languages=[en]")
        plan = make_plan(experiment, store)
        assert not execute(plan, store, MACHINE).failed
        spec = next(run.spec for run in plan.runs if run.spec.phase == "target" and run.spec.method == method)
        assert spec.head == head

        def artifact(role, spec=spec):
            return store.run_dir(spec.parents[role]) / "artifact"

        trained = saved_head(head_dir(artifact("intermediate"), "next-event"))
        body = load_body(
            BACKBONES["nano"],
            device=CPU,
            vocab_size=len(load_tokenizer(BACKBONES["nano"])),
            trained_dir=body_source(spec, artifact),
            dtype=torch.float32,
        )
        model = with_flexible_heads(body)
        assemble(model, training_assembly(spec, artifact))
        starts[head] = head_of(model, "micro-copa")
        assert same(starts[head], trained) == (head == "carry")
    assert not same(starts["carry"], starts["fresh"])


@pytest.mark.parametrize("num_choices", [3, 4, 5])
def test_a_carried_head_gives_the_same_numbers(tmp_path, num_choices):
    """Row by row: the head does not know of how many choices a row is one."""
    nano = BACKBONES["nano"]
    tokenizer = load_tokenizer(nano)
    examples = load_examples(TASKS["micro-copa"], "test", "en").examples[:60]
    rows = [row for example in examples for row in example.rows]

    def cut(number):
        made = [
            replace(examples[0], id=str(n), rows=tuple(rows[n * number : (n + 1) * number]), label=0)
            for n in range(60 // number)
        ]
        return MultipleChoice(number).encode(made, "en", tokenizer, Cutting(96))

    model = with_flexible_heads(load_body(nano, device=CPU, vocab_size=len(tokenizer), dtype=torch.float32))
    runtime = Runtime(make_accelerator("cpu", "fp32"), pad_id=1)
    lower = Assembly(METHODS["full"], {}, "lower", MultipleChoice(num_choices), init_seed=1, trains_body=True)
    assemble(model, lower)
    expected = predict(model, "lower", cut(num_choices), runtime)
    save_artifact(model, lower, tmp_path / "artifact")
    saved = head_dir(tmp_path / "artifact", "lower")
    for name, source in (("carried", saved), ("fresh", None)):
        target = Assembly(METHODS["full"], {}, name, MultipleChoice(2), init_seed=2, head_source=source)
        assemble(model, target)
        numbers = predict(model, name, cut(2), runtime)
        assert numbers.shape == expected.shape == (60, 1)
        assert np.array_equal(numbers, expected) == (name == "carried")
