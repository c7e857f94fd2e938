"""Small published files, and a task over rows of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from published_data import write_hub_datasets, write_published_files

from adapter_transfer import hub
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.schema import PlacedRow
from adapter_transfer.tasks.sources import Part, Source
from adapter_transfer.tasks.task import Task


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder of small published files."""
    return write_published_files(tmp_path / "data")


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[tuple[str, str], ...]]:
    """Small parquet datasets in place of the Hub's; gives their commits, which are all that is accepted."""
    folders = write_hub_datasets(tmp_path / "hub")
    commits = {repo: f"{number:040x}" for number, repo in enumerate(folders, start=1)}

    def download_files(kind, repo, commit, patterns):
        assert (kind, commit) == ("dataset", commits[repo])
        assert all(list(folders[repo].glob(pattern)) for pattern in patterns)
        return folders[repo]

    monkeypatch.setattr(hub, "download_files", download_files)
    return lambda *repos: tuple((repo, commits[repo]) for repo in repos or commits)


@pytest.fixture
def micro_copa() -> Callable[..., Task]:
    """micro-copa over given rows in place of its files; their places are `here:1`, `here:2`, …"""

    def make(*rows: Mapping[str, Any]) -> Task:
        task = TASKS["micro-copa"]
        placed = [PlacedRow(row, f"here:{number}") for number, row in enumerate(rows, start=1)]
        layout = replace(task.source.parts[0].package, read=lambda path, name: iter(placed))
        parts = (Part(split, task.languages["test"], package=layout) for split in task.splits)
        return replace(task, source=Source(tuple(parts)))

    return make
