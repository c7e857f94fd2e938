"""What can go wrong while something is pulled: it goes on, or ends in a bounded time, and leaves nothing."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback_hub import LoopbackHub
from sealed_packages import contents, names_below, publish, write_sealed_package

from adapter_transfer.errors import DataError
from adapter_transfer.hub import HubError, HubUnreachableError
from adapter_transfer.sharing import pull as pulling
from adapter_transfer.sharing.hub import upload
from adapter_transfer.sharing.listing import UnsafePackageError
from adapter_transfer.sharing.pull import find_pulled, pull
from adapter_transfer.sharing.references import HubAdapter

REPO = "org/copa-adapter"
WANTED = HubAdapter(REPO)
WEIGHTS = "adapter.safetensors"


@pytest.fixture
def large(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose weights come in many pieces, pushed."""
    from huggingface_hub import constants

    folder = write_sealed_package(tmp_path / "large", rows=400)
    upload(folder, REPO, message="large")
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.requests.clear()
    hub.received.clear()
    return folder


def _ranges(hub: LoopbackHub) -> list[str | None]:
    return [each.headers.get("range") for each in hub.received if each.method == "GET" and "/large/" in each.path]


def test_a_download_that_is_cut_goes_on_from_there(hub: LoopbackHub, large: Path, place: Path) -> None:
    hub.cut_next(1, keep_bytes=50_500, where="/large/")
    pulled = pull(WANTED, place)
    assert contents(pulled.folder) == contents(large)
    assert _ranges(hub) == [None, "bytes=50000-"], "what had come is not sent again"


def test_a_pull_that_failed_goes_on_from_there(hub: LoopbackHub, large: Path, place: Path) -> None:
    hub.cut_next(5, keep_bytes=10_500, where="/large/")
    with pytest.raises(HubUnreachableError, match="the download breaks off"):
        pull(WANTED, place)
    assert names_below(place) == [], "whole or not at all"
    hub.received.clear()
    assert contents(pull(WANTED, place).folder) == contents(large)
    assert _ranges(hub) == ["bytes=50000-"]


