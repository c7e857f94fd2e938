"""What starts anew starts from the same numbers in every cell of a seed: cells are compared, not their luck."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

import pytest
import torch

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.config import parse, read_text
from adapter_transfer.experiments.assemblies import training_assembly
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.methods.attach import (
    AdapterPart,
    adapter_weights,
    assemble,
    disassemble,
    save_artifact,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS

GRID = """
name: cells
backbones: [nano]
methods: [full, {name: seq_bn, settings: {reduction_factor: 4}}]
intermediates: [none, next-event]
compositions: [stack, stack-tuned, sequential]
target: micro-copa
languages: [en]
seeds: [1, 2]
training:
  - {learning_rate: 1e-3}
"""
FULL_CELLS = ["full/none", "full/sequential"]
NEW_ADAPTER_CELLS = ["seq_bn/none", "seq_bn/stack", "seq_bn/stack-tuned"]
CELLS = [*FULL_CELLS, *NEW_ADAPTER_CELLS, "seq_bn/sequential"]


def new_model():
    backbone = BACKBONES["nano"]
    size = len(load_tokenizer(backbone))
    body = load_body(backbone, dtype=torch.float32, device=torch.device("cpu"), vocab_size=size)
    return with_flexible_heads(body)


def copies(parameters):
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def starts(tmp_path_factory):
    """(seed, cell) → what its training starts from: its head and each of its adapters."""
    models = {"full": new_model(), "seq_bn": new_model()}
    folder = tmp_path_factory.mktemp("intermediates")
    found = {}
    specs = [
        run.spec
        for run in make_plan(parse(Experiment, read_text(GRID, "cells.yaml"))).runs
        if run.spec.phase != "evaluation"
    ]
    for spec in specs:  # intermediates stand before targets
        assembly = training_assembly(spec, lambda role, spec=spec: folder / spec.parents[role])
        model = models[spec.method]
        torch.manual_seed(len(found))  # whatever was drawn before
        assemble(model, assembly)
        name = f"{spec.method}/{spec.composition}" if spec.phase == "target" else f"{spec.method}/intermediate"
        pieces = {"head": dict(model.heads[assembly.head].named_parameters())}
        pieces |= {part.name: adapter_weights(model, part.name) for part in assembly.adapters}
        found[spec.seed, name] = {piece: copies(parameters) for piece, parameters in pieces.items()}
        if spec.phase == "intermediate":
            with torch.no_grad():  # as training would: what goes on from it is not what starts anew
                for parameter in chain.from_iterable(parameters.values() for parameters in pieces.values()):
                    parameter.add_(spec.seed)
            save_artifact(model, assembly, folder / spec.id)
        disassemble(model, assembly)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_the_head_is_the_same_in_every_cell_of_a_seed(starts, seed):
    for cell in CELLS[1:]:
        assert equal(starts[seed, cell]["head"], starts[seed, CELLS[0]]["head"]), cell


@pytest.mark.parametrize("seed", [1, 2])
def test_a_new_target_adapter_is_the_same_in_every_cell_of_a_seed(starts, seed):
    first = starts[seed, "seq_bn/none"]["micro-copa"]
    assert len(first) == 8
    for cell in NEW_ADAPTER_CELLS[1:]:
        assert equal(starts[seed, cell]["micro-copa"], first), cell
    assert not equal(starts[seed, "seq_bn/sequential"]["micro-copa"], first)  # goes on from the intermediate's


@pytest.mark.parametrize("cell", CELLS)
def test_seeds_differ(starts, cell):
    one, other = starts[1, cell], starts[2, cell]
    assert one.keys() == other.keys()
    for piece in one:
        assert not equal(one[piece], other[piece]), piece


def test_phases_differ(starts):
    lower, target = starts[1, "seq_bn/intermediate"], starts[1, "seq_bn/none"]
    weight = "1.weight"
    assert lower["head"][weight].shape == target["head"][weight].shape
    assert not torch.equal(lower["head"][weight], target["head"][weight])
    for name, tensor in lower["next-event"].items():
        other = target["micro-copa"][name.replace("next-event", "micro-copa")]
        assert tensor.shape == other.shape
        assert not tensor.any() or not torch.equal(tensor, other), name


def test_layers_and_modules_draw_apart(starts):
    pieces = starts[1, "seq_bn/none"]
    matrices = [t for piece in pieces.values() for t in piece.values() if t.ndim == 2 and t.any()]
    for one, other in combinations(matrices, 2):
        assert one.shape != other.shape or not torch.equal(one, other)


def test_two_new_adapters_of_one_assembly_differ():
    spec = next(run.spec for run in make_plan(parse(Experiment, read_text(GRID, "cells.yaml"))).runs)
    assembly = replace(
        training_assembly(spec, Path),
        method=METHODS["seq_bn"],
        settings={"reduction_factor": 4},
        adapters=(AdapterPart("lower", trains=True), AdapterPart("upper", trains=True)),
        composition="stack",
        trains_body=False,
    )
    model = new_model()
    assemble(model, assembly)
    upper = adapter_weights(model, "upper")
    for name, tensor in adapter_weights(model, "lower").items():
        assert not tensor.any() or not torch.equal(tensor, upper[name.replace("lower", "upper")]), name
