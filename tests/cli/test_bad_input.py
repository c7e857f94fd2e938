"""Bad input on the command line: one clear message, a documented exit code, and nothing lost or made."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path

import pytest
from small_experiment import SMALL


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
    assert not store.exists()


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
    assert "no adapter to keep" in answer.err


def test_failed_runs_end_with_5_and_keep_the_others(call, tmp_path):
    path = bad_yaml(tmp_path, SMALL + "  - {when: {task: next-event}, learning_rate: 1e30, warmup_share: 0}\n")
    answer = call("compare", path, "--store", str(tmp_path / "store"), "--device", "cpu", "--threads", "1")
    assert answer.code == 5
    assert "no longer numbers" in answer.err
    assert "Accuracy on micro-copa" in answer.out
    states = json.loads(call("status", path, "--store", str(tmp_path / "store"), "--json").out)
    (failed,) = [run for run in states["runs"] if run["status"] == "failed"]
    assert "no longer numbers" in failed["reason"]
    assert (failed["phase"], failed["backbone"], failed["method"], failed["seed"]) == (
        "intermediate",
        "nano",
        "seq_bn",
        1,
    )
    plan = json.loads(call("plan", path, "--store", str(tmp_path / "store"), "--json").out)
    assert [run["reason"] for run in plan["runs"] if run["status"] == "failed"] == [failed["reason"]]


def test_wrong_options_end_with_2(call):
    assert call("plan", "demo", "--sed", "1").code == 2
    assert call("nonsense").code == 2


def test_results_of_no_store(call, tmp_path):
    answer = call("results", "--store", str(tmp_path / "nothing"))
    assert answer.code == 3
    assert "there is no store" in answer.err


@pytest.mark.parametrize("verb", ["compare", "demo", "train"])
def test_a_device_that_cannot_be_had_is_told_before_anything_is_made(call, tmp_path, verb, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    choice = {"train": ("demo", "--backbone", "nano", "--method", "full"), "compare": ("demo",), "demo": ("--quick",)}
    answer = call(verb, *choice[verb], "--device", "cuda", "--store", str(tmp_path / "store"))
    assert answer.code == 6
    assert "--device" in answer.err
    assert not (tmp_path / "store").exists()


def test_an_unknown_tracker_suggests_one(call, config, tmp_path):
    store = tmp_path / "store"
    answer = call("compare", config, "--device", "cpu", "--tracker", "tensorbord", "--store", str(store))
    assert answer.code == 2
    assert "Did you mean 'tensorboard'" in answer.err
    assert not store.exists()


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--backbone", "nan", "Did you mean 'nano'"),
        ("--precision", "fp23", "Did you mean 'fp32'"),
        ("--method", "seq_bm", "Did you mean 'seq_bn'"),
        ("--composition", "stak", "Did you mean 'stack'"),
        ("--intermediate", "nextevent", "Did you mean 'next-event'"),
        ("--target", "mikro-copa", "Did you mean 'micro-copa'"),
        ("--language", "sandbx", "Did you mean 'sandbox'"),
    ],
)
def test_an_unknown_filter_suggests_a_name(call, option, name, message):
    answer = call("results", option, name)
    assert answer.code == 2
    assert message in answer.err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"--backbone": "nao"}, "unknown backbone 'nao'. Did you mean 'nano'"),
        ({"--backbone": "mini"}, "has no backbone 'mini'; it has nano. Add it: --set backbones=[nano,mini]"),
        ({"--method": "seq_bm"}, "unknown method 'seq_bm'. Did you mean 'seq_bn'"),
        ({"--method": "full"}, "has no method 'full'; it has seq_bn. Add it: --set methods=[…,full]"),
        ({"--intermediate": "event-nli"}, "Add it: --set intermediates=[none,next-event,event-nli]"),
        ({"--seed": "5"}, "has no seed '5'; it has 1. Add it: --set seeds=[1,5]"),
        ({"--phase": "intermediate"}, "--phase intermediate needs a task"),
        ({"--composition": "stack"}, "no run of the configuration has this precision and composition"),
        ({"--set": "precisions=[fp32,bf16]"}, "2 runs of the configuration match: fp32 none, bf16 none"),
    ],
)
def test_training_what_the_configuration_does_not_have(call, config, tmp_path, changed, message):
    chosen = {"--backbone": "nano", "--method": "seq_bn", **changed}
    arguments = [word for option in chosen.items() for word in option]
    answer = call("train", config, *arguments, "--store", str(tmp_path / "store"), "--device", "cpu")
    assert answer.code == 2
    assert message in answer.err
    assert not (tmp_path / "store").exists()


def test_training_an_impossible_cell(call, config, tmp_path):
    more = ("--set", "methods=[full]", "--set", "compositions=[stack]")
    choice = ("--backbone", "nano", "--method", "full", "--intermediate", "next-event")
    answer = call("train", config, *choice, *more, "--store", str(tmp_path / "store"))
    assert answer.code == 2
    assert "no adapter to keep" in answer.err


@pytest.mark.parametrize("verb", ["plan", "compare", "status", "results", "report"])
def test_a_file_is_no_store(call, config, tmp_path, verb):
    (tmp_path / "file").write_text("mine")
    arguments = () if verb == "results" else (config,)
    answer = call(verb, *arguments, "--store", str(tmp_path / "file"))
    assert answer.code == 3
    assert "Traceback" not in answer.err
    assert "unexpected" not in answer.err


def test_a_folder_that_cannot_be_read(call, config, monkeypatch, tmp_path):
    def refuse(path: Path, **_: object) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", refuse)
        answer = call("plan", config, "--store", str(tmp_path))
    assert answer.code == 3
    assert "Permission denied" in answer.err
