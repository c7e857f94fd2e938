"""Pulling what was published as a pickle: only where it is asked for, and named by what became of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from loopback_hub import LoopbackHub
from sealed_packages import contents, names_below, publish, write_sealed_package

from adapter_transfer.durable import write_json_atomic
from adapter_transfer.errors import DataError
from adapter_transfer.sharing import pull as pulling
from adapter_transfer.sharing.listing import UnsafePackageError
from adapter_transfer.sharing.package import content_digest
from adapter_transfer.sharing.pull import all_pulled, find_pulled, pull
from adapter_transfer.sharing.references import HubAdapter

REPO = "org/copa-adapter"
WANTED = HubAdapter(REPO)
WEIGHTS = "adapter.safetensors"


def _pickled(folder: Path) -> Path:
    """As AdapterHub publishes them."""
    from adapter_transfer.durable import MANIFEST_NAME

    folder = write_sealed_package(folder)
    (folder / MANIFEST_NAME).unlink()
    (folder / WEIGHTS).unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    shapes = {"adapter_down.0.weight": (4, 64), "adapter_down.0.bias": (4,), "adapter_up.weight": (64, 4)}
    shapes["adapter_up.bias"] = (64,)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    weights = {
        f"roberta.encoder.layer.{layer}.output.adapters.copa.{name}": torch.full(shape, 0.5)
        for layer in range(2)
        for name, shape in shapes.items()
    }
    torch.save(weights, folder / "pytorch_adapter.bin")
    return folder


def _convert(source: Path, destination: Path, *, max_bytes: int) -> None:
    """Stands for the conversion, which takes a process that loads torch; it does not look at the pickle."""
    assert (source / "pytorch_adapter.bin").is_file() and not destination.exists()
    made = write_sealed_package(source / "made", value=0.5)
    destination.mkdir()
    for name in ("adapter_config.json", WEIGHTS):
        shutil.copyfile(made / name, destination / name)


@pytest.mark.parametrize("is_real", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_pickle_is_refused_and_converted_where_it_is_asked_for(
    hub: LoopbackHub, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_real: bool
) -> None:
    if not is_real:
        monkeypatch.setattr(pulling, "convert_pickles", _convert)
    commit = publish(hub, REPO, _pickled(tmp_path / "pickled"), {"LICENSE": b"Anybody may do anything."})
    with pytest.raises(UnsafePackageError, match="--convert"):
        pull(WANTED, place)
    assert not any("/resolve/" in path for _, path in hub.requests)
    pulled = pull(WANTED, place, convert=True)
    assert pulled.folder.parent.name == f"org--copa-adapter@{commit[:12]}-converted"
    assert set(contents(pulled.folder)) == {"adapter_config.json", WEIGHTS, "README.md", "LICENSE"}
    assert pulled.reference == HubAdapter(REPO, commit, content_digest(pulled.folder))
    hub.requests.clear()
    assert pull(HubAdapter(REPO, commit), place, convert=True) == pulled
    # Named by its content it needs no second consent.
    assert pull(pulled.reference, place) == pulled
    assert find_pulled(pulled.reference, place) == pulled
    assert find_pulled(HubAdapter(REPO, commit), place) is None
    assert all_pulled(place) == [pulled]
    assert hub.requests == []


@pytest.mark.slow
def test_the_store_may_be_named_from_the_current_folder(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `runs`, the default of every command, is."""
    publish(hub, REPO, _pickled(tmp_path / "pickled"))
    monkeypatch.chdir(tmp_path)
    relative = pull(WANTED, Path("runs") / "adapters", convert=True)
    assert relative.reference == pull(WANTED, tmp_path / "absolute" / "adapters", convert=True).reference


def test_a_conversion_has_to_give_the_content_that_is_named(
    hub: LoopbackHub, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "convert_pickles", _convert)
    commit = publish(hub, REPO, _pickled(tmp_path / "pickled"))
    wrong = HubAdapter(REPO, commit, "0" * 64)
    with pytest.raises(DataError, match=r"converted from a pickle, and the conversion is not here.*pull --convert"):
        pull(wrong, place)
    with pytest.raises(DataError, match="the conversion gives another content"):
        pull(wrong, place, convert=True)
    assert names_below(place) == []
    pulled = pull(WANTED, place, convert=True)
    for call in (
        lambda: pull(wrong, place),
        lambda: pull(wrong, place, convert=True),
        lambda: find_pulled(wrong, place),
    ):
        with pytest.raises(DataError, match="is not what the conversion here gave"):
            call()
    assert find_pulled(pulled.reference, place) == pulled, "it is left alone"


def test_a_digest_is_checked_against_the_files(
    hub: LoopbackHub, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "convert_pickles", _convert)
    from adapter_transfer import durable

    publish(hub, REPO, _pickled(tmp_path / "pickled"))
    pulled = pull(WANTED, place, convert=True)
    folder = pulled.folder.parent
    origin = durable.read_manifest(folder).extra["pulled"]
    config = json.loads((pulled.folder / "adapter_config.json").read_text())
    write_json_atomic(pulled.folder / "adapter_config.json", {**config, "version": "other"})
    durable.seal(folder, pulled=origin)
    with pytest.raises(DataError, match="another content than it says"):
        find_pulled(pulled.reference, place)
