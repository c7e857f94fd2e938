"""`adapters ls | show | verify | push | pull | use`: a small trained adapter goes to a Hub and comes back."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from small_experiment import SMALL

from adapter_transfer.config import parse, read_document
from adapter_transfer.experiments.experiment import Experiment


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A store with the small experiment's five runs, two seeds of each; not to be changed."""
    from adapter_transfer_cli.main import main

    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.yaml").write_text(SMALL.replace("seeds: [1]", "seeds: [1, 2]"))
    arguments = ["--store", str(folder / "store"), "--device", "cpu", "--threads", "1", "--quiet"]
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(folder / "small.yaml"), *arguments])
    assert not ended.value.code
    return folder / "store"


@pytest.fixture
def store(trained, tmp_path) -> str:
    """A copy of it."""
    shutil.copytree(trained, tmp_path / "store")
    return str(tmp_path / "store")


@pytest.fixture
def hub(loopback_hub, monkeypatch, tmp_path):
    loopback_hub.use(monkeypatch, tmp_path / "hf")
    return loopback_hub


def listed(call, store):
    return json.loads(call("adapters", "ls", "--store", store, "--json").out)


def run_of(call, store, **wanted):
    rows = [row for row in listed(call, store) if all(row[key] == value for key, value in wanted.items())]
    return rows[0]["adapter"]


def test_ls_lists_what_was_trained(call, store):
    rows = listed(call, store)
    assert len(rows) == 6  # a seed has an intermediate, a target on it and one on nothing
    assert {row["method"] for row in rows} == {"seq_bn"}
    assert "next-event" in call("adapters", "ls", "--store", store).out


def test_ls_of_nothing_says_what_to_do(call, tmp_path):
    assert "adapters pull" in call("adapters", "ls", "--store", str(tmp_path / "none")).out


def test_ls_of_what_was_pulled_does_not_deny_what_was_trained(call, store):
    told = call("adapters", "ls", "--pulled", "--store", store).out
    assert "No adapters were pulled" in told and "adapters pull hub:org/name" in told


def test_commands_that_are_shown_can_be_pasted(call, store, hub, tmp_path, monkeypatch):
    run = run_of(call, store, composition="stack", seeds=[1])
    assert call("adapters", "push", run, "--to", "org/name", "--store", store).code == 0
    there, written = str(tmp_path / "my store"), str(tmp_path / "my experiment.yaml")

    def pasted(text):
        return shlex.split(text[text.index("adapter-transfer ") :])[1:]

    missing = call("adapters", "show", "hub:org/name", "--store", there).err
    pulled = call(*pasted(missing))
    assert pulled.code == 0, pulled.err
    (line,) = (line for line in pulled.out.splitlines() if line.startswith("How to use it"))
    assert call(*pasted(line)).code == 0
    used = call("adapters", "use", "hub:org/name", "--in", "demo", "-o", written, "--store", there, "--json")
    told = json.loads(used.out)
    assert pasted(told["written"].removesuffix(")")) == ["compare", written, "--store", there]
    assert call(*pasted(told["predict"]), "--device", "cpu").code == 0
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    exec(told["python"], known)
    assert known["predictor"].num_choices == 2


@pytest.mark.parametrize("verb", [("show",), ("push", "--to", "org/name", "--dry-run")])
def test_a_run_that_is_none_is_told_before_anything_is_loaded(call, store, monkeypatch, verb):
    for name in ("bundle", "contents"):
        monkeypatch.setitem(sys.modules, f"adapter_transfer.publishing.{name}", None)  # cannot be imported
    answer = call("adapters", *verb, "fedcba98", "--store", store)
    assert answer.code == 2 and "no run in" in answer.err
    short = [str(digit) for digit in "0123456789abcdef"]
    told = [call("adapters", *verb, digit, "--store", store).err for digit in short]
    assert not any("neither the id" in each for each in told)  # one digit is the beginning of an id


def test_a_misfit_is_told_with_its_name_once(call, store, tmp_path):
    folder = str(tmp_path / "package")
    run = run_of(call, store, target=None, seeds=[1])
    assert call("adapters", "push", run, "--output", folder, "--store", store, "--quiet").code == 0
    answer = call("adapters", "verify", folder, "--backbone", "mini", "--store", store)
    assert answer.code == 4 and "do not fit backbone 'mini'" in answer.out
    assert answer.out.splitlines()[0].count(folder) == 1


def test_show_of_a_run_is_what_would_be_shared(call, store):
    run = run_of(call, store, composition="stack", seeds=[1])
    told = json.loads(call("adapters", "show", run[:10], "--store", store, "--json").out)
    assert {adapter["path"] for adapter in told["adapters"]} == {"next-event", "micro-copa"}
    assert told["composition"] == "stack"
    assert told["backbone"]["is_sandbox"]
    assert {score["language"] for score in told["scores"]} == {"en", "qa"}
    shown = call("adapters", "show", run, "--store", store)
    assert "no evidence about published models" in shown.out
    assert "no interval below three seeds" in shown.out
    assert "package's author" not in shown.out  # measured here


