"""Resolving and downloading, against a Hub on this machine that speaks the real one's protocol."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from loopback_hub import LoopbackHub

from adapter_transfer.hub import (
    HubError,
    HubUnreachableError,
    NoSuchFileError,
    download_files,
    list_files,
    resolve_commit,
)

REPO = "org/encoder"
WEIGHTS = bytes(range(256)) * 300


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    for name, content in {
        "config.json": b"{}",
        "model.safetensors": WEIGHTS,
        "nested/notes.txt": b"notes",
        "nested/deep/more.txt": b"more",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def hub(loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LoopbackHub:
    loopback_hub.use(monkeypatch, tmp_path / "home")
    return loopback_hub


@pytest.fixture
def commit(hub: LoopbackHub, checkpoint: Path) -> str:
    """Of `REPO`, which the Hub holds."""
    return hub.add_model(REPO, checkpoint)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited."""
    waited: list[float] = []
    monkeypatch.setattr("adapter_transfer.hub.sleep", waited.append)
    return waited


def _go_offline(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub.stop()
    hub.use(monkeypatch, tmp_path / "home", offline=True)


def _paths(hub: LoopbackHub) -> list[str]:
    return [path for _, path in hub.requests]


def test_a_revision_is_the_commit_it_names_now(hub: LoopbackHub, commit: str, checkpoint: Path) -> None:
    assert resolve_commit("model", REPO) == commit
    (checkpoint / "config.json").write_bytes(b'{"changed": true}')
    later = hub.add_model(REPO, checkpoint)
    assert later != commit
    assert resolve_commit("model", REPO) == later
    assert _paths(hub) == [f"/api/models/{REPO}/revision/main"] * 2


def test_branches_and_kinds_are_told_apart(hub: LoopbackHub, commit: str, checkpoint: Path) -> None:
    (checkpoint / "config.json").unlink()
    converted = hub.add_dataset(REPO, checkpoint, ref="refs/convert/parquet")
    assert resolve_commit("dataset", REPO, "refs/convert/parquet") == converted
    assert _paths(hub) == [f"/api/datasets/{REPO}/revision/refs%2Fconvert%2Fparquet"]
    with pytest.raises(HubError, match=r"data set 'org/encoder' .* no such revision"):
        resolve_commit("dataset", REPO)


def test_a_commit_needs_no_request(hub: LoopbackHub, commit: str) -> None:
    assert resolve_commit("model", "org/anything", "0123456789" * 4) == "0123456789" * 4
    assert hub.requests == []


@pytest.mark.parametrize("revision", ["", "../other", "a/../../b", "/etc", "-x"])
def test_what_is_no_revision_is_refused_without_a_request(hub: LoopbackHub, commit: str, revision: str) -> None:
    with pytest.raises(HubError, match="that is no revision"):
        resolve_commit("model", REPO, revision)
    assert hub.requests == []


def test_unreachable_it_is_the_commit_that_was_named_last(
    hub: LoopbackHub, commit: str, caplog: pytest.LogCaptureFixture
) -> None:
    resolve_commit("model", REPO)
    hub.stop()
    with caplog.at_level(logging.WARNING, logger="adapter_transfer.hub"):
        assert resolve_commit("model", REPO) == commit
    assert "Connection refused" in caplog.text and commit in caplog.text
    with pytest.raises(HubUnreachableError, match="cannot be reached"):
        resolve_commit("model", REPO, "other-branch")


def test_a_repository_that_is_gone_is_not_taken_from_the_cache(hub: LoopbackHub, commit: str) -> None:
    resolve_commit("model", REPO)
    hub.store.repositories.clear()
    with pytest.raises(HubError, match="there is no model"):
        resolve_commit("model", REPO)


def test_what_another_program_resolved_serves_offline(
    hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    huggingface_hub.hf_hub_download(REPO, "config.json")
    _go_offline(hub, monkeypatch, tmp_path)
    assert resolve_commit("model", REPO) == commit


def test_what_matches_is_downloaded_and_nothing_else(hub: LoopbackHub, commit: str) -> None:
    folder = download_files("model", REPO, commit, ["config.json", "nested/*"])
    assert (folder / "config.json").read_bytes() == b"{}"
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert found == ["config.json", "nested/deep/more.txt", "nested/notes.txt"]
    assert not any("safetensors" in path for path in _paths(hub))


@pytest.mark.parametrize("patterns", [["config.json", "model.safetensors"], ["*.safetensors", "nested/*"]])
def test_a_complete_commit_needs_no_request(hub: LoopbackHub, commit: str, patterns: list[str]) -> None:
    first = download_files("model", REPO, commit, patterns)
    hub.requests.clear()
    assert download_files("model", REPO, commit, patterns) == first
    assert hub.requests == []


def test_only_what_is_missing_is_asked_for(hub: LoopbackHub, commit: str) -> None:
    resolve_commit("model", REPO)
    download_files("model", REPO, commit, ["config.json"])
    hub.requests.clear()
    folder = download_files("model", REPO, commit, ["*"])
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert not any(path.endswith("config.json") or "/api/" in path for path in _paths(hub))


def test_what_is_there_is_read_again_where_that_is_asked_for(
    hub: LoopbackHub, commit: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["config.json", "model.safetensors", "nested/notes.txt"]
    folder = download_files("model", REPO, commit, names)
    for name, damaged in (("config.json", b"{x"), ("model.safetensors", WEIGHTS[:-1] + b"x")):
        (folder / name).resolve().write_bytes(damaged)
    hub.requests.clear()
    download_files("model", REPO, commit, names, reads_again=True)
    assert (folder / "config.json").read_bytes() == b"{}"
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert "config.json is damaged in the cache" in caplog.text
    assert not any(path.endswith("notes.txt") for path in _paths(hub)), "what is whole is kept"
    hub.requests.clear()
    download_files("model", REPO, commit, names, reads_again=True)
    assert hub.requests == []


def test_what_is_there_is_not_read_again(commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    download_files("model", REPO, commit, ["*.safetensors"])
    monkeypatch.setattr("adapter_transfer.hub.sha256_file", lambda path: pytest.fail("gigabytes would be hashed"))
    assert (download_files("model", REPO, commit, ["*.safetensors", "*.json"]) / "config.json").is_file()


def test_plain_names_that_another_program_fetched_need_no_request(hub: LoopbackHub, commit: str) -> None:
    import huggingface_hub

    huggingface_hub.hf_hub_download(REPO, "config.json")
    hub.requests.clear()
    assert (download_files("model", REPO, commit, ["config.json"]) / "config.json").is_file()
    assert hub.requests == []


def test_an_old_commit_can_still_be_had(hub: LoopbackHub, commit: str, checkpoint: Path) -> None:
    (checkpoint / "config.json").write_bytes(b'{"changed": true}')
    hub.add_model(REPO, checkpoint)
    assert (download_files("model", REPO, commit, ["config.json"]) / "config.json").read_bytes() == b"{}"


def test_what_the_commit_lacks_is_told_with_what_it_has(commit: str) -> None:
    with pytest.raises(NoSuchFileError, match=r"no file 'vocab.txt', '\*.bin'. It has: config.json, model.safetensors"):
        download_files("model", REPO, commit, ["config.json", "vocab.txt", "*.bin"])


def test_optional_files_come_where_there_are_any(hub: LoopbackHub, commit: str) -> None:
    folder = download_files("model", REPO, commit, ["config.json"], optional=["nested/notes.txt", "merges.txt"])
    assert (folder / "nested/notes.txt").is_file()
    assert not (folder / "model.safetensors").exists()
    hub.requests.clear()
    download_files("model", REPO, commit, ["config.json"], optional=["nested/notes.txt", "merges.txt"])
    assert hub.requests == []


def test_the_files_of_a_commit_are_listed_once(hub: LoopbackHub, commit: str) -> None:
    names = ("config.json", "model.safetensors", "nested/deep/more.txt", "nested/notes.txt")
    assert list_files("model", REPO, commit) == list_files("model", REPO, commit) == names
    assert len(hub.requests) == 1


def test_a_file_whose_content_is_gone_from_the_cache_is_downloaded_again(commit: str) -> None:
    folder = download_files("model", REPO, commit, ["*"])
    (folder / "model.safetensors").resolve().unlink()
    assert (download_files("model", REPO, commit, ["*"]) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_list_of_files_that_is_damaged_is_asked_for_again(hub: LoopbackHub, commit: str, tmp_path: Path) -> None:
    list_files("model", REPO, commit)
    (listing,) = (tmp_path / "home").rglob(f"{commit}.json")
    listing.write_text('["config.json", 3')
    assert "model.safetensors" in list_files("model", REPO, commit)
    assert len(hub.requests) == 2


def test_offline_from_the_cache_in_a_fresh_process(hub: LoopbackHub, commit: str, tmp_path: Path) -> None:
    code = (
        "from adapter_transfer.hub import download_files, resolve_commit\n"
        f"commit = resolve_commit('model', {REPO!r})\n"
        f"print(commit, len((download_files('model', {REPO!r}, commit, ['*']) / 'model.safetensors').read_bytes()))"
    )

    def run(**variables: str) -> str:
        environment = {**os.environ, **hub.environment(tmp_path / "other"), **variables}
        result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    online = run()
    assert online.split() == [commit, str(len(WEIGHTS))]
    hub.requests.clear()
    assert run(HF_HUB_OFFLINE="1") == online
    assert hub.requests == []
    hub.stop()
    assert run(HF_HUB_OFFLINE="1") == online


def test_offline_what_is_not_there_is_told_with_what_fetches_it(
    hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    resolve_commit("model", REPO)
    _go_offline(hub, monkeypatch, tmp_path)
    with pytest.raises(HubUnreachableError, match="HF_HUB_OFFLINE") as caught:
        download_files("model", REPO, commit, ["config.json", "*.safetensors"])
    assert "run the same command once where the Hub can be reached" in str(caught.value)
    with pytest.raises(HubUnreachableError, match=r"org/data.*run the same command once"):
        resolve_commit("dataset", "org/data")


def _serve_shards(hub: LoopbackHub, tmp_path: Path, names: list[str]) -> str:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(name.encode())
    return hub.add_dataset("org/data", folder)


@pytest.mark.parametrize("start", [0, 1])
def test_offline_a_cache_that_another_program_filled_serves_if_no_part_is_missing(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, start: int
) -> None:
    import huggingface_hub

    names = [f"train-{start + part:05}-of-00003.parquet" for part in range(3)]
    commit = _serve_shards(hub, tmp_path, names)
    for name in names[:2]:
        huggingface_hub.hf_hub_download("org/data", name, repo_type="dataset")
    hub.use(monkeypatch, tmp_path / "home", offline=True)
    with pytest.raises(HubUnreachableError, match="HF_HUB_OFFLINE"):
        download_files("dataset", "org/data", commit, ["train-*.parquet"])
    hub.use(monkeypatch, tmp_path / "home")
    huggingface_hub.hf_hub_download("org/data", names[2], repo_type="dataset")
    _go_offline(hub, monkeypatch, tmp_path)
    folder = download_files("dataset", "org/data", commit, ["train-*.parquet"])
    assert sorted(path.name for path in folder.iterdir()) == names


@pytest.mark.parametrize("names", [["0000.parquet", "0001.parquet"], ["train-00000-of-00001.parquet", "train.parquet"]])
def test_offline_names_that_do_not_tell_how_many_there_are_do_not_serve(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: list[str]
) -> None:
    import huggingface_hub

    commit = _serve_shards(hub, tmp_path, [*names, "0002.parquet"])
    for name in names:
        huggingface_hub.hf_hub_download("org/data", name, repo_type="dataset")
    hub.use(monkeypatch, tmp_path / "home", offline=True)
    with pytest.raises(HubUnreachableError, match=r"cannot be asked which files .* the same command once where"):
        download_files("dataset", "org/data", commit, ["*.parquet"])
    hub.use(monkeypatch, tmp_path / "home")
    list_files("dataset", "org/data", commit)
    for name in (*names, "0002.parquet"):
        huggingface_hub.hf_hub_download("org/data", name, repo_type="dataset")
    _go_offline(hub, monkeypatch, tmp_path)
    folder = download_files("dataset", "org/data", commit, ["*.parquet"])
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "0002.parquet"])


def test_offline_what_is_optional_is_not_taken_to_be_missing(
    hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    huggingface_hub.hf_hub_download(REPO, "config.json")
    _go_offline(hub, monkeypatch, tmp_path)
    assert (download_files("model", REPO, commit, ["config.json"]) / "config.json").is_file()
    with pytest.raises(HubUnreachableError, match="cannot be asked which files it has"):
        download_files("model", REPO, commit, ["config.json"], optional=["nested/notes.txt"])
    with pytest.raises(HubUnreachableError, match="run the same command once where the Hub can be reached"):
        download_files("model", REPO, commit, ["model.safetensors"])


@pytest.mark.parametrize("is_offline", [True, False])
def test_the_files_of_a_commit_are_not_guessed_from_the_cache(
    hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_offline: bool
) -> None:
    import huggingface_hub

    huggingface_hub.snapshot_download(REPO)
    hub.stop()
    hub.use(monkeypatch, tmp_path / "home", offline=is_offline)
    told = "HF_HUB_OFFLINE" if is_offline else "Connection refused"
    with pytest.raises(HubUnreachableError, match=rf"cannot be asked which files it has \(.*{told}.*keeps the list"):
        list_files("model", REPO, commit)


def test_a_cache_that_may_only_be_read_serves(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    folder = Path(huggingface_hub.snapshot_download(REPO))

    def refuse(path: Path, data: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("adapter_transfer.hub.write_atomic", refuse)
    assert resolve_commit("model", REPO) == commit
    assert download_files("model", REPO, commit, ["*"]) == folder


def test_a_download_that_breaks_off_goes_on(hub: LoopbackHub, commit: str, waits: list[float]) -> None:
    hub.cut_next(2, keep_bytes=1000, where="/large/")
    folder = download_files("model", REPO, commit, ["model.safetensors"])
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert waits == [1, 2]


def test_a_download_that_stays_cut_is_not_used(hub: LoopbackHub, commit: str, tmp_path: Path) -> None:
    hub.cut_next(5, keep_bytes=1000, where="/large/")
    with pytest.raises(HubUnreachableError, match="the download breaks off"):
        download_files("model", REPO, commit, ["model.safetensors"])
    assert not list((tmp_path / "home").rglob("model.safetensors"))
    folder = download_files("model", REPO, commit, ["model.safetensors"])
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_download_that_comes_damaged_is_not_used(hub: LoopbackHub, commit: str, tmp_path: Path) -> None:
    hub.damage("model.safetensors")
    with pytest.raises(HubError, match=r"model.safetensors came damaged twice: its content is not what its SHA-256"):
        download_files("model", REPO, commit, ["model.safetensors"])
    assert not list((tmp_path / "home").rglob("model.safetensors"))
    hub.damage("model.safetensors")  # the same bit again: it is whole
    assert (download_files("model", REPO, commit, ["*.safetensors"]) / "model.safetensors").read_bytes() == WEIGHTS


def test_two_at_once_get_the_same_files(hub: LoopbackHub, commit: str) -> None:
    folders: list[Path] = []
    threads = [
        threading.Thread(target=lambda: folders.append(download_files("model", REPO, commit, ["*"]))) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(folders) == 2 and folders[0] == folders[1]
    assert (folders[0] / "model.safetensors").read_bytes() == WEIGHTS
