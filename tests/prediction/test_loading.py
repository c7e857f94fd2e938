"""What a person names is a run, a folder or a name on the Hub; what it is not is said."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from trained_cells import specs_of

from adapter_transfer.errors import ConfigError, StoreError
from adapter_transfer.methods.attach import adapter_dir
from adapter_transfer.prediction import loading
from adapter_transfer.prediction.loading import load
from adapter_transfer.sharing.references import parse_hub_adapter

COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture
def run(trained):
    return specs_of(trained)[("target", "seq_bn", "none")]


@pytest.fixture
def folder(trained, run, tmp_path):
    place = tmp_path / "org" / "adapter"
    shutil.copytree(adapter_dir(trained.run_dir(run.id) / "artifact", "micro-copa"), place)
    return place


@pytest.fixture
def asked_of_hub(monkeypatch, folder):
    """What was asked of the Hub, which has the folder under every name."""
    asked = []

    def pull(wanted, adapters_dir):
        asked.append((str(wanted), adapters_dir))
        return SimpleNamespace(folder=folder, reference=wanted.at(COMMIT))

    monkeypatch.setattr(loading, "pull", pull)
    return asked


def test_a_run_is_named_by_the_beginning_of_its_id(trained, run):
    predictor = load(run.id[:10], store=trained.root, device="cpu")
    assert predictor.name == f"run {run.id[:12]}" and predictor.seed == 1


@pytest.mark.parametrize("form", [str, Path, lambda place: str(place) + "/"])
def test_a_folder_is_named_by_its_path(folder, form):
    assert load(form(folder), backbone="nano", device="cpu").name == "adapter"


def test_a_folder_that_is_there_wins_over_the_hub(folder, asked_of_hub, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load("org/adapter", backbone="nano", device="cpu").name == "adapter"
    assert asked_of_hub == []


@pytest.mark.parametrize("name", ["hub:lab/copa@v1", "lab/copa@v1"])
def test_a_name_on_the_hub_is_pulled_into_the_store(asked_of_hub, tmp_path, name):
    predictor = load(name, store=tmp_path / "store", backbone="nano", device="cpu")
    assert asked_of_hub == [("hub:lab/copa@v1", tmp_path / "store" / "adapters")]
    assert predictor.name == str(parse_hub_adapter(f"hub:lab/copa@{COMMIT}"))
    assert (tmp_path / "store" / "store.json").is_file()


@pytest.mark.parametrize("name", ["hub:copa", "hub:../x", "hub:a/b@--"])
def test_a_wrong_name_on_the_hub_is_told(asked_of_hub, tmp_path, name):
    with pytest.raises(ConfigError):
        load(name, store=tmp_path / "store")
    assert asked_of_hub == [] and not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "source", ["", "my adapter", "../nothing-here", "~nobody", "x" * 5000, "./" + "x" * 5000, "\x1b[31m"]
)
def test_what_is_nothing_of_the_kind_is_told(trained, source):
    with pytest.raises(ConfigError) as told:
        load(source, store=trained.root)
    assert len(str(told.value)) < 400 and "\x1b" not in str(told.value)


def test_a_store_is_needed_for_a_run_only(tmp_path):
    with pytest.raises(StoreError, match="no store"):
        load("abc123", store=tmp_path / "none")


def test_the_folder_of_a_run_is_told_from_a_package(trained, run):
    with pytest.raises(ConfigError, match=run.id):
        load(trained.run_dir(run.id))


def test_the_folder_of_what_was_pulled_is_told_from_a_package(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "pulled" / "package")
    with pytest.raises(ConfigError, match="package"):
        load(tmp_path / "pulled")


def test_a_run_is_taken_as_it_was_trained(trained, run):
    with pytest.raises(ConfigError) as told:
        load(run.id, store=trained.root, device="cpu", seed=2, precision="bf16", backbone="micro")
    for word in ("seed 2", "precision bf16", "backbone"):
        assert word in str(told.value)
    same = load(run.id, store=trained.root, device="cpu", seed=1, precision="fp32")
    assert same.precision == "fp32"