def test_push_dry_run_shows_every_file_and_sends_nothing(call, store, hub):
    run = run_of(call, store, composition="stack", seeds=[1])
    answer = call("adapters", "push", run, "--all-seeds", "--to", "org/name", "--dry-run", "--store", store)
    assert answer.code == 0, answer.err
    for name in (
        "README.md",
        "manifest.json",
        "seed-1/next-event/adapter.safetensors",
        "seed-2/micro-copa/head_config.json",
    ):
        assert name in answer.out
    assert "dry run" in answer.out and "private" in answer.out
    assert hub.requests == []


def test_there_and_back(call, store, hub, tmp_path):
    run = run_of(call, store, composition="stack", seeds=[1])
    pushed = json.loads(call("adapters", "push", run, "--to", "org/name", "--store", store, "--json").out)
    assert pushed["is_private"]
    there = str(tmp_path / "elsewhere")
    pulled = call("adapters", "pull", "hub:org/name", "--store", there, "--json")
    assert pulled.code == 0, pulled.err
    told = json.loads(pulled.out)
    assert told["reference"] == f"hub:org/name@{pushed['commit']}"
    assert "next-event" in told["files"] or "next-event/adapter.safetensors" in told["files"]
    (row,) = listed(call, there)
    assert (row["adapter"], row["from"], row["composition"]) == (told["reference"], "hub", "stack")
    for arguments in (["hub:org/name"], [], [told["reference"]]):
        assert call("adapters", "verify", *arguments, "--store", there).code == 0
    shown = call("adapters", "show", "hub:org/name", "--store", there).out
    assert "micro-copa" in shown and "what the package's author says" in " ".join(shown.split())
    hub.requests.clear()
    assert call("adapters", "pull", told["reference"], "--store", there, "--quiet").code == 0
    assert hub.requests == []


def test_use_writes_a_configuration_that_is_valid(call, store, hub, tmp_path):
    run = run_of(call, store, target=None, seeds=[1])
    assert call("adapters", "push", run, "--to", "org/name", "--store", store).code == 0
    assert call("adapters", "pull", "hub:org/name", "--store", store).code == 0
    written = tmp_path / "mine.yaml"
    answer = call("adapters", "use", "hub:org/name", "--in", "demo", "--output", str(written), "--store", store)
    assert answer.code == 0, answer.err
    experiment = parse(Experiment, read_document(written))
    assert experiment.name == "mine"
    assert experiment.intermediates[-1].startswith("hub:org/name@")
    assert "# The sandbox" in written.read_text()
    again = call("adapters", "use", "hub:org/name", "--in", "demo", "--output", str(written), "--store", store)
    assert again.code == 2 and "--force" in again.err
    told = json.loads(call("adapters", "use", "hub:org/name", "--store", store, "--json").out)
    assert told["experiment"].startswith("intermediates: [none, hub:org/name@")


def test_verify_finds_a_flipped_bit(call, store):
    run = run_of(call, store, target=None, seeds=[1])
    path = Path(store) / "runs" / run / "artifact" / "adapters" / "next-event" / "adapter.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    answer = call("adapters", "verify", "--store", store)
    assert answer.code == 4
    assert run in answer.out and "has changed" in answer.out
    assert call("adapters", "verify", run_of(call, store, target=None, seeds=[2]), "--store", store).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pull", "deadbeef"], "no name on the Hub"),
        (["pull", "hub:name"], "names no adapter"),
        (["pull", "hub:a/b", "--max-size", "much"], "no size"),
        (["push", "abcd"], "--to org/name"),
        (["push", "abcd", "--to", "hub:a/b@main"], "--branch"),
        (["push", "hub:a/b", "--to", "c/d"], "what is on the Hub stays"),
        (["push", "abcd", "--to", "a/b", "-o", "x"], "leave --to or --output out"),
        (["show", "no such thing"], "neither the id of a run"),
        (["show", "hub:a/b"], "adapters pull hub:a/b"),
        (["use", "hub:a/b", "--in", "demo"], "go together"),
        (["pull", "https://hub.example/org/name"], "no name on the Hub; write hub:"),
        (["use", ".", "--in", "demo", "-o", "x"], "push this folder first"),
        (["use", "hub:a/b", "--in", "no-such", "-o", "x"], "no-such"),
        (["verify", "./nowhere"], "is not there"),
    ],
)
def test_wrong_calls_end_with_one_message(call, tmp_path, arguments, said):
    answer = call("adapters", *arguments, "--store", str(tmp_path / "store"))
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("option", ["--message", "--branch"])
@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("ghp_" + "A1b2" * 8, "holds a GitHub token"),  # as in any argument
        ("password=swordfish", "{option} holds a password or key that is said outright"),
    ],
    ids=["token", "words"],
)
def test_a_secret_in_a_commits_message_is_not_pushed(call, hub, tmp_path, option, secret, told):
    said = call("adapters", "push", "abcd", "--to", "org/name", option, f"by {secret}", "--store", str(tmp_path))
    assert said.code == 2 and told.format(option=option) in said.err and secret not in said.err
    assert not hub.received
