"""A secret in the environment or in an argument is in nothing that is written, printed, logged or sent."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

IN_ENVIRONMENT = "hf_" + "CanaryInTheEnvironment" * 2
ELSEWHERE = "canary-of-another-service-1234"
IN_ARGUMENT = "hf_" + "CanaryInAnArgument" * 2


def found_in(folder: Path, *secrets: str) -> list[str]:
    """The files below a folder that hold one of these, by content or by name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [
        str(path)
        for path in files
        for secret in secrets
        if secret.encode() in path.read_bytes() or secret in str(path.relative_to(folder))
    ]


@pytest.fixture
def secretive(monkeypatch, loopback_hub, tmp_path):
    loopback_hub.use(monkeypatch, tmp_path / "hf")
    monkeypatch.setenv("HF_TOKEN", IN_ENVIRONMENT)
    monkeypatch.setenv("WANDB_API_KEY", ELSEWHERE)
    return loopback_hub


def test_a_secret_of_the_environment_is_written_nowhere(call, config, secretive, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    work = tmp_path / "work"
    store = ("--store", str(work / "store"))
    told = [call("compare", config, *store, "--device", "cpu", "--threads", "1", "--debug")]
    for kind in ("json", "markdown"):
        told.append(call("report", config, *store, "--format", kind, "-o", str(work / f"report.{kind}")))
    rows = json.loads(call("adapters", "ls", *store, "--json").out)
    target = next(row["adapter"] for row in rows if row["composition"] == "stack")
    intermediate = next(row["adapter"] for row in rows if row["target"] is None)
    told += [
        call("adapters", "push", target, "-o", str(work / "package"), *store, "--debug"),
        call("adapters", "push", intermediate, "--to", "org/name", *store, "--debug"),
        call("adapters", "pull", "hub:org/name", *store, "--debug"),
        call("adapters", "show", "hub:org/name", *store),
        call("adapters", "pull", "hub:org/nothing", *store, "--debug"),  # an error, with its trace
        call("status", config, *store, "--json"),
    ]
    assert [answer.code for answer in told] == [0] * 7 + [4, 0]
    sent = secretive.files("org/name")
    assert "README.md" in sent
    printed = "".join(answer.out + answer.err for answer in told) + caplog.text
    for secret in (IN_ENVIRONMENT, ELSEWHERE):
        assert secret not in printed
        assert not any(secret.encode() in content for content in sent.values())
    assert found_in(work, IN_ENVIRONMENT, ELSEWHERE) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "{config}", "--set", f"question={IN_ARGUMENT}"),
        ("plan", "{config}", "--set", f"name={IN_ARGUMENT}"),
        ("report", "{config}", "-o", f"{IN_ARGUMENT}.html"),
        ("adapters", "push", "abcd", "--to", f"org/{IN_ARGUMENT}"),
        ("adapters", "pull", f"hub:org/name@{IN_ARGUMENT}"),
        ("adapters", "push", "abcd", "--to", "org/name", "--message", f"by {ELSEWHERE}"),
        ("predict", "abcd", "--premise", IN_ARGUMENT),
        ("demo", "--store", IN_ENVIRONMENT),
    ],
)
def test_a_secret_in_an_argument_stops_everything(call, config, secretive, tmp_path, monkeypatch, caplog, arguments):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    answer = call(*(each.format(config=config) for each in arguments))
    assert answer.code == 2
    assert "Nothing was started" in answer.err
    for secret in (IN_ARGUMENT, IN_ENVIRONMENT, ELSEWHERE):
        assert secret not in answer.out + answer.err + caplog.text
    assert list(empty.iterdir()) == []
    assert secretive.requests == []


def test_ordinary_words_are_no_secrets(call, tmp_path):
    asked = ("--premise", "The password: swordfish.", "--question", "cause", "--choice", "a", "--choice", "b")
    answer = call("predict", "abcd", *asked, "--store", str(tmp_path / "none"))
    assert "Nothing was started" not in answer.err
