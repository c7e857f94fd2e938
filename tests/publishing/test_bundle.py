from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from answered_runs import put_run

from adapter_transfer import durable
from adapter_transfer.errors import ConfigError, StoreError
from adapter_transfer.experiments.adopted import Adopted
from adapter_transfer.experiments.store import Store
from adapter_transfer.publishing.bundle import choose_bundle


def copy_of(store: Store, folder: Path) -> Store:
    shutil.copytree(store.root, folder)
    return Store.open(folder)


def change(store: Store, run_id: str, **changes: object) -> None:
    """Another description, sealed again: as a run that was made like that."""
    path = store.run_dir(run_id) / "run.json"
    run = json.loads(path.read_text())
    for name, value in changes.items():
        place = run["description"]
        *above, last = name.split("__")
        for each in above:
            place = place[each]
        place[last] = value
    path.write_text(json.dumps(run))
    durable.seal(path.parent, exclude=("lease", "progress"))


def test_a_target_brings_the_frozen_intermediate_of_its_own_seed(seeds, find):
    targets = find(seeds, phase="target", composition="stack")
    below = find(seeds, phase="intermediate")
    bundle = choose_bundle(seeds, [targets[2], targets[0], targets[2]])
    assert [seed.run.id for seed in bundle.seeds] == [targets[0], targets[2]]
    assert [seed.below.id for seed in bundle.seeds] == [below[0], below[2]]
    assert bundle.run_ids == (targets[0], targets[2])


def test_all_seeds_finds_those_of_the_same_cell_and_settings(seeds, find):
    for wanted in ({"phase": "target", "composition": "stack"}, {"phase": "target", "composition": "none"}):
        runs = find(seeds, **wanted)
        assert choose_bundle(seeds, [runs[1]], all_seeds=True).run_ids == tuple(runs)
        assert choose_bundle(seeds, [runs[1]]).run_ids == (runs[1],)
    below = find(seeds, phase="intermediate")
    assert choose_bundle(seeds, below[:1], all_seeds=True).run_ids == tuple(below)


def test_a_seed_with_other_settings_is_not_one_of_the_cell(seeds, find, tmp_path):
    store = copy_of(seeds, tmp_path / "store")
    runs = find(store, phase="target", composition="stack")
    change(store, runs[2], training__learning_rate=0.5)
    assert choose_bundle(store, runs[:1], all_seeds=True).run_ids == tuple(runs[:2])
    with pytest.raises(ConfigError, match="differ in training"):
        choose_bundle(store, runs)


def test_a_seed_that_stands_on_another_training_is_not_one_of_the_cell(seeds, find, tmp_path):
    store = copy_of(seeds, tmp_path / "store")
    runs = find(store, phase="target", composition="stack")
    change(store, find(store, phase="intermediate")[1], training__epochs=7)
    assert choose_bundle(store, runs[:1], all_seeds=True).run_ids == (runs[0], runs[2])
    with pytest.raises(ConfigError, match="differ in intermediate training"):
        choose_bundle(store, runs)


@pytest.mark.parametrize(
    ("composition", "brings"), [("stack", True), ("sum", True), ("stack-tuned", False), ("sequential", False)]
)
def test_what_the_artifact_does_not_hold_comes_along(others, find, composition, brings):
    runs = [
        run_id
        for run_id in find(others, phase="target", composition=composition)
        if others.read(run_id).run["description"]["method"] != "full"
    ]
    assert runs
    for run_id in runs:
        (seed,) = choose_bundle(others, [run_id]).seeds
        assert (seed.below is not None) == brings
        assert len(seed.runs) == 1 + brings


def test_mixed_cells_are_refused_with_what_differs(seeds, find):
    stacked, alone = find(seeds, phase="target", composition="stack"), find(seeds, phase="target", composition="none")
    with pytest.raises(ConfigError, match="differ in intermediate, composition") as caught:
        choose_bundle(seeds, [stacked[0], alone[1]])
    assert stacked[0] in str(caught.value)
    assert alone[1] in str(caught.value)
    with pytest.raises(ConfigError, match="differ in phase"):
        choose_bundle(seeds, [stacked[0], find(seeds, phase="intermediate")[0]])


