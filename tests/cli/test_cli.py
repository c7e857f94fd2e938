"""The command line: every verb answers, machines get JSON, people get one clear message."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from adapter_transfer_cli import train
from adapter_transfer_cli.main import app

OPTIONS = {
    "adapters ls": {"--json", "--debug"},
    "adapters show": {"--json", "--debug"},
    "adapters verify": {"--json", "--quiet", "--debug"},
    "adapters push": {"--json", "--quiet", "--debug"},
    "adapters pull": {"--json", "--quiet", "--debug"},
    "adapters use": {"--json", "--debug"},
    "demo": {"--json", "--quiet", "--debug"},
    "diff": {"--json", "--quiet", "--debug"},
    "compare": {"--json", "--quiet", "--debug"},
    "plan": {"--json", "--quiet", "--debug"},
    "status": {"--json", "--quiet", "--debug"},
    "results": {"--json", "--quiet", "--debug"},
    "report": {"--json", "--quiet", "--debug"},
    "train": {"--json", "--quiet", "--debug"},
    "evaluate": {"--json", "--quiet", "--debug"},
    "validate": {"--json", "--quiet", "--debug"},
    "cp": {"--quiet", "--debug"},
    "sandbox build": {"--quiet", "--debug"},
    "sandbox verify": {"--quiet", "--debug"},
    "doctor": {"--json", "--debug"},
    "ls backbones": {"--json", "--debug"},
    "ls memory": {"--json", "--debug"},
    "ls tasks": {"--json", "--debug"},
    "ls methods": {"--json", "--debug"},
    "ls configs": {"--json", "--debug"},
    "ls recipes": {"--json", "--debug"},
    "data show": {"--json", "--debug"},
    "predict": {"--json", "--quiet", "--debug"},
    "serve": {"--json", "--quiet", "--debug"},
    "prepare": {"--json", "--quiet", "--debug"},
    "schema": {"--debug"},
}
"""Verb → its part of the shared options: --json where results are printed, --quiet where there are notes."""
VERBS = sorted({verb.split()[0] for verb in OPTIONS})


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(call, verb):
    answer = call(verb, "--help")
    assert answer.code == 0
    assert "Example: adapter-transfer " + verb in answer.out


def test_the_options_of_the_verbs_are_even():
    def leaves(command, name):
        for word, inner in getattr(command, "commands", {}).items():
            yield from leaves(inner, f"{name} {word}".strip())
        if not hasattr(command, "commands"):
            yield name, {option for parameter in command.params for option in parameter.opts}

    shared = {"--json", "--quiet", "--debug"}
    assert {name: options & shared for name, options in leaves(get_command(app), "")} == OPTIONS


HEAVY = (
    *("adapters", "altair", "datasets", "fastapi", "gradio", "huggingface_hub", "jinja2", "pandas", "pyarrow"),
    *("safetensors", "scipy", "torch", "transformers", "uvicorn"),
)


@pytest.mark.parametrize("what", ["backbones", "tasks", "methods", "configs"])
def test_lists_are_tables_and_json(call, what):
    assert call("ls", what).code == 0
    rows = json.loads(call("ls", what, "--json").out)
    assert all(row["name"] and row["summary"] for row in rows)


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from adapter_transfer_cli.main import main\n"
        "for verb in ([], ['predict'], ['serve'], *(['adapters', name] for name in sys.argv[1:])):\n"
        "    try: main([*verb, '--help'])\n"
        "    except SystemExit: pass\n"
        "print(sorted(set(HEAVY) & set(sys.modules)))\n"
    )
    verbs = ["ls", "pull", "push", "show", "use", "verify"]
    command = [sys.executable, "-c", f"HEAVY = {HEAVY!r}\n{code}", *verbs]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(f"adapters {verb}" in done.stdout for verb in verbs)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_plan_without_pulled_adapters_loads_no_torch(config, tmp_path):
    code = (
        "import sys\n"
        "from adapter_transfer_cli.main import main\n"
        "try: main(['plan', sys.argv[1], '--store', sys.argv[2]])\n"
        "except SystemExit as ended: print(ended.code)\n"
        "print(sorted({'torch', 'transformers', 'adapters'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", code, config, str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-2:] == ["0", "[]"]


def test_plan_for_machines(call, config, tmp_path):
    answer = call("plan", config, "--json", "--store", str(tmp_path / "none"), "--set", "compositions=[stack]")
    plan = json.loads(answer.out)
    assert [run["phase"] for run in plan["runs"]].count("target") == 2
    assert {run["status"] for run in plan["runs"]} == {"todo"}
    assert not (tmp_path / "none").exists()


def test_a_whole_experiment_through_the_command_line(call, config, tmp_path):
    store = ("--store", str(tmp_path / "store"))
    first = call("compare", config, *store, "--device", "cpu", "--threads", "1")
    assert first.code == 0, first.err
    assert "no evidence about XLM-R" in first.out
    report = tmp_path / "store" / "small" / "report.html"
    assert str(report) in first.out
    assert "no evidence about" in report.read_text("utf-8")
    again = call("compare", config, *store, "--device", "cpu", "--json")
    assert json.loads(again.out)["results"]
    results = json.loads(call("results", config, *store, "--json", "--language", "qa").out)
    named = ("run", "backbone", "precision", "method", "composition", "intermediate", "target", "language")
    promised = {*named, "seed", "accuracy", "num_items"}
    assert len(results) == 2
    for result in results:
        assert promised <= result.keys()
        assert result["num_items"] == 500
        assert 0 <= result["accuracy"] <= 1
    assert {result["composition"] for result in results} == {"none", "stack"}
    plan = json.loads(call("plan", config, *store, "--json").out)
    assert {run["status"] for run in plan["runs"]} == {"done"}
    assert "5 of 5 runs done" in call("status", config, *store).out
    assert call("report", config, *store, "-o", str(tmp_path / "page.html")).code == 0
    assert (tmp_path / "page.html").stat().st_size > 100_000
    target = next(run["id"] for run in plan["runs"] if run["phase"] == "target")
    evaluated = call("evaluate", target[:10], "--language", "sandbox", *store, "--device", "cpu", "--json")
    assert [row["language"] for row in json.loads(evaluated.out)] == ["qa", "qb", "qc"]
    once = json.loads(call("results", *store, "--json", "--language", "sandbox").out)
    rows = [(row["target_run"], row["language"]) for row in once]
    assert sorted(set(rows)) == sorted(rows)
    assert len(rows) == 4
    assert call("results", *store, "--seed", "7", "--quiet").out == ""
    page = str(tmp_path / "page.html")
    assert json.loads(call("report", config, *store, "-o", page, "--json").out) == {"report": page}
    a_damaged_run_is_told(call, config, store, Path(store[1]) / "runs" / target)


def a_damaged_run_is_told(call, config, store, folder):
    (folder / "manifest.json").write_text("{}")
    answer = call("compare", config, *store, "--device", "cpu", "--set", "seeds=[1,2]", "--json")
    assert answer.code == 3
    assert str(folder) in answer.err
    assert "Restore the folder" in answer.err
    assert json.loads(answer.out)["results"], "what can be shown is shown"
    for arguments in ((), (config,)):
        status = call("status", *arguments, *store, "--json")
        assert status.code == 0
        (damaged,) = [run for run in json.loads(status.out)["runs"] if run["status"] == "damaged"]
        assert damaged["id"] == folder.name
        assert "manifest.json is damaged" in damaged["reason"]
        assert "damaged " + folder.name[:12] in call("status", *arguments, *store).out
    plan = call("plan", config, *store)
    assert plan.code == 0
    assert "manifest.json is damaged" in plan.out


def test_train_one_phase(call, config, tmp_path):
    store = ("--store", str(tmp_path / "store"), "--device", "cpu", "--threads", "1", "--json")
    base = ("train", config, "--backbone", "nano", "--method", "seq_bn", "--intermediate", "next-event")
    trained = json.loads(call(*base, "--phase", "intermediate", *store).out)
    assert trained["description"]["task"] == "next-event"
    assert trained["metrics"]["num_steps"] == 2
    plan = json.loads(call("plan", config, "--json", "--store", str(tmp_path / "store")).out)
    done = [run["id"] for run in plan["runs"] if run["status"] == "done"]
    assert done == [trained["id"]]


@pytest.mark.parametrize("changes", [(), ("--set", "backbones=[real-text-random]")])
def test_train_trains_the_runs_of_the_plan(call, config, tmp_path, monkeypatch, changes):
    changes = (*changes, "--set", "intermediates=[none,next-event,event-nli]", "--store", str(tmp_path / "store"))
    backbone = "real-text-random" if len(changes) > 4 else "nano"
    trained = []

    def capture(plan, *_, **__):
        trained.extend(run.spec.id for run in plan.runs)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "run_plan", capture)
    choice = ("--backbone", backbone, "--method", "seq_bn", "--intermediate", "next-event")
    answer = call("train", config, *choice, *changes)
    assert (answer.code, answer.err.count("Interrupted.")) == (130, 1)
    planned = json.loads(call("plan", config, *changes, "--json").out)["runs"]
    wanted = [run["id"] for run in planned if run["intermediate"] == "next-event" and run["phase"] != "evaluation"]
    assert trained == wanted
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("make", [False, True])
def test_no_store_yet(call, config, tmp_path, make):
    folder = tmp_path / "store"
    if make:
        folder.mkdir()
    assert call("plan", config, "--store", str(folder)).code == 0
    checks = json.loads(call("doctor", "--store", str(folder), "--json").out)
    (check,) = [check for check in checks if check["check"] == "store"]
    assert check["ok"]
    assert "will be made" in check["detail"]
    assert (list(folder.iterdir()) if make else folder.exists()) in ([], False)


def test_comparing_for_machines_is_json_even_if_nothing_is_finished(call, config, tmp_path):
    store = ("--store", str(tmp_path / "store"), "--device", "cpu", "--threads", "1")
    answer = call("compare", config, *store, "--json", "--set", "training.0.learning_rate=1e30")
    assert answer.code == 5
    assert json.loads(answer.out) == {"experiment": "small", "report": None, "results": []}


def test_debug_reaches_the_workers(call, config, tmp_path, monkeypatch):
    levels = []

    def capture(plan, store_dir, settings, **_):
        levels.append(settings.log_level)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "run_plan", capture)
    choice = ("--backbone", "nano", "--method", "seq_bn", "--store", str(tmp_path / "store"))
    call("train", config, *choice)
    call("train", config, *choice, "--debug")
    assert levels == [logging.WARNING, logging.DEBUG]


def test_copying_a_configuration(call, tmp_path):
    assert call("cp", "demo", str(tmp_path)).code == 0
    assert call("validate", str(tmp_path / "demo.yaml")).code == 0
    again = call("cp", "demo", str(tmp_path))
    assert again.code == 2
    assert "there already" in again.err


def test_the_schema_is_json_with_descriptions(call):
    schema = json.loads(call("schema").out)
    assert schema["properties"]["backbones"]["description"]
