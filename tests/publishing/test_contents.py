from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from adapter_transfer import durable
from adapter_transfer.analysis.answers import read_answer_table
from adapter_transfer.analysis.effects import Effects
from adapter_transfer.analysis.summaries import single, summarise
from adapter_transfer.backbones.zoo import own_backbone
from adapter_transfer.errors import ConfigError, DataError, StoreError
from adapter_transfer.experiments.results import read_results
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store
from adapter_transfer.publishing.bundle import choose_bundle
from adapter_transfer.publishing.contents import write_package
from adapter_transfer.publishing.training_data import without_folders
from adapter_transfer.sharing.inspection import inspect_package
from adapter_transfer.sharing.package import ADAPTER_FILES, HEAD_FILES
from adapter_transfer.sharing.reading import read_package

PAIRS = (*ADAPTER_FILES, *HEAD_FILES)


def write(store, run_ids, folder, **options):
    bundle = choose_bundle(store, run_ids)
    return write_package(store, bundle, folder, **{"environment": {}, **options})


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def adapter_run(store, find, composition, method="seq_bn"):
    (run_id,) = find(store, phase="target", composition=composition, method=method)
    return run_id


def test_one_adapter_lies_in_the_root(seeds, find, tmp_path):
    run_id = find(seeds, phase="target", composition="none")[0]
    package = write(seeds, [run_id], tmp_path / "one")
    assert set(files_of(tmp_path / "one")) == {*PAIRS, "manifest.json", "README.md"}
    (adapter,) = package.adapters
    assert (adapter.path, adapter.name, adapter.role, adapter.has_head) == (".", "micro-copa", "target", True)
    assert package.compositions[0].adapters == (".",)
    assert package.compositions[0].combines is None
    assert (package.intermediate, package.target, package.composition) == ("none", "micro-copa", "none")


def test_one_seed_with_two_adapters_has_a_folder_for_each(seeds, find, tmp_path):
    package = write(seeds, find(seeds, phase="target", composition="stack")[:1], tmp_path / "two")
    names = {f"{adapter}/{name}" for adapter in ("next-event", "micro-copa") for name in PAIRS}
    assert set(files_of(tmp_path / "two")) == {*names, "manifest.json", "README.md"}
    (composition,) = package.compositions
    assert (composition.adapters, composition.combines, composition.head, composition.seed) == (
        ("next-event", "micro-copa"),
        "stack",
        "micro-copa",
        1,
    )
    assert package.adapter("micro-copa").parents == ("next-event",)


def test_several_seeds_have_a_folder_for_each(shared):
    package = read_package(shared)
    expected = [f"seed-{seed}/{name}" for seed in (1, 2, 3) for name in ("next-event", "micro-copa")]
    assert [adapter.path for adapter in package.adapters] == expected
    assert [composition.seed for composition in package.compositions] == [1, 2, 3]
    names = {f"{path}/{name}" for path in expected for name in PAIRS}
    assert set(files_of(shared)) == {*names, "manifest.json", "README.md"}


def test_weights_are_those_of_the_runs(shared, seeds, find):
    for seed, run_id in enumerate(find(seeds, phase="target", composition="stack"), start=1):
        source = seeds.run_dir(run_id) / "artifact" / "adapters" / "micro-copa"
        for name in (ADAPTER_FILES[1], HEAD_FILES[1]):
            assert (shared / f"seed-{seed}" / "micro-copa" / name).read_bytes() == (source / name).read_bytes()


