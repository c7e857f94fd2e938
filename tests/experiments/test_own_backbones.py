"""A user's own encoder, of each supported architecture: trained, evaluated, recorded, changed behind our back."""

from __future__ import annotations

import json
import shutil
from itertools import product

import pytest

from adapter_transfer.errors import AdapterTransferError, ConfigError, DataError, ImpossibleError
from adapter_transfer.experiments.evaluation import evaluation_plan
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import read_results
from adapter_transfer.experiments.store import Store

MACHINE = MachineSettings(device="cpu", threads=1)


def own(folder, **fields):
    given = ", ".join(f"{key}: {value}" for key, value in {"name": "own", "model": folder, **fields}.items())
    return f"backbones=[{{{given}}}]"


@pytest.mark.parametrize("kind", ["xlm-roberta", "roberta", "bert"])
def test_every_architecture_is_trained_and_evaluated(small, encoder, tmp_path, kind):
    experiment = small(own(encoder(kind)), "training.0.max_length=32", "methods=[full, seq_bn, lora]")
    store = Store.open(tmp_path / "store")
    plan = make_plan(experiment, store)
    assert not execute(plan, store, MACHINE).failed
    results = read_results(store)
    cells = {(result.backbone, result.method, result.intermediate) for result in results}
    assert cells == set(product(["own"], ["full", "seq_bn", "lora"], ["none", "next-event"]))
    recorded = store.read(plan.runs[0].spec.id).run["description"]["declaration"]
    assert str(encoder(kind)) in json.dumps(recorded)
    # What is recorded is enough to evaluate it again.
    target = next(run.spec for run in plan.runs if run.spec.phase == "target")
    again = evaluation_plan(store, target.id, ["qb"])
    assert not execute(again, store, MACHINE).failed


def test_a_tokenizer_with_another_class_and_pad_id_is_declared(small, encoder, tmp_path):
    declared = own(encoder("mminilm"), tokenizer_class="xlm-roberta", pad_token_id=1)
    store = Store.open(tmp_path / "store")
    experiment = small(declared, "training.0.max_length=32", "methods=[full]", "intermediates=[none]")
    assert not execute(make_plan(experiment, store), store, MACHINE).failed


def test_a_name_may_be_left_out(small, encoder):
    folder = encoder("roberta")
    plan = make_plan(small(f"backbones=[{folder}]", "training.0.max_length=32"))
    assert {run.spec.backbone for run in plan.runs} == {"roberta"}


def test_changed_weights_are_another_backbone(small, encoder, tmp_path):
    folder = shutil.copytree(encoder("roberta"), tmp_path / "mine")
    experiment = small(own(folder), "training.0.max_length=32", "methods=[seq_bn]", "intermediates=[none]")
    before = make_plan(experiment)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-4] + bytes(4))
    after = make_plan(experiment)
    assert not {run.spec.id for run in before.runs} & {run.spec.id for run in after.runs}
    store = Store.open(tmp_path / "store")
    failed = execute(before, store, MACHINE).failed
    assert all("have changed" in failure.message for failure in failed.values()) and failed


@pytest.mark.parametrize(
    ("backbones", "error", "message"),
    [
        ("[base-xl]", ConfigError, "unknown backbone 'base-xl'"),
        ("[./nowhere]", (ConfigError, DataError), "nowhere"),
        ("[{name: nano, model: ./mine}]", ConfigError, "is a backbone of the zoo"),
        ("[{name: nano, revision: v1}]", ConfigError, "only what lies on the Hub has revisions"),
        ("[{name: nano, pad_token_id: 1}]", ConfigError, "are for your own encoder"),
    ],
)
def test_what_is_no_backbone_is_said(small, backbones, error, message):
    with pytest.raises(error, match=message) as caught:
        make_plan(small(f"backbones={backbones}"))
    assert isinstance(caught.value, AdapterTransferError)


def test_a_folder_of_another_architecture(small, encoder, tmp_path):
    folder = shutil.copytree(encoder("roberta"), tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    with pytest.raises((ConfigError, ImpossibleError), match="gpt2"):
        make_plan(small(own(folder)))