def test_every_reason_is_told_at_once(others, find):
    full = find(others, phase="target", method="full")
    evaluations = find(others, phase="evaluation", method="lora", composition="sum")
    with pytest.raises(ConfigError) as caught:
        choose_bundle(others, [*full, *evaluations])
    first, second = caught.value.problems
    assert "full fine-tuning" in first
    assert "push_to_hub from artifact/model" in first
    (target,) = find(others, phase="target", method="lora", composition="sum")
    assert "is an evaluation" in second
    assert second.endswith(target)


def test_nothing_and_what_is_not_there(seeds):
    with pytest.raises(ConfigError, match="nothing to share"):
        choose_bundle(seeds, [])
    with pytest.raises(StoreError, match="there is no run"):
        choose_bundle(seeds, ["0" * 24])
    with pytest.raises(StoreError, match="no run id"):
        choose_bundle(seeds, ["../../etc"])


@pytest.mark.parametrize(("failed", "told"), [(False, "not finished"), (True, "failed")])
def test_runs_that_are_not_done(seeds, find, tmp_path, failed, told):
    store = copy_of(seeds, tmp_path / "store")
    runs = find(store, phase="target", composition="stack")
    (store.run_dir(runs[0]) / "manifest.json").unlink()
    if failed:
        (store.run_dir(runs[0]) / "failure.json").write_text('{"error": "it broke"}')
    with pytest.raises(ConfigError, match=f"is {told}"):
        choose_bundle(store, runs[:1])
    assert choose_bundle(store, runs[1:2], all_seeds=True).run_ids == tuple(runs[1:])


def test_an_intermediate_that_is_gone(seeds, find, tmp_path):
    store = copy_of(seeds, tmp_path / "store")
    runs, below = find(store, phase="target", composition="stack"), find(store, phase="intermediate")
    (store.run_dir(below[0]) / "manifest.json").unlink()
    with pytest.raises(StoreError, match=f"stands on the intermediate run {below[0]}, which is not done"):
        choose_bundle(store, runs[:1])
    shutil.rmtree(store.run_dir(below[1]))
    with pytest.raises(StoreError, match=f"there is no run {below[1]}"):
        choose_bundle(store, runs[1:2])
    assert choose_bundle(store, runs[2:], all_seeds=True).run_ids == tuple(runs[2:])


def test_backbones_that_nobody_could_rebuild(seeds, find, tmp_path):
    store = copy_of(seeds, tmp_path / "store")
    runs = find(store, phase="target", composition="none")
    change(store, runs[0], declaration__tokenizer=None, declaration__vocab_size=100)
    change(store, runs[1], declaration__weights="random", declaration__is_sandbox=False)
    change(store, runs[2], declaration__weights="random")
    with pytest.raises(ConfigError, match="tokenizer was trained here"):
        choose_bundle(store, runs[:1])
    with pytest.raises(ConfigError, match="random weights were made here"):
        choose_bundle(store, runs[1:2])
    # The sandbox's random control is made by this package, the same everywhere.
    assert choose_bundle(store, runs[2:]).run_ids == (runs[2],)


def test_an_intermediate_of_somebody_else_is_theirs_to_share(seeds, find, tmp_path):
    store = copy_of(seeds, tmp_path / "store")
    target, below = find(store, phase="target", composition="stack")[0], find(store, phase="intermediate")[0]
    adopted = Adopted("org/theirs", "main", "a" * 40, "b" * 64, ".", "some-task").as_json()
    theirs = f"hub:org/theirs@{'a' * 40}"
    change(store, target, adopted=adopted, intermediate=theirs)
    change(store, below, adopted=adopted, intermediate=theirs, task=theirs, data={})
    with pytest.raises(ConfigError, match="theirs to share"):
        choose_bundle(store, [target])
    with pytest.raises(ConfigError, match="trained nothing: it took over hub:org/theirs"):
        choose_bundle(store, [below])


def test_a_run_of_an_unknown_form(tmp_path):
    store = Store.open(tmp_path / "store")
    put_run(store, 1, {"en": [1, 0]})
    with pytest.raises(StoreError, match="in a way that this version knows"):
        choose_bundle(store, ["00001a" + "0" * 18])
