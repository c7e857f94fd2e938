"""Every way in which a name cannot be reached: what is told, and whether waiting helps."""

from __future__ import annotations

from pathlib import Path

import pytest
from loopback_hub import LoopbackHub

from adapter_transfer.hub import HubError, HubUnreachableError, download_files, resolve_commit

REPO = "org/encoder"
WEIGHTS = b"weights"


@pytest.fixture
def hub(loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LoopbackHub:
    loopback_hub.use(monkeypatch, tmp_path / "home")
    return loopback_hub


@pytest.fixture
def commit(hub: LoopbackHub) -> str:
    """Of `REPO`, which the Hub holds."""
    return hub.store.commit("model", REPO, {"config.json": b"{}", "model.safetensors": WEIGHTS}, "main")


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited."""
    waited: list[float] = []
    monkeypatch.setattr("adapter_transfer.hub.sleep", waited.append)
    return waited


def test_a_name_that_is_not_there(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):  # who is logged in gets another answer
        with pytest.raises(HubError, match=r"no model 'org/encodr' at http.*Check the name.*hf auth login"):
            resolve_commit("model", "org/encodr")
        monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(HubError, match="no data set 'org/encoder'"):
        resolve_commit("dataset", REPO)


@pytest.mark.parametrize("name", ["a/b/c", "org/na me", "org--x/name", "", "org/name.git"])
def test_a_name_that_cannot_be(hub: LoopbackHub, name: str) -> None:
    with pytest.raises(HubError, match=r"is no name on the Hub. Write 'organisation/name'"):
        resolve_commit("model", name)
    assert hub.requests == []


def test_a_revision_or_a_commit_that_is_not_there(hub: LoopbackHub, commit: str) -> None:
    with pytest.raises(HubError, match=f"revision v9.*no such revision.*{hub.endpoint}/{REPO}/tree/main"):
        resolve_commit("model", REPO, "v9")
    with pytest.raises(HubError, match=f"commit {'0' * 40}.*no such revision"):
        download_files("model", REPO, "0" * 40, ["config.json"])


def test_a_file_that_is_listed_and_not_there(hub: LoopbackHub, commit: str) -> None:
    resolve_commit("model", REPO)
    hub.fail_next(None, 404, where="config.json", code="EntryNotFound", message="Entry not found")
    with pytest.raises(HubError, match="lacks a file that it lists"):
        download_files("model", REPO, commit, ["config.json"])


@pytest.mark.parametrize("logged_in", [False, True])
def test_a_gated_repository(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, logged_in: bool) -> None:
    hub.gate("model", REPO)
    if not logged_in:
        monkeypatch.delenv("HF_TOKEN")
    assert resolve_commit("model", REPO) == commit
    with pytest.raises(HubError, match=f"is gated: accept its terms at {hub.endpoint}/{REPO}, then log in with"):
        download_files("model", REPO, commit, ["config.json"])


@pytest.mark.parametrize(
    ("status", "code", "message", "told"),
    [
        (401, "", "Invalid credentials in Authorization header", "does not accept your token. Unset HF_TOKEN"),
        (403, "", "Your token lacks a right", "forbids it .403 Your token lacks a right.. Take a token"),
        (403, "", "Access to this resource is disabled.", "was disabled by the Hub"),
        (418, "", "I am a teapot", "refuses the request .418 I am a teapot"),
    ],
)
def test_other_refusals(hub: LoopbackHub, commit: str, status: int, code: str, message: str, told: str) -> None:
    hub.fail_next(None, status, code=code, message=message)
    with pytest.raises(HubError, match=told) as caught:
        resolve_commit("model", REPO)
    assert not isinstance(caught.value, HubUnreachableError)
    assert len(hub.requests) == 1


def test_what_a_server_says_is_shown_without_escapes_or_tokens_and_short(hub: LoopbackHub, commit: str) -> None:
    hub.fail_next(None, 418, message="\x1b[2J\x9bK you sent Bearer abc.def and hf_abcdefgh " + "x" * 500)
    with pytest.raises(HubError) as caught:
        resolve_commit("model", REPO)
    told = str(caught.value)
    assert "[2J K you sent (a token) and (a token) xxx" in told
    assert told.isprintable() and len(told) < 300


def test_a_hub_that_says_nothing_is_left_after_a_time(
    hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 0.1)
    hub.hang_next(5, seconds=60)
    with pytest.raises(HubUnreachableError, match=r"gave no answer in time .*HF_HUB_ETAG_TIMEOUT .* allow more time"):
        resolve_commit("model", REPO)
    assert waits == [1, 2, 4, 8]
    waits.clear()
    hub.hang_next(None, seconds=60, where="/resolve/")
    with pytest.raises(HubUnreachableError, match="gave no answer in time"):
        download_files("model", REPO, commit, ["config.json"])
    assert waits == [], "huggingface_hub has tried again by itself"


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b"{}", b"[]", b'{"id": "org/encoder", "sha": "main"}'])
def test_a_server_that_is_no_hub(hub: LoopbackHub, commit: str, body: bytes) -> None:
    hub.say_next(body=body)
    with pytest.raises(HubError, match=r"does not answer as the Hub does. Check HF_ENDPOINT"):
        resolve_commit("model", REPO)


def test_a_download_from_a_server_that_is_no_hub(hub: LoopbackHub, commit: str) -> None:
    resolve_commit("model", REPO)
    hub.say_next(None, body=b"<html>Please log in</html>", where="config.json")
    with pytest.raises(HubError, match=r"does not answer as the Hub does. Check HF_ENDPOINT"):
        download_files("model", REPO, commit, ["config.json"])


@pytest.mark.parametrize(
    ("waiting", "waited"),
    [
        ({}, [1, 2]),
        ({"Retry-After": "7"}, [7, 7]),
        ({"Retry-After": "0"}, [0, 0]),
        ({"Retry-After": "soon"}, [1, 2]),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, [0, 0]),
        ({"RateLimit": '"api";r=0;t=42'}, [42, 42]),
    ],
)
def test_too_many_requests_are_waited_out(
    hub: LoopbackHub, commit: str, waits: list[float], waiting: dict[str, str], waited: list[float]
) -> None:
    hub.fail_next(2, 429, headers=waiting)
    assert resolve_commit("model", REPO) == commit
    assert waits == waited


def test_a_download_waits_too(hub: LoopbackHub, commit: str, waits: list[float]) -> None:
    resolve_commit("model", REPO)
    hub.fail_next(1, 429, retry_after=3, where="resolve")
    hub.fail_next(1, 429, retry_after=4, where="large")
    folder = download_files("model", REPO, commit, ["model.safetensors"])
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert waits == [3, 4]


def test_waiting_is_bounded(hub: LoopbackHub, commit: str, waits: list[float]) -> None:
    hub.fail_next(None, 429)
    with pytest.raises(HubUnreachableError, match=r"too many requests for the Hub. Run the same command again later"):
        resolve_commit("model", REPO)
    assert waits == [1, 2, 4, 8]
    assert len(hub.requests) == 5


def test_a_wait_that_is_too_long_is_told(hub: LoopbackHub, commit: str, waits: list[float]) -> None:
    hub.fail_next(None, 429, retry_after=3600)
    with pytest.raises(HubUnreachableError, match="again in 3600 s; to be allowed more of them, log in"):
        resolve_commit("model", REPO)
    assert waits == []


def test_a_hub_that_is_out_of_order(hub: LoopbackHub, commit: str, waits: list[float]) -> None:
    hub.fail_next(2, 503)
    assert resolve_commit("model", REPO) == commit
    assert waits == [1, 2]
    hub.fail_next(None, 502, where="config.json")
    with pytest.raises(HubUnreachableError, match=f"{hub.endpoint} is out of order .502 "):
        download_files("model", REPO, commit, ["config.json"])
    assert waits == [1, 2], "huggingface_hub has tried again by itself"


def test_no_network(hub: LoopbackHub, commit: str) -> None:
    resolve_commit("model", REPO)
    hub.stop()
    told = "cannot be reached .Connection refused.. Check the network, HTTPS_PROXY and HF_ENDPOINT"
    with pytest.raises(HubUnreachableError, match=told):
        resolve_commit("model", "org/other")
    with pytest.raises(HubUnreachableError, match=told):
        download_files("model", REPO, commit, ["config.json"])


def test_a_disk_that_is_full(commit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    def full(*args: object, **kwargs: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    with pytest.raises(HubError, match=r"kept in the cache .*home/hub: No space left on device. Make room"):
        download_files("model", REPO, commit, ["config.json"])


def test_a_download_that_fails_in_the_large_file_store(commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fail(*args: object, **kwargs: object) -> str:
        raise RuntimeError("Data processing error: CAS service error")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(HubUnreachableError, match=r"fails .Data processing error.*HF_HUB_DISABLE_XET=1"):
        download_files("model", REPO, commit, ["config.json"])
