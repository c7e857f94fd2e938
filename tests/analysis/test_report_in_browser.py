"""The report in headless Chromium: plots drawn, nothing on the console, no sideways scrolling on a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from adapter_transfer.analysis.report import write_report
from adapter_transfer.experiments.results import Result, RunRecord

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=8000 "
    "--allow-file-access-from-files --dump-dom"
)
# A window narrower than 500 pixels cannot be had; a frame can. It measures the page inside when that has drawn.
PHONE = """<!doctype html><iframe src="report.html" style="width: 390px; height: 800px; border: 0"></iframe>
<pre id="measured"></pre><script>
const frame = document.querySelector("iframe");
frame.onload = () => setTimeout(() => {
  const page = frame.contentDocument;
  const wide = [...page.querySelectorAll("body *")].filter((e) => !e.closest(".scroll") && !e.closest("details")
    && e.getBoundingClientRect().right > 391).map((e) => e.tagName + "." + e.className);
  document.getElementById("measured").textContent = JSON.stringify({
    overflow: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    plots: page.querySelectorAll(".plot svg").length, wide,
  });
}, 3000);
</script>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")


@pytest.fixture
def page(tmp_path: Path, grid: Callable[..., list[Result]], run: Callable[..., RunRecord]) -> Path:
    results = grid(intermediates=["none", "next-event", "<b>event</b>"], languages=["en", "qa", "qb"])
    path = tmp_path / "report.html"
    write_report(path, results, [run(1), run(2, status="failed", reason="x" * 300)], title="in a browser")
    return path


def load(path: Path, profile: Path) -> tuple[str, str]:
    """The document after its scripts ran, and what the console got."""
    assert BROWSER is not None
    command = [BROWSER, *FLAGS.split(), f"--user-data-dir={profile}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return done.stdout, console


def test_plots_are_drawn_and_the_console_stays_silent(page: Path, tmp_path: Path) -> None:
    document, console = load(page, tmp_path / "profile")
    assert console == ""
    assert len(re.findall(r'<div class="plot[^>]*>\s*<svg', document)) == 2 + 6
    assert 'class="note plot-text"' not in document  # the place-holders are gone
    assert "<b>event</b>" not in document


def test_a_phone_needs_no_sideways_scrolling(page: Path, tmp_path: Path) -> None:
    frame = page.with_name("phone.html")
    frame.write_text(PHONE, encoding="utf-8")
    document, _ = load(frame, tmp_path / "profile")
    (measured,) = re.findall(r'<pre id="measured">(.*?)</pre>', document)
    assert json.loads(unescape(measured)) == {"overflow": 0, "plots": 8, "wide": []}
