"""What can go wrong while something is pushed: it goes on, or ends in a bounded time, and nothing half is shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback_hub import LoopbackHub
from sealed_packages import contents, write_sealed_package

from adapter_transfer.durable import sha256_file
from adapter_transfer.hub import HubError, HubUnreachableError, resolve_commit
from adapter_transfer.sharing import hub as sharing_hub
from adapter_transfer.sharing.hub import upload

REPO = "org/copa-adapter"
COMMIT = f"/api/models/{REPO}/commit/main"
MESSAGE = "An adapter"


def test_an_upload_that_breaks_off_is_sent_again(hub: LoopbackHub, package: Path) -> None:
    hub.cut_upload_next(2, take_bytes=100, where="/sent/")
    upload(package, REPO, message=MESSAGE)
    assert hub.files(REPO)["adapter.safetensors"] == (package / "adapter.safetensors").read_bytes()
    assert len(hub.sent()) == 3


def test_an_upload_that_stays_cut_shows_nothing_and_goes_on_later(hub: LoopbackHub, tmp_path: Path) -> None:
    package = write_sealed_package(tmp_path / "two", adapters=("one", "two"))
    # Of another content, so that there are two files to send.
    other = write_sealed_package(tmp_path / "other", value=2.0)
    (package / "two" / "adapter.safetensors").write_bytes((other / "adapter.safetensors").read_bytes())
    sha256 = sha256_file(other / "adapter.safetensors")
    hub.cut_upload_next(6, take_bytes=100, where=sha256)
    with pytest.raises(HubUnreachableError, match="nothing is shown before all of it is there"):
        upload(package, REPO, message=MESSAGE)
    assert list(hub.files(REPO)) == [".gitattributes"]
    hub.requests.clear()
    upload(package, REPO, message=MESSAGE)
    assert {path.split("/")[-1].split("?")[0] for path in hub.sent()} == {sha256}, "what had arrived is not sent again"
    assert set(contents(package)) < set(hub.files(REPO))


def test_a_commit_whose_answer_is_lost_is_made_once(hub: LoopbackHub, package: Path) -> None:
    hub.cut_next(1, keep_bytes=0, where=COMMIT, method="POST")
    uploaded = upload(package, REPO, message=MESSAGE)
    repository = hub.store.repositories["model", REPO]
    assert repository.refs["main"] == uploaded.commit
    assert list(repository.messages.values()) == ["initial commit", MESSAGE]


STEPS = [
    "/api/repos/create",
    "/api/validate-yaml",
    "/preupload/",
    "/objects/batch",
    "/sent/",
    "/lfs-verify",
    "/commit/",
]
each_step = pytest.mark.parametrize("where", STEPS)


@each_step
def test_too_many_requests_are_waited_out(hub: LoopbackHub, package: Path, waits: list[float], where: str) -> None:
    # What has arrived is not verified a second time.
    times = 1 if where == "/lfs-verify" else 2
    hub.fail_next(times, 429, retry_after=7, where=where)
    uploaded = upload(package, REPO, message=MESSAGE)
    assert waits == [7] * times
    assert resolve_commit("model", REPO) == uploaded.commit


@each_step
def test_a_hub_that_is_out_of_order_for_a_while(hub: LoopbackHub, package: Path, where: str) -> None:
    hub.fail_next(2, 503, where=where)
    uploaded = upload(package, REPO, message=MESSAGE)
    assert resolve_commit("model", REPO) == uploaded.commit


# Who goes on after a failure of /lfs-verify sees that the file has arrived.
@pytest.mark.parametrize("where", [step for step in STEPS if step != "/lfs-verify"])
def test_a_hub_that_stays_out_of_order(hub: LoopbackHub, package: Path, where: str) -> None:
    hub.fail_next(None, 500, where=where)
    with pytest.raises(HubUnreachableError, match=r"is out of order .500 .*Run the same command again later"):
        upload(package, REPO, message=MESSAGE)
    assert len([path for _, path in hub.requests if where in path]) <= 6
    repository = hub.store.repositories.get(("model", REPO))
    assert repository is None or list(repository.messages.values()) == ["initial commit"]


# Who goes on after a hang in /lfs-verify sees that the file has arrived.
@pytest.mark.parametrize("where", [step for step in STEPS if step != "/lfs-verify"])
def test_a_hub_that_says_nothing_is_left_after_a_time(
    hub: LoopbackHub, package: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(sharing_hub, "ANSWER_SECONDS", 0.2)
    hub.hang_next(None, seconds=60, where=where)
    start = time.monotonic()
    with pytest.raises(HubUnreachableError, match=r"gave no answer in time .*Run the same command again"):
        upload(package, REPO, message=MESSAGE)
    assert time.monotonic() - start < 20


def test_a_network_that_is_gone(hub: LoopbackHub, package: Path) -> None:
    hub.stop()
    with pytest.raises(HubUnreachableError, match=r"cannot be reached .*Check the network"):
        upload(package, REPO, message=MESSAGE)


def test_time_limits_end_with_the_upload(hub: LoopbackHub, package: Path) -> None:
    from huggingface_hub.utils import get_session

    upload(package, REPO, message=MESSAGE)
    assert "Bounded" not in type(get_session().adapters["http://"]).__name__


CANARY = "hf_CANARYcanary0123456789"


def _echo(hub: LoopbackHub) -> None:
    hub.fail_next(None, 400, message=f"bad header Bearer {CANARY} and {CANARY}")


@pytest.mark.parametrize(
    "plant",
    [
        lambda hub: hub.fail_next(None, 401, message="Invalid credentials in Authorization header"),
        lambda hub: hub.fail_next(None, 403),
        lambda hub: hub.fail_next(None, 429, retry_after=1),
        lambda hub: hub.fail_next(None, 500, where="/sent/"),
        lambda hub: hub.fail_next(None, 500),
        lambda hub: hub.say_next(None, body=b"<html>"),
        lambda hub: hub.cut_upload_next(None, take_bytes=1),
        lambda hub: hub.hang_next(None, where="/sent/"),
        lambda hub: hub.stop(),
        _echo,
    ],
    ids=["401", "403", "429", "500-large", "500", "page", "cut", "hang", "gone", "echo"],
)
def test_the_token_is_never_told(
    hub: LoopbackHub,
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    plant: Callable[[LoopbackHub], None],
) -> None:
    monkeypatch.setattr(sharing_hub, "ANSWER_SECONDS", 0.2)
    monkeypatch.setenv("HF_TOKEN", CANARY)
    plant(hub)
    with caplog.at_level("DEBUG"), pytest.raises(HubError) as caught:
        upload(package, REPO, message=MESSAGE)
    assert CANARY not in str(caught.value) + caplog.text
