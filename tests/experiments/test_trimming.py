"""Runs with a trimmed vocabulary: the ids and results of those without, resumed, evaluated elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.preparing import prepare
from adapter_transfer.experiments.evaluation import evaluation_plan
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.session import Session
from adapter_transfer.experiments.store import Store

MACHINE = MachineSettings(device="cpu", threads=1)
ONE_FULL_RUN = ("methods=[full]", "intermediates=[none]", "training.0.max_train_examples=64")


def executed(experiment, folder: Path) -> tuple[Store, list]:
    store = Store.open(folder)
    plan = make_plan(experiment, store)
    outcome = execute(plan, store, MACHINE)
    assert not outcome.failed and not outcome.skipped
    return store, [run.spec for run in plan.runs]


def metrics(store: Store, run_id: str) -> dict:
    timed = ("seconds", "peak_memory_bytes", "finished_by")
    return {name: value for name, value in store.read(run_id).metrics.items() if name not in timed}


def digest(store: Store, run_id: str, name: str) -> str:
    return store.verify(run_id).files[name].sha256


@pytest.mark.parametrize("precision", ["fp32", "nf4"])
def test_the_same_results_under_the_same_ids(small, tmp_path, precision):
    method = "lora" if precision == "nf4" else "full"
    changes = (f"methods=[{method}]", f"precisions=[{precision}]", "training.0.dropout=0.1")
    sides = [executed(small(f"trim_vocabulary={trim}", *changes), tmp_path / trim) for trim in ("true", "false")]
    (trimmed, specs), (whole, others) = sides
    assert [spec.id for spec in specs] == [spec.id for spec in others]
    for spec in specs:
        one, other = metrics(trimmed, spec.id), metrics(whole, spec.id)
        assert 4 < one.pop("num_kept_tokens") < spec.declaration.known_fields()["vocab_size"]
        assert other.pop("num_kept_tokens") is None
        assert one == other
        names = trimmed.verify(spec.id).files.keys()
        assert names == whole.verify(spec.id).files.keys()
        # Of a body, rows that nobody reads are equal to rounding only; run.json and metrics tell the time.
        same = [name for name in names if name == "predictions.parquet" or name.startswith("artifact/")]
        for name in (name for name in same if not name.startswith("artifact/model/")):
            assert digest(trimmed, spec.id, name) == digest(whole, spec.id, name), name


def test_what_was_trained_is_evaluated_in_a_language_that_was_not_there(small, tmp_path):
    scores = []
    for trim in ("true", "false"):
        experiment = small(f"trim_vocabulary={trim}", "languages=[en]", *ONE_FULL_RUN)
        store, specs = executed(experiment, tmp_path / trim)
        target = next(spec for spec in specs if spec.phase == "target")
        plan = evaluation_plan(store, target.id, ["qb"])
        assert not execute(plan, store, MACHINE).failed
        found = metrics(store, plan.runs[0].spec.id)
        assert found["num_kept_tokens"] is None, "a token would lack its row"
        scores.append(found["languages"]["qb"])
    assert scores[0]["accuracy"] == scores[1]["accuracy"]
    assert scores[0]["loss"] == pytest.approx(scores[1]["loss"], rel=1e-6)


class Cut(Exception):
    """Stands for a kill."""


def cut(store: Store, spec) -> None:
    """Begins a run and ends it after a checkpoint."""

    def stop(progress) -> None:
        if progress.step >= 4:
            raise Cut

    with pytest.raises(Cut):
        Session(store, replace(MACHINE, checkpoint_steps=1)).execute(spec, stop)


def target_of(experiment, store):
    return next(run.spec for run in make_plan(experiment, store).runs if run.spec.phase == "target")


@pytest.mark.parametrize("then", ["the same", "another language", "the whole table"])
def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(small, tmp_path, then, caplog):
    first = small("trim_vocabulary=true", "languages=[en]", *ONE_FULL_RUN)
    straight, _ = executed(first, tmp_path / "straight")
    store = Store.open(tmp_path / "cut")
    spec = target_of(first, store)
    cut(store, spec)
    if then == "another language":
        second = target_of(small("trim_vocabulary=true", "languages=[en, qb]", *ONE_FULL_RUN), store)
    else:
        trim = "true" if then == "the same" else "false"
        second = target_of(small(f"trim_vocabulary={trim}", "languages=[en]", *ONE_FULL_RUN), store)
    assert second.id == spec.id
    with caplog.at_level("INFO", logger="adapter_transfer"):
        Session(store, MACHINE).execute(second)
    # Without trimming there is no checkpoint that means anything: it starts over.
    assert ("resumed at step" in caplog.text) == (then != "the whole table")
    tensors = [
        load_file(place.run_dir(spec.id) / "artifact" / "model" / "model.safetensors") for place in (straight, store)
    ]
    for name, value in tensors[0].items():
        if then == "the whole table" and "word_embeddings" in name:
            torch.testing.assert_close(value, tensors[1][name], rtol=1e-6, atol=0)
        else:
            assert torch.equal(value, tensors[1][name]), name
    assert digest(straight, spec.id, "predictions.parquet") == digest(store, spec.id, "predictions.parquet")


def test_an_untrimmed_attempt_is_not_resumed_with_a_trimmed_table(small, tmp_path, caplog):
    store = Store.open(tmp_path / "store")
    whole, trimmed = (
        target_of(small(f"trim_vocabulary={trim}", "languages=[en]", *ONE_FULL_RUN), store)
        for trim in ("false", "true")
    )
    cut(store, whole)
    with caplog.at_level("INFO", logger="adapter_transfer"):
        Session(store, MACHINE).execute(trimmed)
    assert "resumed at step" not in caplog.text
    assert not (store.run_dir(whole.id) / "progress").exists()


@pytest.mark.parametrize("trim", ["true", "false"])
def test_a_prepared_copy_of_the_backbone_is_used_from_then_on(small, tmp_path, monkeypatch, trim):
    changes = (f"trim_vocabulary={trim}", "methods=[seq_bn]", "intermediates=[none]", "languages=[en]")
    plain, specs = executed(small(*changes), tmp_path / "plain")
    store = Store.open(tmp_path / "store")
    prepare(specs[0].declaration, store.root / "cache" / "backbones")
    monkeypatch.setattr(Backbone, "model_path", property(lambda self: pytest.fail("the original was read")))
    executed(small(*changes), tmp_path / "store")
    for spec in specs:
        assert digest(plain, spec.id, "predictions.parquet") == digest(store, spec.id, "predictions.parquet")
