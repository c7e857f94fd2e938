"""The installed command line, called in this process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_experiment import SMALL

from adapter_transfer_cli.main import main


@dataclass
class Answer:
    """What a call printed and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Calls the command line: `call("plan", "demo", "--json")`."""
    from adapter_transfer_cli import output

    def run(*arguments: str) -> Answer:
        output.console.cache_clear()
        output.errors.cache_clear()
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        captured = capsys.readouterr()
        return Answer(int(ended.value.code or 0), captured.out, captured.err)

    yield run
    output.console.cache_clear()
    output.errors.cache_clear()
    logging.getLogger("adapter_transfer").setLevel(logging.NOTSET)  # --debug lasts as long as the process


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The file of a small experiment: five runs that take seconds."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)
