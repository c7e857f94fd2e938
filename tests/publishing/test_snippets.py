"""The code of the cards runs as it stands, in a process of its own, and gives what we give."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hub_content import publish_encoder
from trained_cells import ONE_CELL, train_cells

from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.prediction.loading import load
from adapter_transfer.prediction.questions import Prediction, Question
from adapter_transfer.publishing.bundle import choose_bundle
from adapter_transfer.publishing.contents import write_package

QUESTION = Question("Anna dropped the cup.", "effect", ("The cup shattered.", "The cup overflowed."))

# Each snippet as if it were alone: importing the libraries takes most of the time, and is done once.
DRIVER = """
import contextlib, io, json, os, sys
for folder, code in json.load(sys.stdin):
    os.chdir(folder)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "card", "exec"), {"__name__": "__main__"})
    print(json.dumps(printed.getvalue()))
"""


def run_snippets(snippets: Sequence[tuple[Path, str]], environment: Mapping[str, str] | None = None) -> list[str]:
    """What each prints, run in its folder."""
    given = json.dumps([[str(folder), code] for folder, code in snippets])
    result = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=given,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return [json.loads(line) for line in result.stdout.splitlines()]


def blocks(package: Path, language: str) -> list[str]:
    card = (package / "README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)


def probabilities_of_plain(printed: str) -> list[float]:
    found = ast.literal_eval(printed.splitlines()[-1])
    assert tuple(found) == QUESTION.choices
    return list(found.values())


def probabilities_of_ours(printed: str) -> list[float]:
    (prediction,) = eval(printed, {"Prediction": Prediction})
    return list(prediction.probabilities)


def probabilities_of_run(store, run_id) -> list[float]:
    """What the run itself answers, from the store's own artifacts."""
    (prediction,) = load(run_id, store=store.root, device="cpu").predict([QUESTION])
    return list(prediction.probabilities)


def written(store, find, folder, **wanted) -> tuple[str, Path]:
    (run_id,) = find(store, phase="target", **wanted)
    write_package(store, choose_bundle(store, [run_id]), folder, environment={})
    return run_id, folder


def test_snippets_run_and_agree_with_the_runs(shared, seeds, others, find, tmp_path):
    stacked = find(seeds, phase="target", composition="stack")[0]
    packages = [(seeds, stacked, shared)]
    for composition, method in (
        ("stack", "seq_bn"),
        ("stack-tuned", "seq_bn"),
        ("sequential", "seq_bn"),
        ("sum", "lora"),
    ):
        folder = tmp_path / f"a {composition}'s"
        run_id, _ = written(others, find, folder, composition=composition, method=method)
        packages.append((others, run_id, folder))
    snippets = [(folder.parent, code) for _, _, folder in packages for code in blocks(folder, "python")]
    assert len(snippets) == 2 * len(packages)
    printed = run_snippets(snippets)
    for number, (store, run_id, folder) in enumerate(packages):
        plain, ours = printed[2 * number : 2 * number + 2]
        expected = probabilities_of_run(store, run_id)
        assert probabilities_of_plain(plain) == pytest.approx(expected, abs=1e-6), folder.name
        assert probabilities_of_ours(ours) == pytest.approx(expected, abs=1e-6), folder.name
        assert abs(expected[0] - 0.5) > 1e-5, "of a head that answers nothing, every way would agree"


@pytest.mark.slow
def test_an_intermediate_alone_answers_its_own_task(seeds, find, tmp_path):
    (run_id, *_) = find(seeds, phase="intermediate")
    write_package(seeds, choose_bundle(seeds, [run_id]), tmp_path / "package", environment={})
    (plain, _) = blocks(tmp_path / "package", "python")
    found = ast.literal_eval(run_snippets([(tmp_path, plain)])[0])
    question = Question(QUESTION.premise, "", tuple(found))
    (expected,) = load(run_id, store=seeds.root, device="cpu").predict([question])
    assert len(found) == 4
    assert list(found.values()) == pytest.approx(list(expected.probabilities), abs=1e-6)


@pytest.mark.slow
def test_the_command_runs(shared):
    (command,) = blocks(shared, "bash")
    program, *arguments = shlex.split(command)
    assert program == "adapter-transfer"
    code = "from adapter_transfer_cli.main import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--device", "cpu", "--json"],
        cwd=shared.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert json.loads(result.stdout)["choice"] in (0, 1)


@pytest.mark.slow
def test_snippets_run_against_the_hub(loopback_hub, tmp_path, monkeypatch):
    """The encoder and the package lie on a Hub, and the process that runs the snippets has an empty cache."""
    (commit,) = publish_encoder(loopback_hub, tmp_path / "encoder", "org/tiny").values()
    with monkeypatch.context() as here:
        loopback_hub.use(here, tmp_path / "home")
        store = train_cells(tmp_path / "store", ONE_CELL.replace("[nano]", "[org/tiny]"))
        (run_id,) = [run_id for run_id in store.run_ids() if store.read(run_id).run["description"]["phase"] == "target"]
        package = write_package(
            store, choose_bundle(store, [run_id]), tmp_path / "package", repo="org/name", environment={}
        )
        expected = probabilities_of_run(store, run_id)
    assert (package.backbone.repo, package.backbone.commit) == ("org/tiny", commit)
    config = json.loads((tmp_path / "package" / "adapter_config.json").read_text())
    assert config["model_name"] == "org/tiny"
    loopback_hub.add_model("org/name", tmp_path / "package")
    # Adapters on a later commit of the encoder would be wrong: the snippet names its own.
    loopback_hub.store.commit("model", "org/tiny", {"config.json": b"{}"}, "main")
    snippets = [(tmp_path, code) for code in blocks(tmp_path / "package", "python")]
    plain, ours = run_snippets(snippets, loopback_hub.environment(tmp_path / "other-home"))
    assert probabilities_of_plain(plain) == pytest.approx(expected, abs=1e-6)
    assert probabilities_of_ours(ours) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_the_snippet_of_an_xl_encoder_runs(encoder, tmp_path):
    text = ONE_CELL.replace("[nano]", f"[{{name: tiny-xl, model: {encoder('xlm-roberta-xl')}}}]")
    store = train_cells(tmp_path / "store", text.replace("max_length: 48", "max_length: 30"))
    specs = {run_id: RunSpec.from_description(store.read(run_id).run["description"]) for run_id in store.run_ids()}
    (run_id,) = [run_id for run_id, spec in specs.items() if spec.phase == "target"]
    write_package(store, choose_bundle(store, [run_id]), tmp_path / "package", environment={})
    (tmp_path / "tiny-xl").symlink_to(encoder("xlm-roberta-xl"))
    (plain, _) = blocks(tmp_path / "package", "python")
    (printed,) = run_snippets([(tmp_path, plain)])
    assert probabilities_of_plain(printed) == pytest.approx(probabilities_of_run(store, run_id), abs=1e-6)
