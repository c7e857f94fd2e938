"""The command line: every verb answers, machines get JSON, people get one clear message."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

VERBS = [
    "demo",
    "compare",
    "plan",
    "status",
    "results",
    "report",
    "train",
    "evaluate",
    "cp",
    "validate",
    "schema",
    "doctor",
    "ls",
    "sandbox",
]
SMALL = """
name: small
backbones: [nano]
methods: [{name: seq_bn, settings: {reduction_factor: 4}}]
intermediates: [none, next-event]
target: micro-copa
languages: [en, qa]
seeds: [1]
training:
  - {learning_rate: 1e-3, batch_size: 8, epochs: 1, max_length: 64, max_train_examples: 16}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(call, verb):
    answer = call(verb, "--help")
    assert answer.code == 0
    assert "Example: adapter-transfer " + verb in answer.out


@pytest.mark.parametrize("what", ["backbones", "tasks", "methods", "configs"])
def test_lists_are_tables_and_json(call, what):
    assert call("ls", what).code == 0
    rows = json.loads(call("ls", what, "--json").out)
    assert all(row["name"] and row["summary"] for row in rows)


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from adapter_transfer_cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'adapters', 'altair', 'pyarrow'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


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
    evaluated = call("evaluate", target[:10], "--language", "qb", *store, "--device", "cpu", "--json")
    assert [row["language"] for row in json.loads(evaluated.out)] == ["qb"]


def test_train_one_phase(call, config, tmp_path):
    store = ("--store", str(tmp_path / "store"), "--device", "cpu", "--threads", "1", "--json")
    base = ("train", config, "--backbone", "nano", "--method", "seq_bn", "--intermediate", "next-event")
    trained = json.loads(call(*base, "--phase", "intermediate", *store).out)
    assert trained["description"]["task"] == "next-event"
    assert trained["metrics"]["num_steps"] == 2
    plan = json.loads(call("plan", config, "--json", "--store", str(tmp_path / "store")).out)
    done = [run["id"] for run in plan["runs"] if run["status"] == "done"]
    assert done == [trained["id"]]


def test_copying_a_configuration(call, tmp_path):
    assert call("cp", "demo", str(tmp_path)).code == 0
    assert call("validate", str(tmp_path / "demo.yaml")).code == 0
    again = call("cp", "demo", str(tmp_path))
    assert again.code == 2
    assert "there already" in again.err


def test_the_schema_is_json_with_descriptions(call):
    schema = json.loads(call("schema").out)
    assert schema["properties"]["backbones"]["description"]


def bad_yaml(tmp_path: Path, text: str) -> str:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    return str(path)


ALIASES = SMALL.replace("seeds: [1]", "seeds: &s [1]\nlanguages: *s").replace("languages: [en, qa]\n", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL + "backbnes: [nano]\n", r"bad.yaml:\d+: .*unknown key 'backbnes'. Did you mean 'backbones'"),
        (SMALL.replace("nano", "nanoo"), "unknown backbone 'nanoo'. Did you mean 'nano'"),
        (SMALL.replace("seq_bn", "seq_bnn"), "unknown method 'seq_bnn'. Did you mean 'seq_bn'"),
        (SMALL.replace("next-event", "nextevent"), "Did you mean 'next-event'"),
        (SMALL.replace("micro-copa", "mikro-copa"), "Did you mean 'micro-copa'"),
        (SMALL.replace("[en, qa]", "[en, qaa]"), "unknown language 'qaa'"),
        (SMALL + "seeds: [2]\n", "'seeds' is already given on line"),
        (ALIASES, r"uses the alias \*s"),
        ("a: [" * 30 + "]" * 30, "nested more than"),
        ("x: " + "1" * (1 << 20), "larger than"),
        ("- 1\n- 2\n", "must be a mapping"),
        ("", "is empty"),
        ("a: [1\n", "not valid YAML"),
    ],
)
def test_a_bad_configuration_gets_one_clear_message(call, tmp_path, text, message):
    store = tmp_path / "store"
    answer = call("compare", bad_yaml(tmp_path, text), "--store", str(store))
    assert answer.code == 2
    assert re.search(message, " ".join(answer.err.split())), answer.err
    assert "Traceback" not in answer.err
    assert not (store / "runs").exists() or not list((store / "runs").iterdir())


def test_every_problem_is_told_at_once(call, tmp_path):
    text = SMALL.replace("nano", "nanoo").replace("micro-copa", "mikro-copa").replace("seeds: [1]", "seeds: [-1]")
    answer = call("validate", bad_yaml(tmp_path, text))
    assert answer.err.count("bad.yaml:") == 3


def test_an_unknown_configuration_suggests_a_shipped_one(call):
    answer = call("compare", "dmo")
    assert answer.code == 2
    assert "Did you mean 'demo'" in answer.err


def test_an_unwritable_store(call, config, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    answer = call("compare", config, "--store", str(tmp_path / "file" / "store"), "--device", "cpu")
    assert answer.code == 3
    assert "Traceback" not in answer.err
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_store_of_a_newer_version(call, config, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").write_text('{"format_version": 99, "created_by": "9.9"}')
    answer = call("compare", config, "--store", str(tmp_path / "store"), "--device", "cpu")
    assert answer.code == 3
    assert "99" in answer.err
    assert "Upgrade" in answer.err


def test_somebody_elses_folder_is_left_alone(call, config, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    answer = call("compare", config, "--store", str(tmp_path / "photos"), "--device", "cpu")
    assert answer.code == 3
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_nothing_possible_is_an_error(call, tmp_path):
    text = SMALL.replace("[{name: seq_bn, settings: {reduction_factor: 4}}]", "[full]") + "compositions: [stack]\n"
    text = text.replace("[none, next-event]", "[next-event]")
    answer = call("validate", bad_yaml(tmp_path, text))
    assert answer.code == 2
    assert "no adapter to stack" in answer.err


def test_failed_runs_end_with_5_and_keep_the_others(call, tmp_path):
    path = bad_yaml(tmp_path, SMALL + "  - {when: {task: next-event}, learning_rate: 1e30, warmup_share: 0}\n")
    answer = call("compare", path, "--store", str(tmp_path / "store"), "--device", "cpu", "--threads", "1")
    assert answer.code == 5
    assert "no longer a number" in answer.err
    assert "Accuracy on micro-copa" in answer.out
    states = json.loads(call("status", path, "--store", str(tmp_path / "store"), "--json").out)
    assert [run["status"] for run in states["runs"]].count("failed") == 1
    assert states["failures"]


def test_wrong_options_end_with_2(call):
    assert call("plan", "demo", "--sed", "1").code == 2
    assert call("nonsense").code == 2
    assert call("train", "demo", "--backbone", "nano", "--method", "seq_bm").code == 2


def test_results_of_no_store(call, tmp_path):
    answer = call("results", "--store", str(tmp_path / "nothing"))
    assert answer.code == 3
    assert "there is no store" in answer.err