def test_the_manifest_says_what_is_known(shared, seeds, find):
    package = read_package(shared)
    run_id = find(seeds, phase="target", composition="stack")[1]
    described, metrics = seeds.read(run_id).run["description"], seeds.read(run_id).metrics
    backbone = package.backbone
    assert (backbone.name, backbone.repo, backbone.commit, backbone.is_sandbox) == ("nano", None, None, True)
    assert (backbone.architecture, backbone.hidden_size, backbone.num_hidden_layers) == ("xlm-roberta", 64, 2)
    assert backbone.digest == described["backbone_digest"]
    assert (package.precision, package.method, package.composition) == ("fp32", "seq_bn", "stack")
    assert package.method_settings == described["method_settings"]
    assert (package.intermediate, package.target, package.max_length) == ("next-event", "micro-copa", 48)
    assert package.licence == "apache-2.0"
    assert package.versions["adapters"] == seeds.read(run_id).run["versions"]["adapters"]
    adapter = package.adapter("seed-2/micro-copa")
    assert (adapter.run, adapter.seed, adapter.task) == (run_id, 2, "micro-copa")
    train, validation = adapter.data
    assert (train.split, validation.split) == ("micro-copa/train/en", "micro-copa/validation/en")
    assert train.digest == described["data"]["micro-copa/train/en"]["digest"]
    assert train.source == "sandbox/data/micro-copa/en/train.jsonl"
    assert (adapter.training["learning_rate"], adapter.training["batch_size"]) == (3e-3, 8)
    assert adapter.validation == {"accuracy": metrics["validation_accuracy"]}


def test_every_file_but_the_card_is_sealed(shared, tmp_path):
    shutil.copytree(shared, tmp_path / "copy")
    (tmp_path / "copy" / "README.md").write_text("edited on the Hub")
    assert set(durable.verify(tmp_path / "copy").files) == set(files_of(shared)) - {"manifest.json", "README.md"}
    inspect_package(shared)


def test_scores_are_the_reports(shared, seeds, find):
    runs = find(seeds, phase="target", composition="stack")
    summary = summarise(read_results(seeds))
    effects = Effects(summary, read_answer_table(seeds, summary, "micro-copa"))
    (cell,) = [cell for cell in summary.cells if cell.composition == "stack"]
    scores = read_package(shared).scores
    assert [score.language for score in scores] == ["en", "qa"]
    for score in scores:
        effect = effects.accuracy(cell, single(score.language))
        assert score.value == effect.value
        assert (score.low, score.high) == (effect.interval.low, effect.interval.high)
        accuracies = [
            result.accuracy
            for result in read_results(seeds)
            if result.target_run in runs and result.language == score.language
        ]
        assert score.value == pytest.approx(sum(accuracies) / 3, abs=1e-12)
        assert (score.num_items, score.num_seeds, score.chance) == (500, 3, 0.5)


def test_below_three_seeds_there_is_no_interval(seeds, find, tmp_path):
    runs = find(seeds, phase="target", composition="stack")
    package = write(seeds, runs[:2], tmp_path / "two")
    assert [(score.low, score.high, score.num_seeds) for score in package.scores] == [(None, None, 2)] * 2
    values = [r.accuracy for r in read_results(seeds) if r.target_run in runs[:2] and r.language == "qa"]
    assert package.scores[1].value == pytest.approx(sum(values) / 2, abs=1e-12)


def test_an_intermediate_alone_has_no_target_and_no_scores(seeds, find, tmp_path):
    package = write(seeds, find(seeds, phase="intermediate")[:1], tmp_path / "one")
    (adapter,) = package.adapters
    assert (adapter.role, adapter.task, adapter.path) == ("intermediate", "next-event", ".")
    assert (package.target, package.scores) == (None, ())
    assert package.compositions[0].head == "."  # it answers its own task


@pytest.mark.parametrize(
    ("composition", "method", "combines"),
    [("stack", "seq_bn", "stack"), ("stack-tuned", "seq_bn", "stack"), ("sum", "lora", "sum")],
)
def test_a_mixture_is_renamed_and_its_heads_are_left_out(others, find, tmp_path, composition, method, combines):
    run_id = adapter_run(others, find, composition, method)
    package = write(others, [run_id], tmp_path / "package")
    lower, upper = package.adapters
    assert (lower.name, lower.path, lower.task) == ("next-event-event-nli",) * 2 + ("next-event+event-nli",)
    assert (lower.has_head, upper.has_head) == (False, True)
    assert package.compositions[0].combines == combines
    assert package.intermediate == "next-event+event-nli"
    folder = tmp_path / "package" / lower.path
    assert set(files_of(folder)) == set(ADAPTER_FILES)
    assert json.loads((folder / ADAPTER_FILES[0]).read_text())["name"] == lower.name
    of_target = run_id if composition == "stack-tuned" else lower.run
    assert lower.run == of_target
    saved = others.run_dir(lower.run) / "artifact" / "adapters" / "next-event+event-nli" / ADAPTER_FILES[1]
    before, after = load_file(saved), load_file(folder / ADAPTER_FILES[1])
    assert {key.replace("next-event+event-nli", lower.name) for key in before} == set(after)
    for key, value in before.items():
        assert (after[key.replace("next-event+event-nli", lower.name)] == value).all()
    inspect_package(tmp_path / "package")
    assert read_package(tmp_path / "package") == package


