"""What people read: tables on narrow screens, messages that cannot act on a terminal, files that are not replaced."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from adapter_transfer_cli import output

HEADERS = ["scale", "encoder parameters", "method", "intermediate", "seeds", "zero-shot (3 languages), %"]
ROWS = [
    ["nano", "100.0 k", "full", "next-event · sequential", "2", "63.6 ± 2.2"],
    ["micro", "0.4 M", "seq_bn", "next-event · stack", "2", "82.3 ± 5.9"],
]


@pytest.fixture
def screen(monkeypatch):
    """Sets the width of the screen and the kind of output."""

    def set_width(width: int) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(output, "console", lambda: output._Console(highlight=False, width=width))

    return set_width


@pytest.mark.parametrize("width", [20, 60, 80, 300])
def test_names_and_numbers_are_never_cut(screen, capsys, width):
    screen(width)
    output.print_table(HEADERS, ROWS, droppable=("encoder parameters",))
    shown = capsys.readouterr().out
    assert "…" not in shown
    for row in ROWS:
        for header, cell in zip(HEADERS, row, strict=True):
            assert cell in shown or (header == "encoder parameters" and width < 100)
    assert ("In every row: seeds: 2." in " ".join(shown.split())) == (width < 90)


@pytest.mark.parametrize("width", range(60, 100))
def test_prose_keeps_its_last_letters_on_every_screen(screen, capsys, width):
    prose = [f"{'w' * number} and then which {'v' * 9} a b" for number in range(1, 24)]
    rows = [[f"task-{number:02d}-{'x' * 12}", f"{'y' * 20} {number}", text] for number, text in enumerate(prose)]
    screen(width)
    output.print_table(["name", "answers", "summary"], rows)
    shown = capsys.readouterr().out.split()
    assert all(word in shown for row in rows for cell in row for word in cell.split())


def test_a_column_without_a_header_is_noted_by_its_cells(screen, capsys):
    screen(20)
    output.print_table(["backbone", ""], [["xlm-roberta-base", "bf16"], ["xlm-roberta-large", "bf16"]])
    assert "In every row: bf16." in capsys.readouterr().out


def test_prose_is_wrapped_not_cut(screen, capsys):
    screen(50)
    prose = "a bottleneck after each layer's feed-forward block and then some"
    output.print_table(["name", "summary"], [["seq_bn", prose], ["full", "all"]])
    words = capsys.readouterr().out.split()
    assert set(prose.split()) <= set(words)


def test_control_and_direction_characters_are_shown_not_obeyed(call):
    answer = call("plan", "demo", "--set", "fo\x1b[31mo\u202e=1")
    assert answer.code == 2
    assert "\x1b[31m" not in answer.err
    assert "\u202e" not in answer.err


def test_a_pipe_or_device_is_not_replaced_by_a_file(call, tmp_path):
    store = ("--store", str(tmp_path / "store"), "--device", "cpu", "--set", "training.0.max_steps=1")
    call("train", "demo", "--backbone", "nano", "--method", "full", *store)
    os.mkfifo(tmp_path / "pipe")
    answer = call("report", "demo", "--store", str(tmp_path / "store"), "-o", str(tmp_path / "pipe"))
    assert answer.code == 3
    assert "no ordinary file" in answer.err
    assert (tmp_path / "pipe").is_fifo()


def test_a_name_that_the_store_needs_is_refused(call):
    answer = call("validate", "demo", "--set", "name=runs")
    assert answer.code == 2
    assert "folder of the store" in answer.err


def test_a_copy_is_named_after_its_file(call, tmp_path):
    assert call("cp", "demo", str(tmp_path / "mine.yaml")).code == 0
    assert "name: mine\n" in (tmp_path / "mine.yaml").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_says_how_to_go_on(tmp_path: Path, number):
    command = [sys.executable, "-m", "adapter_transfer_cli.main", "compare", "demo", "--store", str(tmp_path / "store")]
    command += ["--device", "cpu", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 60
            while not list(tmp_path.rglob("history.jsonl")) and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, said
    assert said.count("the same command goes on where it stopped") == 1


@pytest.mark.parametrize(
    ("is_terminal", "quiet", "is_told"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_wait_is_told_at_a_terminal_only(monkeypatch, is_terminal, quiet, is_told):
    written = io.StringIO()
    monkeypatch.setattr(output, "errors", lambda: Console(file=written, force_terminal=is_terminal))
    output.tell_wait("loading the model", quiet=quiet)
    assert ("loading the model …" in written.getvalue()) == is_told
