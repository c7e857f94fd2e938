"""The wheel holds everything that runs: code, configurations, the sandbox's files, the report's template."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile

import pytest

NEEDED = (
    "adapter_transfer/py.typed",
    "adapter_transfer/analysis/templates/report.html.j2",
    "adapter_transfer/sandbox/build.json",
    "adapter_transfer/sandbox/checkpoints/nano/model.safetensors",
    "adapter_transfer/sandbox/checkpoints/tokenizer/tokenizer.json",
    "adapter_transfer/sandbox/data/micro-copa/qc/test.jsonl",
    "adapter_transfer_cli/main.py",
    "adapter_transfer_configs/demo.yaml",
)


@pytest.mark.slow
def test_the_wheel_is_complete(root, tmp_path):
    # From a copy: setuptools leaves a build folder behind, from which later wheels would take files that are gone.
    source = tmp_path / "source"
    shutil.copytree(
        root, source, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "build", "*.egg-info", "tests")
    )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert not [name for name in NEEDED if name not in names]
    sources = list((root / "adapter_transfer").rglob("*.py"))
    assert not [path for path in sources if path.relative_to(root).as_posix() not in names]