def test_sequential_is_one_adapter(others, find, tmp_path):
    package = write(others, [adapter_run(others, find, "sequential")], tmp_path / "package")
    assert [adapter.path for adapter in package.adapters] == ["."]
    assert (package.composition, package.intermediate) == ("sequential", "next-event+event-nli")


def test_the_same_runs_give_the_same_bytes(shared, seeds, find, tmp_path):
    runs = find(seeds, phase="target", composition="stack")
    shutil.copytree(seeds.root, tmp_path / "elsewhere")
    write(Store.open(tmp_path / "elsewhere"), runs[::-1], tmp_path / "a" / "package", licence="apache-2.0")
    assert files_of(tmp_path / "a" / "package") == files_of(shared)


def test_a_changed_artifact_is_not_shared(seeds, find, tmp_path):
    shutil.copytree(seeds.root, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    run_id = find(store, phase="target", composition="stack")[0]
    below = find(store, phase="intermediate")[0]
    path = store.run_dir(below) / "artifact" / "adapters" / "next-event" / ADAPTER_FILES[1]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="has changed"):
        write(store, [run_id], tmp_path / "package")
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_stands_at_the_destination_is_left_alone(seeds, find, tmp_path, kind):
    place = tmp_path / "package"
    if kind == "file":
        place.write_text("mine")
    elif kind == "folder":
        place.mkdir()
        (place / "mine").write_text("mine")
    else:
        (tmp_path / "target").mkdir()
        place.symlink_to(tmp_path / "target")
    before = files_of(tmp_path)
    with pytest.raises(ConfigError, match="left alone"):
        write(seeds, find(seeds, phase="intermediate")[:1], place)
    assert files_of(tmp_path) == before
    assert list(tmp_path.glob(".*")) == []


def test_an_empty_folder_may_stand_there(seeds, find, tmp_path):
    (tmp_path / "package").mkdir()
    write(seeds, find(seeds, phase="intermediate")[:1], tmp_path / "package")
    assert (tmp_path / "package" / "manifest.json").is_file()


def test_a_secret_is_refused_and_nothing_is_left(seeds, find, tmp_path):
    run_ids = find(seeds, phase="target", composition="none")[:1]
    with pytest.raises(DataError, match="the environment variable MY_TOKEN") as caught:
        write(seeds, run_ids, tmp_path / "package", environment={"MY_TOKEN": run_ids[0]})
    assert run_ids[0] not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_canaries_of_the_environment_are_nowhere(seeds, find, tmp_path, monkeypatch):
    canaries = {name: f"canary-{name.lower()}-0123456789" for name in ("HF_TOKEN", "WANDB_API_KEY", "MY_SECRET")}
    for name, value in canaries.items():
        monkeypatch.setenv(name, value)
    bundle = choose_bundle(seeds, find(seeds, phase="target", composition="stack")[:1])
    write_package(seeds, bundle, tmp_path / "package")
    for name, data in files_of(tmp_path / "package").items():
        assert b"canary" not in data, name


def test_no_path_of_a_machine_is_in_a_package(shared, seeds):
    for name, data in files_of(shared).items():
        assert str(seeds.root).encode() not in data, name
        assert str(shared.parent).encode() not in data, name
        assert b"platform" not in data, name


@pytest.mark.parametrize(
    ("source", "left"),
    [
        ("sandbox/data/train.jsonl", "sandbox/data/train.jsonl"),
        ("org/name@0123456789ab copa/train-0.parquet", "org/name@0123456789ab copa/train-0.parquet"),
        ("/" + "data/me/copa.jsonl, /x/y.xml", "copa.jsonl, y.xml"),
        ("~/" + "mine/copa.jsonl", "copa.jsonl"),
        ("C:\\me\\copa.jsonl", "copa.jsonl"),
    ],
)
def test_of_an_absolute_path_the_name_is_left(source, left):
    assert without_folders(source) == left


