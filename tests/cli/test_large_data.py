"""Large data, as it is told: while it is read at planning, and while it is tokenized before a training."""

from __future__ import annotations

import json

import pytest
from published_data import write_published_files

from adapter_transfer.experiments import data as data_module
from adapter_transfer.experiments.events import RunAdvanced
from adapter_transfer.tasks import stored_examples
from adapter_transfer_cli import progress, sources
from adapter_transfer_cli.main import main

CONFIG = """
name: large
backbones: [nano]
methods: [full]
intermediates: [anli]
target: micro-copa
languages: [en]
seeds: [1]
training:
  - {learning_rate: 1e-3}
"""


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Calls `plan` on ANLI+ of 30,000 examples, in a process that has read nothing yet; gives standard error."""
    data_dir = write_published_files(tmp_path / "data")
    (path,) = [path for path in data_dir.rglob("train.jsonl") if path.parent.name == "R1"]
    row = json.loads(path.read_text().splitlines()[0])
    path.write_text("".join(json.dumps({**row, "uid": str(number)}) + "\n" for number in range(30_000)))
    config = tmp_path / "large.yaml"
    config.write_text(CONFIG)
    monkeypatch.setattr(sources, "_ROWS_BETWEEN_LINES", 10_000)

    def calling(*options):
        data_module.read_examples.cache_clear()
        arguments = ["plan", str(config), "--data-dir", str(data_dir), "--store", str(tmp_path / "store"), *options]
        monkeypatch.setattr("sys.argv", ["adapter-transfer", *arguments])
        try:
            main()
        except SystemExit as end:
            assert not end.code
        return capsys.readouterr().err

    yield calling
    data_module.read_examples.cache_clear()


def test_a_plan_says_once_that_it_reads_many_examples(call, tmp_path):
    told = call()
    assert "anli train: 30,000 examples read and checked\n" in told
    assert "examples read and checked, kept for the next time" in told
    assert (tmp_path / "store" / "store.json").is_file(), "nothing lies in a folder that is no store"
    assert "read and checked" not in call()


def test_not_where_it_is_to_be_quiet(call, tmp_path):
    assert "read and checked" not in call("--quiet")
    assert list((tmp_path / "store" / "cache" / "examples").iterdir())


def test_a_store_that_cannot_be_had_is_done_without(call, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(stored_examples, "new_entry", refuse)
    assert "kept for the next time" not in call()
    assert "is read into memory" in caplog.text


def refuse(folder):
    raise stored_examples.StoreError("the disk is full")


def test_tokenizing_is_told_in_lines_now_and_then(monkeypatch, capsys):
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    tell = progress._Lines({"run": "a run"}, 1)
    for done in (0, 1000, 2000, 3000):
        tell(RunAdvanced("run", 0, done, 3000, doing="tokenizing anli"))
        clock[0] += 6
    tell(RunAdvanced("run", 0, 1, 10, loss=0.5))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "tokenizing anli: 0 of 3,000",
        "tokenizing anli: 2,000 of 3,000",
        "tokenizing anli: 3,000 of 3,000",
    ]