def test_who_interrupts_leaves_nothing_half_and_goes_on_later(
    hub: LoopbackHub, large: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(pulling, "seal", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pull(WANTED, place)
    assert names_below(place) == []
    hub.requests.clear()
    assert contents(pull(WANTED, place).folder) == contents(large)
    assert not any("/resolve/" in path for _, path in hub.requests), "all files had come"


@pytest.mark.parametrize("where", ["/api/models", "/resolve/", "/large/"])
def test_too_many_requests_are_waited_out(
    hub: LoopbackHub, commit: str, place: Path, waits: list[float], where: str
) -> None:
    hub.fail_next(2, 429, retry_after=7, where=where)
    assert pull(WANTED, place).reference.revision == commit
    assert waits == [7, 7]


@pytest.mark.parametrize("where", ["/api/models", "/resolve/", "/large/"])
def test_a_hub_that_is_out_of_order(hub: LoopbackHub, commit: str, place: Path, where: str) -> None:
    hub.fail_next(2, 503, where=where)
    assert pull(WANTED, place).reference.revision == commit
    shutil.rmtree(place)
    shutil.rmtree(place.parent.parent / "home")
    hub.fail_next(None, 500, where=where)
    with pytest.raises(HubUnreachableError, match=r"is out of order .500 "):
        pull(WANTED, place)
    assert names_below(place) == []


@pytest.mark.parametrize(
    ("where", "keep_bytes"), [("/api/models", None), ("/resolve/", None), ("/large/", None), ("/large/", 5_000)]
)
def test_a_hub_that_says_nothing_is_left_after_a_time(
    hub: LoopbackHub,
    large: Path,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    keep_bytes: int | None,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    hub.hang_next(None, seconds=60, where=where, keep_bytes=keep_bytes)
    start = time.monotonic()
    if keep_bytes is None:
        with pytest.raises(HubUnreachableError, match=r"gave no answer in time .*HF_HUB_DOWNLOAD_TIMEOUT"):
            pull(WANTED, place)
        assert names_below(place) == []
    else:
        # A little comes each time, so that it ends.
        assert contents(pull(WANTED, place).folder) == contents(large)
    assert time.monotonic() - start < 30


def test_a_download_that_stalls_for_good_ends(
    hub: LoopbackHub, large: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    hub.hang_next(None, seconds=60, where="/large/", keep_bytes=0)
    with pytest.raises(HubUnreachableError, match="gave no answer in time"):
        pull(WANTED, place)
    assert names_below(place) == []


def test_a_wrong_checksum(hub: LoopbackHub, commit: str, place: Path) -> None:
    hub.damage(WEIGHTS)
    with pytest.raises(HubError, match=r"came damaged twice: its content is not what its SHA-256 says"):
        pull(WANTED, place)
    assert names_below(place) == []


def test_a_package_that_is_not_what_its_manifest_says(hub: LoopbackHub, package: Path, place: Path) -> None:
    other = write_sealed_package(package.parent / "other", value=2.0)
    (package / WEIGHTS).write_bytes((other / WEIGHTS).read_bytes())
    publish(hub, REPO, package)
    with pytest.raises(DataError, match=WEIGHTS):
        pull(WANTED, place)
    assert names_below(place) == []


def test_values_that_are_no_numbers(hub: LoopbackHub, place: Path, tmp_path: Path) -> None:
    publish(hub, REPO, write_sealed_package(tmp_path / "nan", value=float("nan")))
    with pytest.raises(UnsafePackageError, match=rf"^hub:{REPO}@.* is refused; nothing of it was kept"):
        pull(WANTED, place)
    assert names_below(place) == []


@pytest.mark.parametrize("difference", [-1, 1, 1000])
def test_a_listing_that_lies_about_sizes(hub: LoopbackHub, commit: str, place: Path, difference: int) -> None:
    repository = hub.store.repositories["model", REPO]
    size = len(repository.commits[commit][WEIGHTS].content)
    repository.false_sizes[WEIGHTS] = size + difference
    with pytest.raises(UnsafePackageError, match=rf"came with {size:,} bytes, and {size + difference:,} are listed"):
        pull(WANTED, place)
    assert names_below(place) == []


@pytest.mark.parametrize(
    "name",
    ["../../evil.safetensors", "/etc/evil", "..", "a/../../adapter_config.json", "C:\\evil", "a\x1b[2Jb", "x" * 300],
)
@pytest.mark.parametrize("leave_out", [False, True])
def test_names_that_lead_elsewhere(
    hub: LoopbackHub, package: Path, place: Path, tmp_path: Path, name: str, leave_out: bool
) -> None:
    publish(hub, REPO, package)
    repository = hub.store.repositories["model", REPO]
    files = repository.commits[repository.refs["main"]]
    files[name] = files[WEIGHTS]
    before = names_below(tmp_path)
    with pytest.raises(UnsafePackageError, match=f"hub:{REPO}@.* is refused") as caught:
        pull(WANTED, place, leave_out_unknown=leave_out)
    assert "\x1b" not in str(caught.value)
    assert not any("/resolve/" in path or "/large/" in path for _, path in hub.requests), "nothing was fetched"
    new = [path for path in names_below(tmp_path) if path not in before]
    assert all(path.split("/")[0] in ("home", "store") for path in new)
    assert names_below(place) == []


def test_what_is_unknown_is_refused_or_left_out(hub: LoopbackHub, package: Path, place: Path) -> None:
    publish(hub, REPO, package, {"run.py": b"import os", "training_args.bin": b"pickle"})
    with pytest.raises(UnsafePackageError, match=r"run\.py"):
        pull(WANTED, place)
    hub.requests.clear()
    pulled = pull(WANTED, place, leave_out_unknown=True)
    assert contents(pulled.folder) == contents(package)
    assert not any("run.py" in path or "training_args" in path for _, path in hub.requests)


def test_what_came_and_cannot_be_used_is_told_of_the_adapter(hub: LoopbackHub, package: Path, place: Path) -> None:
    (package / "manifest.json").unlink()
    config = json.loads((package / "adapter_config.json").read_text())
    config["config"]["original_ln_before"] = False
    (package / "adapter_config.json").write_text(json.dumps(config))
    publish(hub, REPO, package)
    with pytest.raises(
        DataError, match=rf"^hub:{REPO}@.* is refused; nothing of it was kept.*original_ln_before"
    ) as caught:
        pull(WANTED, place)
    assert str(place) not in str(caught.value), "a folder that is gone"
    assert names_below(place) == []


def test_what_is_too_large_is_not_fetched(hub: LoopbackHub, commit: str, place: Path) -> None:
    with pytest.raises(UnsafePackageError, match=WEIGHTS):
        pull(WANTED, place, max_bytes=1000)
    assert not any("/resolve/" in path for _, path in hub.requests)


def test_a_larger_limit_is_not_held_against_it_later(commit: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "DEFAULT_MAX_BYTES", 1000)
    pulled = pull(WANTED, place, max_bytes=1 << 20)
    assert find_pulled(pulled.reference, place) == pulled


# The token

CANARY = "hf_CANARYcanary0123456789"


@pytest.mark.parametrize(
    "plant",
    [
        lambda hub: None,
        lambda hub: hub.fail_next(None, 401, message="Invalid credentials in Authorization header"),
        lambda hub: hub.fail_next(None, 403, message=f"no: Bearer {CANARY}"),
        lambda hub: hub.fail_next(None, 404, code="RepoNotFound"),
        lambda hub: hub.fail_next(None, 429, retry_after=1),
        lambda hub: hub.fail_next(None, 500, where="/large/"),
        lambda hub: hub.say_next(None, body=b"<html>"),
        lambda hub: hub.cut_next(None, keep_bytes=1, where="/large/"),
        lambda hub: hub.hang_next(None, where="/resolve/"),
        lambda hub: hub.damage(WEIGHTS),
        lambda hub: hub.store.strangers.add(CANARY),
        lambda hub: hub.stop(),
    ],
    ids=["works", "401", "403", "404", "429", "500", "page", "cut", "hang", "damaged", "stranger", "gone"],
)
def test_the_token_is_never_told(
    hub: LoopbackHub,
    commit: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    plant: Callable[[LoopbackHub], None],
    request: pytest.FixtureRequest,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
    monkeypatch.setenv("HF_TOKEN", CANARY)
    plant(hub)
    told = ""
    with caplog.at_level("DEBUG"):
        if request.node.callspec.id == "works":
            told = str(pull(WANTED, place))
            assert hub.received[0].token == CANARY
        else:
            with pytest.raises(HubError) as caught:
                pull(WANTED, place)
            told = str(caught.value)
    assert CANARY not in told + caplog.text
    for folder in (place, tmp_path / "home"):
        assert not any(CANARY.encode() in content for content in (contents(folder) if folder.exists() else {}).values())
