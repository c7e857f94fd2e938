from __future__ import annotations

import ast
import json
import re
import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import adapters
import pytest
import torch
from adapters import AutoAdapterModel
from adapters.composition import Fuse, Stack
from huggingface_hub import ModelCard

from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer.publishing.repackaging import repackage
from adapter_transfer.sharing.fit import MisfitError, require_fit
from adapter_transfer.sharing.inspection import inspect_package
from adapter_transfer.sharing.listing import UnsafePackageError
from adapter_transfer.sharing.reading import read_package

NANO = BACKBONES["nano"]
CHECKPOINTS = Path(str(files("adapter_transfer"))) / "sandbox" / "checkpoints"


def new_model():
    model = AutoAdapterModel.from_pretrained(str(CHECKPOINTS / "nano"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        for name in ("lower", "upper"):
            model.add_adapter(name, config=adapters.SeqBnConfig(reduction_factor=4))
        model.add_multiple_choice_head("upper", num_choices=2)
    return model


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """Folders that plain adapters saved: one adapter with its head, a stack, and a fusion below an adapter."""
    folder = tmp_path_factory.mktemp("plain")
    model = new_model()
    model.save_adapter(str(folder / "one"), "upper", use_safetensors=True)
    model.save_adapter_setup(str(folder / "stack"), Stack("lower", "upper"), head_setup="upper", use_safetensors=True)
    model.add_adapter("other", config=adapters.SeqBnConfig(reduction_factor=4))
    model.add_adapter_fusion(Fuse("lower", "other"))
    setup = Stack(Fuse("lower", "other"), "upper")
    model.save_adapter_setup(str(folder / "fuse"), setup, head_setup="upper", use_safetensors=True)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_snippet(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[float]:
    card = (folder / "README.md").read_text()
    code = re.findall(r"^```python\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)[0]
    monkeypatch.chdir(folder.parent)
    exec(compile(code, "card", "exec"), {"__name__": "__main__"})
    return list(ast.literal_eval(capsys.readouterr().out.splitlines()[-1]).values())


def test_one_adapter_becomes_a_package(plain, tmp_path):
    package = repackage(
        plain / "one",
        tmp_path / "package",
        backbone="nano",
        task="micro-copa",
        repo="org/name",
        licence="mit",
        environment={},
    )
    inspect_package(tmp_path / "package")
    assert read_package(tmp_path / "package") == package
    require_fit(tmp_path / "package", package, NANO)
    (adapter,) = package.adapters
    assert (adapter.name, adapter.task, adapter.has_head, adapter.run, adapter.data) == (
        "upper",
        "micro-copa",
        True,
        None,
        (),
    )
    assert (package.target, package.method, package.licence, package.scores) == ("micro-copa", "seq_bn", "mit", ())
    assert (package.backbone.name, package.backbone.digest) == ("nano", NANO.digest())
    card = (tmp_path / "package" / "README.md").read_text()
    assert "**No scores are known.**" in card
    assert "The training data is not known" in card
    assert "The hyper-parameters are not known." in card
    data = ModelCard(card).data
    assert (data.license, data.eval_results) == ("mit", None)


def test_the_path_that_the_library_wrote_is_gone(plain, tmp_path):
    saved = json.loads((plain / "one" / "adapter_config.json").read_text())
    assert saved["model_name"] == str(CHECKPOINTS / "nano")
    repackage(plain / "one", tmp_path / "package", backbone="nano", environment={})
    for name, data in files_of(tmp_path / "package").items():
        assert str(CHECKPOINTS).encode() not in data, name


def test_without_a_task_the_adapters_name_stands_for_it(plain, tmp_path):
    assert repackage(plain / "one", tmp_path / "package", backbone="nano", environment={}).target == "upper"


@pytest.mark.parametrize("setup", ["stack", "fuse"])
def test_a_setup_answers_as_before(plain, tmp_path, monkeypatch, capsys, setup):
    package = repackage(plain / setup, tmp_path / setup, backbone="nano", task="micro-copa", environment={})
    assert read_package(tmp_path / setup) == package
    inspect_package(tmp_path / setup)
    (composition,) = package.compositions
    assert (composition.combines, composition.head) == (setup, "upper")
    found = run_snippet(tmp_path / setup, monkeypatch, capsys)
    for folder in (plain / setup, tmp_path / setup):
        model = AutoAdapterModel.from_pretrained(str(CHECKPOINTS / "nano"))
        model.load_adapter_setup(str(folder), set_active=True, use_safetensors=True)
        model.active_head = "upper"
        model.eval()
        assert found == pytest.approx(answers(model), abs=1e-6)


def answers(model) -> list[float]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(CHECKPOINTS / "tokenizer"))
    first = "Anna dropped the cup. What happened as a result?"
    rows = tokenizer([first] * 2, ["The cup shattered.", "The cup overflowed."], padding=True, return_tensors="pt")
    with torch.no_grad():
        found: list[float] = model(**rows).logits[0].softmax(-1).tolist()
    return found


def test_a_package_of_ours_keeps_what_is_known(shared, tmp_path):
    before = read_package(shared)
    after = repackage(shared, tmp_path / "package", backbone="nano", licence="mit", environment={})
    assert after == before.model_copy(update={"licence": "mit"})
    names = set(files_of(shared)) - {"README.md", "manifest.json"}
    assert {name: files_of(tmp_path / "package")[name] for name in names} == {
        name: files_of(shared)[name] for name in names
    }


def test_another_encoder_is_refused(plain, tmp_path):
    with pytest.raises(MisfitError):
        repackage(plain / "one", tmp_path / "package", backbone="micro", environment={})
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_nobody_else_has_is_refused(plain, tmp_path, monkeypatch):
    own = replace(NANO, name="mine", weights="random", is_sandbox=False)
    opened = read_package(plain / "one"), own
    monkeypatch.setattr("adapter_transfer.publishing.repackaging.open_package", lambda folder, given: opened)
    with pytest.raises(ConfigError, match="'mine', whose random weights were made here"):
        repackage(plain / "one", tmp_path / "package", environment={})
    assert list(tmp_path.iterdir()) == []


def test_who_shares_says_which_encoder_it_was(plain, tmp_path):
    shutil.copytree(plain / "one", tmp_path / "one")
    for path in (tmp_path / "one").glob("*_config.json"):
        told = json.loads(path.read_text())
        path.write_text(json.dumps({**told, "model_name": "/models/checkpoint-9"}))
    package = repackage(tmp_path / "one", tmp_path / "package", backbone="nano", environment={})
    assert package.backbone.name == "nano"


def test_what_is_unsafe_is_refused(plain, tmp_path):
    shutil.copytree(plain / "one", tmp_path / "one")
    (tmp_path / "one" / "setup.py").write_text("print('hello')")
    with pytest.raises(UnsafePackageError, match=r"setup\.py"):
        repackage(tmp_path / "one", tmp_path / "package", backbone="nano", environment={})
    assert not (tmp_path / "package").exists()


def test_a_secret_of_the_trainers_is_refused(plain, tmp_path):
    shutil.copytree(plain / "one", tmp_path / "one")
    path = tmp_path / "one" / "adapter_config.json"
    secret = "hf" + "_" + "A1" * 16
    path.write_text(json.dumps({**json.loads(path.read_text()), "note": secret}))
    with pytest.raises(DataError) as caught:
        repackage(tmp_path / "one", tmp_path / "package", backbone="nano", environment={})
    assert secret not in str(caught.value)
    assert not (tmp_path / "package").exists()
