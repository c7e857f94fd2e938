"""The file that pins revisions, and who asks it first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapter_transfer.errors import ConfigError
from adapter_transfer.hub import HubError, RepoKind
from adapter_transfer.hub_lock import HubLock, Resolver

A, B, C = "a" * 40, "b" * 40, "c" * 40
LOCK = HubLock(
    {
        ("model", "org/zeta", "main"): A,
        ("dataset", "org/data", "refs/convert/parquet"): B,
        ("dataset", "org/data", "main"): C,
    }
)


def _write(path: Path, *pins: object, **more: object) -> Path:
    path.write_text(json.dumps({"format": 1, "pins": list(pins), **more}))
    return path


def _pin(**changes: object) -> dict[str, object]:
    return {"kind": "model", "repo": "org/name", "revision": "main", "commit": A, **changes}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    LOCK.write(tmp_path / "lock.json")
    assert HubLock.read(tmp_path / "lock.json") == LOCK


def test_the_file_is_sorted_and_says_what_it_is(tmp_path: Path) -> None:
    LOCK.write(tmp_path / "one.json")
    HubLock(dict(reversed(LOCK.pins.items()))).write(tmp_path / "other.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()
    assert json.loads((tmp_path / "one.json").read_text()) == {
        "format": 1,
        "pins": [
            {"kind": "dataset", "repo": "org/data", "revision": "main", "commit": C},
            {"kind": "dataset", "repo": "org/data", "revision": "refs/convert/parquet", "commit": B},
            {"kind": "model", "repo": "org/zeta", "revision": "main", "commit": A},
        ],
    }


def test_equal_content_leaves_the_file_untouched(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    LOCK.write(path)
    before = path.stat()
    LOCK.write(path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    HubLock().write(path)
    assert path.stat().st_ino != before.st_ino, "replaced, not written over"
    assert HubLock.read(path) == HubLock()


@pytest.mark.parametrize(
    ("pin", "told"),
    [
        (_pin(commit="main"), "'main' is no commit"),
        (_pin(commit="A" * 40), "is no commit"),
        (_pin(commit=A[:39]), "is no commit"),
        (_pin(commit=A + "\n"), "is no commit"),
        (_pin(kind="space"), "unknown kind 'space'; it is model or dataset"),
        (_pin(repo=""), "may not be empty"),
        (_pin(revision=""), "may not be empty"),
        (_pin(more=1), "has to hold the texts kind, repo, revision, commit, and nothing else"),
        (_pin(commit=None), "has to hold the texts"),
        ({"kind": "model"}, "has to hold the texts"),
        ("org/name", "has to hold the texts"),
        (_pin(repo="org/first", commit=B), "model org/first at main stands twice"),
    ],
)
def test_a_pin_that_is_wrong(tmp_path: Path, pin: object, told: str) -> None:
    path = _write(tmp_path / "lock.json", _pin(repo="org/first"), pin)
    with pytest.raises(ConfigError) as caught:
        HubLock.read(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"lock file {path}, pin 2: ") and told in problem and "remove it" in problem


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = _write(tmp_path / "lock.json", _pin(commit="x"), _pin(), _pin(kind="y"))
    with pytest.raises(ConfigError) as caught:
        HubLock.read(path)
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [
        f"lock file {path}, pin 1",
        f"lock file {path}, pin 3",
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no valid JSON"),
        (b'{"format": 1, "pins": [', "no valid JSON"),
        (b"\xff\xfe", "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b'{"format": 1, "pins": [], "pins": []}', "the key 'pins' stands twice"),
        (b"[]", "has to hold"),
        (b'{"pins": []}', "has to hold"),
        (b'{"format": true, "pins": []}', "has to hold"),
        (b'{"format": 0, "pins": []}', "has to hold"),
        (b'{"format": 1, "pins": {}}', "has to hold"),
        (b'{"format": 1, "pins": [], "more": 1}', "has to hold"),
        (b'{"format": 2, "things": []}', "has format 2, this program knows up to 1. Upgrade adapter-transfer"),
    ],
)
def test_a_file_that_is_no_lock(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "lock.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        HubLock.read(path)
    assert str(path) in str(caught.value) and told in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.json cannot be read: No such file"):
        HubLock.read(tmp_path / "missing.json")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        HubLock.read(tmp_path)


class Asked:
    """Stands for the Hub: every revision names one commit, but for a repository that is missing."""

    def __init__(self) -> None:
        self.requests: list[tuple[RepoKind, str, str]] = []

    def __call__(self, kind: RepoKind, repo: str, revision: str) -> str:
        self.requests.append((kind, repo, revision))
        if repo == "org/missing":
            raise HubError("not there")
        return "d" * 40


def test_the_lock_is_asked_before_the_hub() -> None:
    hub = Asked()
    resolver = Resolver(LOCK, resolve=hub)
    assert resolver.commit("model", "org/zeta") == A
    assert resolver.commit("dataset", "org/data", "refs/convert/parquet") == B
    assert hub.requests == [] and not resolver.has_new
    assert resolver.lock == LOCK


def test_what_is_not_pinned_is_asked_for_once_and_remembered() -> None:
    hub = Asked()
    resolver = Resolver(LOCK, resolve=hub)
    assert [resolver.commit("model", "org/data") for _ in range(2)] == ["d" * 40] * 2
    assert hub.requests == [("model", "org/data", "main")], "a data set's pin is not a model's"
    assert resolver.has_new
    assert resolver.lock == HubLock({**LOCK.pins, ("model", "org/data", "main"): "d" * 40})
    assert not Resolver(resolver.lock, resolve=hub).has_new


def test_a_commit_stands_for_itself() -> None:
    resolver = Resolver(resolve=Asked())
    assert resolver.commit("model", "org/name", C) == C
    assert not resolver.has_new and resolver.lock == HubLock()


def test_what_cannot_be_resolved_is_not_remembered() -> None:
    resolver = Resolver(resolve=Asked())
    with pytest.raises(HubError):
        resolver.commit("model", "org/missing")
    assert not resolver.has_new