@pytest.mark.parametrize("licence", ["Apache 2.0", "", "x\ny", "../x"])
def test_a_licence_is_named_as_the_hub_does(seeds, find, tmp_path, licence):
    with pytest.raises(ConfigError, match="names licences"):
        write(seeds, find(seeds, phase="intermediate")[:1], tmp_path / "package", licence=licence)


@pytest.mark.parametrize("repo", ["name", "../x/y", "org/name@main", "org/a b"])
def test_a_repository_is_organisation_and_name(seeds, find, tmp_path, repo):
    with pytest.raises(ConfigError, match=r"organisation/name|names no adapter"):
        write(seeds, find(seeds, phase="intermediate")[:1], tmp_path / "package", repo=repo)


def test_an_encoder_of_ones_own_is_told_by_name_and_digest_only(seeds, find, tmp_path):
    """Its folder, which a run records for its own machine, is nowhere."""
    shutil.copytree(seeds.root, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    encoder = tmp_path / "my-encoder"
    checkpoints = Path(str(files("adapter_transfer"))) / "sandbox" / "checkpoints"
    for part in ("nano", "tokenizer"):
        shutil.copytree(checkpoints / part, encoder, dirs_exist_ok=True)
    run_id = find(store, phase="target", composition="none")[0]
    path = store.run_dir(run_id) / "run.json"
    run = json.loads(path.read_text())
    declared = own_backbone(str(encoder), name="mine")
    run["description"] |= {"backbone": "mine", "declaration": declared.as_json(), "backbone_digest": declared.digest()}
    path.write_text(json.dumps(run))
    durable.seal(path.parent, exclude=("lease", "progress"))
    package = write(store, [run_id], tmp_path / "package")
    assert (package.backbone.name, package.backbone.repo, package.backbone.digest) == ("mine", None, declared.digest())
    for name, data in files_of(tmp_path / "package").items():
        assert str(tmp_path).encode() not in data, name
        assert b"my-encoder" not in data, name


def test_headers_stay_aligned(others, find, tmp_path):
    package = write(others, [adapter_run(others, find, "stack")], tmp_path / "package")
    path = tmp_path / "package" / package.adapters[0].path / ADAPTER_FILES[1]
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0
    with safe_open(path, "numpy") as opened:
        assert opened.keys()


def test_weights_that_went_on_have_seen_what_they_started_from(others, find, tmp_path):
    """Whoever evaluates on what an intermediate was trained on has to be told, whichever adapter holds its weights."""
    (lower,) = find(others, phase="intermediate", method="seq_bn")
    below = [ref.name for ref in RunSpec.from_description(others.read(lower).run["description"]).data]
    assert any(name.startswith("event-nli/train") for name in below)
    for composition, expected in (
        ("sequential", {"micro-copa": True}),
        ("stack-tuned", {"next-event+event-nli": True, "micro-copa": False}),
    ):
        (run,) = find(others, phase="target", method="seq_bn", composition=composition)
        package = write_package(others, choose_bundle(others, [run]), tmp_path / composition, environment={})
        seen = {adapter.task: [data.split for data in adapter.data] for adapter in package.adapters}
        own = ["micro-copa/train/en", "micro-copa/validation/en"]
        assert seen == {task: [*below, *own] if goes_on else own for task, goes_on in expected.items()}
        assert all(adapter.is_data_complete for adapter in package.adapters)
        assert "event-nli/train/en" in (tmp_path / composition / "README.md").read_text()


def test_what_weights_started_from_may_not_be_known(others, find, tmp_path):
    store = Store.open(shutil.copytree(others.root, tmp_path / "store"))
    (lower,) = find(store, phase="intermediate", method="seq_bn")
    (run,) = find(store, phase="target", method="seq_bn", composition="sequential")
    shutil.rmtree(store.run_dir(lower))
    package = write_package(store, choose_bundle(store, [run]), tmp_path / "package", environment={})
    (adapter,) = package.adapters
    assert not adapter.is_data_complete and [data.split.split("/")[0] for data in adapter.data] == ["micro-copa"] * 2
    card = (tmp_path / "package" / "README.md").read_text()
    assert "of which not everything that it was trained on is known" in card
