"""The page on adding a task: its example is short, and it works as it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from adapter_transfer.errors import DataError
from adapter_transfer.experiments.results import read_results
from adapter_transfer.experiments.store import Store
from adapter_transfer.tasks import readers
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.task import Task, load_examples
from adapter_transfer_cli.main import main

PAGE = (Path(__file__).parent.parent / "docs" / "adding-a-task.md").read_text("utf-8")
[EXAMPLE] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

EXPERIMENT = """\
name: added
backbones: [nano]
methods: [seq_bn]
intermediates: [none, winogrande]
target: micro-copa
languages: [en]
seeds: [1]
training:
  - {learning_rate: 1.0e-3, batch_size: 8, epochs: 1, max_length: 64, max_train_examples: 16}
"""


def rows(count: int) -> list[dict[str, str]]:
    nouns = [("cup", "plate"), ("door", "window"), ("horse", "cow")]
    return [
        {
            "qID": f"Q{number}",
            "sentence": f"Person {number} took the {nouns[number % 3][0]} home because the _ was old.",
            "option1": nouns[number % 3][number % 2],
            "option2": nouns[number % 3][1 - number % 2],
            "answer": "12"[number % 2],
        }
        for number in range(count)
    ]


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Task:
    """What the example declares, registered as its second step says."""
    namespace: dict[str, object] = {}
    exec(compile(EXAMPLE, "adding-a-task.md", "exec"), namespace)
    declared = namespace["WINOGRANDE"]
    assert isinstance(declared, Task)
    monkeypatch.setitem(TASKS._entries, declared.name, declared)
    return declared


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "winogrande"
    folder.mkdir(parents=True)
    for name, count in (("train_xl", 24), ("dev", 8)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(count)))
    return folder.parent


def test_the_example_is_short():
    code = [line for line in EXAMPLE.splitlines() if line.strip()]
    assert len(code) < 30, f"{len(code)} lines"


def test_the_example_reads_what_it_says(task, data_dir):
    loaded = load_examples(task, "train", "en", data_dir=data_dir)
    assert len(loaded.examples) == 24
    first = loaded.examples[0]
    assert (first.id, first.label) == ("Q0", 0)
    assert first.rows == (
        ("Person 0 took the cup home because the ", "cup was old."),
        ("Person 0 took the cup home because the ", "plate was old."),
    )


def test_faults_are_told_with_their_line(task, data_dir):
    path = data_dir / "winogrande" / "train_xl.jsonl"
    lines = path.read_text().splitlines()
    lines[4] = lines[4].replace("_ was", "gap was")
    lines[9] = lines[9].replace('"answer": "2"', '"answer": "3"')
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError) as raised:
        load_examples(task, "train", "en", data_dir=data_dir)
    assert "winogrande/train_xl.jsonl:5" in str(raised.value)
    assert "winogrande/train_xl.jsonl:10" in str(raised.value)


def test_a_question_of_ones_own_becomes_the_rows_of_an_item(task, data_dir):
    first = load_examples(task, "train", "en", data_dir=data_dir).examples[0]
    (sentence, _), *_ = first.rows
    assert task.asking.rows(sentence, "", [choice for _, choice in first.rows]) == first.rows


def test_it_trains_and_transfers(task, data_dir, tmp_path):
    config, store = tmp_path / "added.yaml", tmp_path / "runs"
    config.write_text(EXPERIMENT)
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(config), "--store", str(store), "--data-dir", str(data_dir), "--quiet"])
    assert ended.value.code in (0, None)
    assert {result.intermediate for result in read_results(Store.open(store))} == {"none", "winogrande"}


def test_every_module_that_the_page_names_is_there():
    named = set(re.findall(r"`([a-z_]+)\.py`", PAGE))
    assert named
    assert {name for name in named if not (Path(readers.__file__).parent / f"{name}.py").is_file()} == set()
