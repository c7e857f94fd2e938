"""Every notebook runs from top to bottom, offline, in an empty folder, and is stored without outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (pip install -e '.[dev]')")

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 1200  # for machines with more to do than this

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks():
    assert NOTEBOOKS


@each_notebook
def test_notebooks_are_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}, "the version of whoever saved it last"
    assert json.loads(path.read_text("utf-8")) == json.loads(nbformat.writes(notebook))
    assert notebook.cells[0].cell_type == "markdown"


@each_notebook
def test_notebooks_run_from_top_to_bottom(path, tmp_path):
    work, executed = tmp_path / "work", tmp_path / "executed.ipynb"
    work.mkdir()
    folders = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    environment = {**os.environ, **dict.fromkeys(folders, str(tmp_path / "jupyter")), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "notebook_runner.py"), path, work, executed]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=work
    )
    assert done.returncode == 0, done.stderr
    cells = [cell for cell in nbformat.read(executed, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    told = [output for cell in cells for output in cell.outputs]
    assert not [output for output in told if output.output_type == "error"]
    warned = [output.text for output in told if output.get("name") == "stderr"]
    assert all("TqdmWarning" in each for each in warned), "tqdm misses ipywidgets, and nobody else has anything to say"
    text = json.dumps(told)
    assert "image/svg+xml" in text
    assert "5 runs finished by this call" in text
    assert "manifest.json" in text
    assert (work / "runs" / "quickstart" / "report.html").is_file()
