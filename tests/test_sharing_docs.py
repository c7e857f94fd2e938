"""What docs/sharing.md promises is true: its commands run in order over a Hub on this machine, and its Python runs."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli.main import main

TEXT = (Path(__file__).parent.parent / "docs" / "sharing.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "bash" for line in text.strip().splitlines()]
TRAINING = "train demo --backbone nano --method seq_bn --intermediate next-event --seed 1 --device cpu --quiet"
SMALL = "--set training.0.max_train_examples=8 --set training.0.max_steps=1"


def call(line: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(line))
    assert not ended.value.code, line


def save_plain_adapter(folder: str) -> None:
    """As somebody does it who has plain adapters alone."""
    from adapters import AutoAdapterModel

    model = AutoAdapterModel.from_pretrained(BACKBONES["nano"].model_path)
    model.add_adapter("siqa", config="seq_bn")
    model.add_multiple_choice_head("siqa", num_choices=3)
    model.save_adapter(folder, "siqa", use_safetensors=True)


@pytest.fixture
def hub(loopback_hub, monkeypatch, tmp_path):
    loopback_hub.use(monkeypatch, tmp_path / "hf")
    monkeypatch.chdir(tmp_path)
    return loopback_hub


def test_the_commands_run_in_order(hub, capsys):
    call(f"{TRAINING} {SMALL}")
    store = Store.open(Path("runs"))
    (target,) = [run for run in store.run_ids() if store.read(run).run["description"]["phase"] == "target"]
    item = {"premise": "It rained.", "question": "effect", "choice1": "It was wet.", "choice2": "It was dry."}
    Path("items.jsonl").write_text(json.dumps(item) + "\n")
    save_plain_adapter("my-adapter")
    served = [line for line in COMMANDS if line.startswith("adapter-transfer serve")]
    assert served == ["adapter-transfer serve RUN"]  # serves until it is ended: tests/cli/test_serve.py
    for line in COMMANDS:
        if line in served:
            continue
        assert line.startswith("adapter-transfer ")
        asked = (
            line.removeprefix("adapter-transfer ").replace("RUN", target).replace("--backbone base", "--backbone nano")
        )
        # A package of another kind would take the place of the one that is pulled below.
        call(asked.replace("org/name", "org/plain") if "my-adapter" in asked else asked)
    assert len(COMMANDS) == 12


def test_the_python_runs(hub, capsys):
    (snippet,) = [text for kind, text in BLOCKS if kind == "python"]
    call(f"{TRAINING} {SMALL}")
    store = Store.open(Path("runs"))
    (target,) = [run for run in store.run_ids() if store.read(run).run["description"]["phase"] == "target"]
    call(f"adapters push {target} --to org/name --quiet")
    capsys.readouterr()
    small = '"training.0.max_train_examples=8", "training.0.max_steps=1", "languages=[qa]"'
    exec(snippet.replace('"seeds=[1]"]', f'"seeds=[1]", {small}], device="cpu", threads=1'), {})
    assert "cup" in capsys.readouterr().out
