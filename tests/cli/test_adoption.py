"""A configuration with a pulled intermediate, from the Hub to the report, and everything that names it on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from adopted_packages import NAME, REPO, write_package
from small_experiment import SMALL

from adapter_transfer.config import parse, read_text
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import Plan, make_plan
from adapter_transfer.experiments.store import Store

FORMATS = ("html", "csv", "parquet", "json", "latex", "markdown")
CPU = ("--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The folder of a package."""
    store = Store.open(tmp_path_factory.mktemp("trained") / "store")
    plan = make_plan(parse(Experiment, read_text(SMALL, "small.yaml")), store)
    lower = [run for run in plan.runs if run.spec.phase == "intermediate"]
    assert not execute(Plan("lower", tuple(lower), ()), store, MachineSettings(device="cpu", threads=1)).failed
    return write_package(store, {".": lower[0].spec}, tmp_path_factory.mktemp("package"))


@pytest.fixture
def pulling(tmp_path):
    """The file of an experiment that pulls its intermediate."""
    path = tmp_path / "pulling.yaml"
    path.write_text(SMALL.replace("next-event", NAME).replace("seeds: [1]", "seeds: [1, 2]"))
    return str(path)


@pytest.fixture
def hub(loopback_hub, shared, monkeypatch, tmp_path):
    loopback_hub.use(monkeypatch, tmp_path / "home")
    loopback_hub.add_model(REPO, shared)
    return loopback_hub


def commit_of(pulling):
    (pin,) = json.loads(Path(pulling).with_suffix(".lock.json").read_text())["pins"]
    assert (pin["kind"], pin["repo"], pin["revision"]) == ("model", REPO, "main")
    return pin["commit"]


@pytest.mark.slow
def test_from_the_hub_to_the_report(call, hub, pulling, tmp_path, monkeypatch):
    store = ("--store", str(tmp_path / "store"))
    answer = call("compare", pulling, *store, *CPU)
    assert answer.code == 0, answer.err
    assert "one training of the intermediate stands below all seeds (1, 2)" in answer.err.replace("\n", " ")
    commit = commit_of(pulling)
    report = (tmp_path / "store" / "small" / "report.html").read_text()
    assert f"pulled from {REPO} at {commit[:12]}" in report
    assert "one training of the intermediate stands below all seeds" in report
    assert "is not counted: it was not trained here" in report

    results = json.loads(call("results", *store, "--json").out)
    assert {result["intermediate"] for result in results} == {"none", NAME}
    assert call("status", *store).code == 0
    target = next(r["target_run"] for r in results if r["intermediate"] == NAME and r["seed"] == 1)
    baseline = next(r["target_run"] for r in results if r["intermediate"] == "none" and r["seed"] == 1)
    assert NAME in call("diff", target, baseline, *store).out.replace("\n", "")
    assert call("report", *store).code == 0
    named = call("results", *store, "--intermediate", NAME, "--json")
    assert {result["intermediate"] for result in json.loads(named.out)} == {NAME}

    for form in FORMATS:
        for of in ([], [pulling]):
            assert call("report", *of, *store, "--format", form).code == 0
    assert NAME in (tmp_path / "store" / "small" / "report.csv").read_text()

    # What is there is not asked for again: not by name, because the lock pins it, and not without a network.
    hub.requests.clear()
    hub.use(monkeypatch, tmp_path / "other-home", offline=True)
    again = call("compare", pulling, *store, *CPU)
    assert again.code == 0, again.err
    assert hub.requests == []

    # One adapter by its commit is the same runs, under the name that is asked for.
    by_commit = Path(pulling).with_name("by-commit.yaml")
    by_commit.write_text(Path(pulling).read_text().replace("@main", f"@{commit}"))
    answer = call("compare", str(by_commit), *store, *CPU, "--json")
    assert {result["intermediate"] for result in json.loads(answer.out)["results"]} == {"none", NAME[:-4] + commit}
    assert hub.requests == []


@pytest.mark.slow
def test_alone_it_is_reported_without_figures_of_its_training(call, hub, pulling, tmp_path):
    store = ("--store", str(tmp_path / "store"))
    alone = ("--set", "target=none", "--set", "evaluate=micro-copa", "--set", f"intermediates=[{NAME}, next-event]")
    answer = call("compare", pulling, *alone, *store, *CPU)
    assert answer.code == 0, answer.err
    for form in FORMATS:
        assert call("report", *store, "--format", form).code == 0
    results = json.loads(call("results", *store, "--json").out)
    (pulled,) = {result["train_loss_last"] for result in results if result["intermediate"] == NAME}
    assert pulled is None
    assert all(result["trained_parameters"] > 0 for result in results)


def test_plan_and_validate_tell_of_it(call, hub, pulling, tmp_path):
    store = ("--store", str(tmp_path / "store"))
    told = call("validate", pulling, *store)
    assert told.code == 0, told.err
    assert "valid; 10 runs, 0 impossible cells" in told.out
    assert told.err.count("fetching it from the Hub\n") == 1
    made = json.loads(call("plan", pulling, *store, "--json").out)
    (lower, _) = [run for run in made["runs"] if run["phase"] == "intermediate"]
    assert (lower["task"], lower["adopted"]["repo"], lower["flops"]) == (NAME, REPO, 0)
    assert lower["training"] == {"max_length": 64}
    assert any("below all seeds" in warning for warning in made["warnings"])
    shown = call("plan", pulling, *store)
    assert shown.code == 0 and "adopt" in shown.out
    assert "fetching" not in shown.err  # it is there by now


def test_train_takes_it_over(call, hub, pulling, tmp_path):
    asked = ("--backbone", "nano", "--method", "seq_bn", "--phase", "intermediate", "--intermediate", f"hub:{REPO}")
    answer = call("train", pulling, *asked, "--store", str(tmp_path / "store"), *CPU)
    assert answer.code == 0, answer.err
    assert f"pulled from {REPO} at " in answer.out and "nothing was trained" in answer.out


def test_what_is_no_package_is_one_message(call, loopback_hub, pulling, tmp_path, monkeypatch):
    loopback_hub.use(monkeypatch, tmp_path / "home")
    folder = tmp_path / "pickle"
    folder.mkdir()
    (folder / "pytorch_adapter.bin").write_bytes(b"\x80\x04.")
    (folder / "adapter_config.json").write_text("{}")
    loopback_hub.add_model(REPO, folder)
    answer = call("validate", pulling, "--store", str(tmp_path / "store"))
    assert answer.code == 4
    assert "--convert" in answer.err and "Traceback" not in answer.err


def test_a_conversion_that_is_not_here_is_told_with_its_command(call, loopback_hub, pulling, tmp_path, monkeypatch):
    loopback_hub.use(monkeypatch, tmp_path / "home", offline=True)
    name = f"hub:{REPO}@{'a' * 40}#{'b' * 64}"
    Path(pulling).write_text(Path(pulling).read_text().replace(NAME, f"'{name}'"))
    answer = call("validate", pulling, "--store", str(tmp_path / "store"))
    assert answer.code == 4
    assert f"adapter-transfer adapters pull --convert '{name}'" in answer.err.replace("\n", "")
    assert loopback_hub.requests == []
