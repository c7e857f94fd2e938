"""What the README promises is true: its commands run, its tables name what there is."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from published_data import write_published_files

from adapter_transfer.backbones.zoo import BACKBONES, QUANTIZED
from adapter_transfer.config import parse, read_text
from adapter_transfer.errors import (
    AdapterTransferError,
    ConfigError,
    DataError,
    DeviceError,
    RunFailedError,
    StoreError,
)
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.store import Store
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.composition import COMPOSITIONS
from adapter_transfer.training.settings import TrainingRule, require_applicable, resolve_training
from adapter_transfer_cli.main import app, main

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
LINES = [line for kind, text in BLOCKS if kind == "bash" for line in text.strip().splitlines()]
COMMANDS = [line for line in LINES if line.startswith("adapter-transfer")]
# The demo itself takes minutes; what it stands for is run by the slow tests and, in small, by tests/cli.
LONG = ("adapter-transfer demo", "adapter-transfer compare")
# What needs published files: run on small ones of the tests' own.
ON_FILES = [line for line in COMMANDS if "--data-dir DATA" in line]
# What needs a published checkpoint: run on one of the sandbox's.
PREPARING = [line for line in COMMANDS if line.startswith("adapter-transfer prepare")]
# What needs a Hub: run on one of this machine, with a run of the tests' own.
ON_HUB = [line for line in COMMANDS if "org/name" in line]
SMALL = ("--set", "training.0.max_train_examples=8", "--set", "training.0.max_steps=1", "--set", "languages=[en]")


def test_every_line_is_known():
    other = [line for line in LINES if line not in COMMANDS]
    assert all(line.startswith(("make ", "source ")) for line in other), other
    assert len(COMMANDS) >= 10


def run_lines(lines, monkeypatch, folder):
    monkeypatch.chdir(folder)
    for line in lines:
        arguments = shlex.split(line)[1:]
        if arguments[0] in ("train", "compare"):
            arguments += [*SMALL, "--device", "cpu"]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code, line


def test_the_short_commands_run_in_order_and_the_artifact_loads(monkeypatch, tmp_path, capsys):
    lines = [line for line in COMMANDS if not line.startswith(LONG) and line not in (*ON_FILES, *PREPARING, *ON_HUB)]
    # Reports come after a comparison, which is left out as too long; a training stands in for it.
    training = [line for line in lines if line.startswith("adapter-transfer train")]
    run_lines([*training, *lines], monkeypatch, tmp_path)
    assert (tmp_path / "my-experiment.yaml").is_file()
    assert (tmp_path / "report.html").is_file()
    store = Store.open(Path("runs"))
    runs = {store.read(run_id).run["description"]["phase"]: store.run_dir(run_id) for run_id in store.run_ids()}
    places = {"backbone": str(BACKBONES["nano"].model_path), **{phase: str(path) for phase, path in runs.items()}}
    (snippet,) = [text for kind, text in BLOCKS if kind == "python"]
    exec(snippet, places)
    assert str(places["model"].active_adapters) == "Stack[next-event, micro-copa]"


def test_the_commands_on_published_files_run(monkeypatch, tmp_path, capsys):
    write_published_files(tmp_path / "DATA")
    assert len(ON_FILES) == 5
    # A comparison's plan reads the same data and takes the same options.
    lines = [line.replace("adapter-transfer compare", "adapter-transfer plan") for line in ON_FILES]
    run_lines(lines, monkeypatch, tmp_path)


def test_the_preparation_of_a_published_checkpoint_runs_on_a_small_one(monkeypatch, tmp_path, capsys):
    (line,) = PREPARING
    run_lines([line.replace(" xl ", " nano ").replace("xcopa-nf4", "demo")], monkeypatch, tmp_path)
    assert list(tmp_path.glob("runs/cache/backbones/*/manifest.json"))


def test_the_commands_on_the_hub_run_in_order(monkeypatch, tmp_path, capsys, loopback_hub):
    loopback_hub.use(monkeypatch, tmp_path / "hf")
    (training,) = [line for line in COMMANDS if line.startswith("adapter-transfer train")]
    run_lines([training], monkeypatch, tmp_path)
    store = Store.open(Path("runs"))
    (target,) = [run for run in store.run_ids() if store.read(run).run["description"]["phase"] == "target"]
    assert len(ON_HUB) == 5
    run_lines([line.replace("RUN", target) for line in ON_HUB], monkeypatch, tmp_path)
    assert list(tmp_path.glob("runs/adapters/org--name@*/manifest.json"))


@pytest.mark.slow
def test_the_long_commands_run(monkeypatch, tmp_path, capsys):
    copied = [line for line in COMMANDS if line.startswith("adapter-transfer cp")]
    on_sandbox = [line for line in COMMANDS if line.startswith(LONG) and "xcopa" not in line and line not in ON_FILES]
    run_lines([*copied, *on_sandbox], monkeypatch, tmp_path)


def test_make_knows_every_target():
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE):
        done = subprocess.run(["make", "-n", target], capture_output=True, text=True, cwd=Path(__file__).parent.parent)
        assert done.returncode == 0, done.stderr


def test_the_example_experiment_is_valid():
    blocks = [text for kind, text in BLOCKS if kind == "yaml"]
    whole = [text for text in blocks if text.startswith("name:")]
    controls, rules = (next(text for text in blocks if text.startswith(key)) for key in ("controls:", "training:"))
    assert len(whole) + 2 == len(blocks)
    for text in whole:
        parse(Experiment, read_text(text, "README.md"))
    around = "name: x\nbackbones: [base]\nmethods: [full]\nintermediates: [none, mnli]\ntarget: xcopa\nseeds: [1]\n"
    assert len(parse(Experiment, read_text(around + controls, "README.md")).targets) == 3
    around = "name: x\nbackbones: [xl]\nmethods: [full]\nintermediates: [none]\ntarget: xcopa\nseeds: [1]\n"
    experiment = parse(Experiment, read_text(around + rules, "README.md"))
    settings = resolve_training(
        [TrainingRule(learning_rate=1e-5), *experiment.rules],
        phase="target",
        method="full",
        backbone="xl",
        task="xcopa",
    )
    require_applicable(settings, method_kind="full", precision="bf16")
    assert settings.update == "backward"


def test_the_table_of_commands_is_complete():
    listed = set(re.findall(r"^\| `(\w+)", README, re.MULTILINE))
    registered = {command.callback.__name__ for command in app.registered_commands}
    registered |= {group.name for group in app.registered_groups}
    assert registered <= listed | {"ls"}


def test_the_table_of_exit_codes_is_true():
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    classes = (AdapterTransferError, ConfigError, StoreError, DataError, RunFailedError, DeviceError)
    assert {kind.exit_code for kind in classes} | {0, 130} == codes


def table(first_heading):
    """The rows of the table that starts with this heading, as cells without backticks; the headings first."""
    lines = re.search(rf"^\| {first_heading} \|.*\n(?:\|.*\n)+", README, re.MULTILINE)[0].splitlines()
    rows = [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]


def test_the_table_of_compositions_is_true():
    assert {row[0] for row in table("composition")[1:]} == set(COMPOSITIONS) - {"none", "alone"}


def test_the_table_of_methods_is_true():
    (_, _, *compositions, quantized), *rows = table("method")
    assert [row[0] for row in rows] == list(METHODS)
    assert compositions == [row[0] for row in table("composition")[1:]]
    assert set(re.findall(r"\w+", quantized)) == {"on", *QUANTIZED}
    for name, _, *cells, on_quantized in rows:
        method = METHODS[name]
        for composition, cell in zip(compositions, cells, strict=True):
            is_first = method.compositions[0] == composition
            assert cell == ("auto" if is_first else "yes" if composition in method.compositions else "–")
        assert {precision for precision in QUANTIZED if precision in method.refused_precisions} in (QUANTIZED, set())
        assert on_quantized == ("–" if method.refused_precisions else "yes")


def test_every_file_that_is_linked_is_there():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (Path(__file__).parent.parent / link).exists(), link
