"""`serve`: what is wrong is told before anything is loaded; a trained run is served on this machine until Ctrl-C."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_experiment import SMALL

import adapter_transfer
from adapter_transfer.documents import read_text
from adapter_transfer.serving.loopback import listen

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
STARTING_SECONDS, ENDING_SECONDS = 240, 60  # for machines with more to do than this
QUESTION = {"premise": "the cat bit Klara.", "question": "cause", "choices": ["Klara kicked the cat.", "Klara slept."]}


def test_what_is_wrong_is_told_before_anything_is_loaded(call, tmp_path, monkeypatch):
    with listen(0) as taken:
        port = str(taken.getsockname()[1])
        answer = call("serve", "0123", "--store", str(tmp_path), "--port", port)
    assert answer.code == 2
    assert f"port {port} is in use" in answer.err
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gradio" else find(name))
    answer = call("serve", "0123", "--store", str(tmp_path))
    assert answer.code == 2
    assert 'pip install "adapter-transfer[serve]"' in answer.err
    assert call("serve", "0123", "--port", "65536").code == 2


def test_there_is_no_way_to_serve_other_machines(call):
    help_text = call("serve", "--help").out
    assert "--host" not in help_text
    assert "--share" not in help_text
    assert "ssh -L" in help_text
    assert call("serve", "0123", "--host", "0.0.0.0").code == 2


@dataclass
class Served:
    process: subprocess.Popen[str]
    port: int
    told: dict
    errors: Path

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("serve")
    store = folder / "store"
    done = adapter_transfer.run(dict(read_text(SMALL, "small").data), store=store, device="cpu", threads=1)
    run_id = done.results(intermediate="next-event").target_run.iloc[0]
    command = [sys.executable, "-m", "adapter_transfer_cli.main", "serve", run_id, "--store", str(store)]
    with (folder / "err").open("w") as errors:
        process = subprocess.Popen(
            [*command, "--port", "0", "--device", "cpu", "--json"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        try:
            told = _first_json(process, folder / "err")
            yield Served(process, int(told["address"].rpartition(":")[2]), told, folder / "err")
        finally:
            process.kill()
            process.communicate()


def _first_json(process: subprocess.Popen[str], errors: Path) -> dict:
    assert process.stdout is not None
    lines, until = "", time.monotonic() + STARTING_SECONDS
    while time.monotonic() < until:
        line = process.stdout.readline()
        lines += line
        if line == "}\n":
            found: dict = json.loads(lines)
            return found
        if not line:
            break
    raise AssertionError(f"it did not start: {errors.read_text()}")


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER or not DRIVER, reason="no chromium or no chromedriver on PATH")
def test_a_browser_asks_nobody_else_and_shows_texts_as_texts(served):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-background-networking"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.get(served.told["address"])
        wait = WebDriverWait(driver, STARTING_SECONDS)
        attacks = [f"<img src=x onerror='window.hit=1'>{mark}" for mark in ("${window.hit=1}", "{{value}}", "$x$")]
        for name, text in zip(("premise", "choice1", "choice2"), attacks, strict=True):
            found = wait.until(
                lambda at, name=name: at.find_elements(By.CSS_SELECTOR, f"#{name} textarea, #{name} input")
            )
            found[0].send_keys(text)
        driver.find_element(By.ID, "answer-button").click()
        wait.until(lambda at: len(at.find_elements(By.CSS_SELECTOR, "#answer li")) == 2)
        shown = driver.find_element(By.ID, "answer").text
        assert all(text in shown for text in attacks[1:])
        assert driver.execute_script("return window.hit") is None
        messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        assert len(urls) > 10
        assert {url for url in urls if not url.startswith((served.told["address"], "data:"))} == set()
    finally:
        driver.quit()


@pytest.mark.slow
def test_a_run_is_served_on_this_machine_until_ctrl_c(served):
    assert served.told["address"].startswith("http://127.0.0.1:")
    assert {row["language"] for row in served.told["scores"]} == {"en", "qa"}
    status, info = served.ask("GET", "/api/info")
    assert status == 200
    assert {**json.loads(info), "address": served.told["address"]} == served.told
    asked = json.dumps([QUESTION, QUESTION]).encode()
    status, answers = served.ask("POST", "/api/predict", asked, Content_Type="application/json")
    assert status == 200
    first, second = json.loads(answers)
    assert first == second
    assert first["text"] in QUESTION["choices"]
    the_page_is_whole_and_closed(served)
    with socket.socket() as other, pytest.raises(OSError):
        other.bind(("127.0.0.1", served.port))
        other.listen()
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(ENDING_SECONDS) == 0
    assert served.errors.read_text().strip().endswith("Stopped.")
    assert "Traceback" not in served.errors.read_text()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", served.port), timeout=5)


def the_page_is_whole_and_closed(served):
    status, page = served.ask("GET", "/")
    assert status == 200
    text = page.decode()
    assert "adapter-transfer" in text
    assert "/assets/" in text
    assert "fonts.googleapis" not in text
    theme = served.ask("GET", "/theme.css")[1].decode()
    assert "system-ui" in theme
    assert "url(http" not in theme.replace('"', "").replace("'", "")
    assert "@import" not in theme
    for path in ("/gradio_api/file=/etc/passwd", "/gradio_api/info", "/monitoring", "/gradio_api/upload"):
        assert served.ask("GET", path)[0] == 404
    assert served.ask("POST", "/gradio_api/upload", b"x")[0] == 404
    assert served.ask("GET", "/", Host="evil.example")[0] == 421
    foreign = {"Content_Type": "application/json", "Origin": "http://evil.example"}
    assert served.ask("POST", "/api/predict", json.dumps(QUESTION).encode(), **foreign)[0] == 403
