"""A package and a Hub on this machine to push it to, in place of the real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from loopback_hub import LoopbackHub
from sealed_packages import write_sealed_package

from adapter_transfer.sharing.hub import upload

REPO = "org/copa-adapter"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited before asking the Hub again."""
    waited: list[float] = []
    monkeypatch.setattr("adapter_transfer.hub.sleep", waited.append)
    return waited


@pytest.fixture
def hub(loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, waits: list[float]) -> LoopbackHub:
    """The Hub of this process, with an empty cache; nobody waits for it."""
    loopback_hub.use(monkeypatch, tmp_path / "home")
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    return loopback_hub


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package that was made here."""
    return write_sealed_package(tmp_path / "package")


@pytest.fixture
def commit(hub: LoopbackHub, package: Path) -> str:
    """Of the package, which was pushed to org/copa-adapter; no request is written down so far."""
    pushed = upload(package, REPO, message="An adapter").commit
    hub.requests.clear()
    hub.received.clear()
    return pushed


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder of pulled adapters, which is not there yet, in a folder of its own."""
    return tmp_path / "store" / "adapters"
