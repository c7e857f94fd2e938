"""Pulling with the real client, against a Hub on this machine: whole or not at all, and nothing but its folder."""

from __future__ import annotations

import json
import shutil
import stat
import threading
from pathlib import Path

import pytest
from loopback_hub import LoopbackHub
from sealed_packages import contents, names_below, write_sealed_package

from adapter_transfer.errors import AdapterTransferError, ConfigError, DataError
from adapter_transfer.hub import HubUnreachableError
from adapter_transfer.sharing.hub import upload
from adapter_transfer.sharing.pull import Pulled, all_pulled, find_pulled, pull
from adapter_transfer.sharing.references import HubAdapter

REPO = "org/copa-adapter"
WANTED = HubAdapter(REPO)
WEIGHTS = "adapter.safetensors"


# What is pulled


def test_what_was_pushed_is_pulled_at_its_commit(hub: LoopbackHub, package: Path, commit: str, place: Path) -> None:
    pulled = pull(WANTED, place)
    assert pulled.reference == HubAdapter(REPO, commit) and pulled.asked == "main"
    assert pulled.folder == place / f"org--copa-adapter@{commit[:12]}" / "package"
    assert contents(pulled.folder) == contents(package)
    assert pulled.package.method == "seq_bn"
    assert names_below(place.parent) == sorted(["adapters", *(f"adapters/{name}" for name in names_below(place))]), (
        "nothing beside it"
    )
    assert [path.name for path in place.iterdir()] == [pulled.folder.parent.name], "no debris"


def test_the_files_are_plain_ones(commit: str, place: Path) -> None:
    pulled = pull(WANTED, place)
    kinds = {stat.S_IFMT(path.lstat().st_mode) for path in pulled.folder.rglob("*")}
    assert kinds == {stat.S_IFREG}, "the cache holds links"


def test_where_it_is_from_is_written_down(commit: str, place: Path) -> None:
    pulled = pull(WANTED, place)
    manifest = json.loads((pulled.folder.parent / "manifest.json").read_text())
    assert manifest["pulled"] == {"repo": REPO, "revision": "main", "commit": commit, "digest": None}
    assert set(manifest["files"]) == {f"package/{name}" for name in contents(pulled.folder)}


def test_a_revision_is_pinned(hub: LoopbackHub, commit: str, place: Path, tmp_path: Path) -> None:
    first = pull(WANTED, place)
    later = upload(write_sealed_package(tmp_path / "later", value=2.0), REPO, message="later").commit
    second = pull(WANTED, place)
    assert (first.reference.revision, second.reference.revision) == (commit, later)
    weights = [(pulled.folder / WEIGHTS).read_bytes() for pulled in (first, second)]
    assert weights[0] != weights[1]
    again = pull(first.reference, tmp_path / "elsewhere")
    assert (again.folder / WEIGHTS).read_bytes() == weights[0]
    assert again.asked == commit


def test_what_is_there_needs_no_request(hub: LoopbackHub, commit: str, place: Path) -> None:
    first = pull(WANTED, place)
    hub.requests.clear()
    again = pull(HubAdapter(REPO, commit), place)
    assert again == first
    assert find_pulled(HubAdapter(REPO, commit), place) == first
    assert hub.requests == []
    assert pull(WANTED, place) == first
    assert [path for _, path in hub.requests] == [f"/api/models/{REPO}/revision/main"], "what main is now"


def test_offline_what_is_there_serves(
    hub: LoopbackHub, commit: str, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = pull(WANTED, place)
    hub.requests.clear()
    hub.use(monkeypatch, tmp_path / "home", offline=True)
    assert pull(HubAdapter(REPO, commit), place) == first
    assert pull(WANTED, place) == first
    assert hub.requests == []
    with pytest.raises(HubUnreachableError, match="HF_HUB_OFFLINE"):
        pull(HubAdapter("org/other"), place)


def test_a_lock_may_say_which_commit(hub: LoopbackHub, commit: str, place: Path, tmp_path: Path) -> None:
    upload(write_sealed_package(tmp_path / "later", value=2.0), REPO, message="later")
    asked: list[tuple[str, str, str]] = []

    def locked(kind: str, repo: str, revision: str) -> str:
        asked.append((kind, repo, revision))
        return commit

    assert pull(WANTED, place, commit=locked).reference.revision == commit
    assert asked == [("model", REPO, "main")]


def test_several_adapters_lie_as_they_were(hub: LoopbackHub, place: Path, tmp_path: Path) -> None:
    package = write_sealed_package(tmp_path / "seeds", adapters=("seed-1/copa", "seed-2/copa"))
    upload(package, REPO, message="seeds")
    pulled = pull(WANTED, place)
    assert contents(pulled.folder) == contents(package)


def test_two_at_once_get_the_same(commit: str, place: Path) -> None:
    got: list[Pulled] = []
    threads = [threading.Thread(target=lambda: got.append(pull(WANTED, place))) for _ in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 3 and got[0] == got[1] == got[2]
    assert len(list(place.iterdir())) == 1


def test_what_was_not_pulled_is_not_found(hub: LoopbackHub, place: Path) -> None:
    assert find_pulled(HubAdapter(REPO, "0" * 40), place) is None
    assert all_pulled(place) == []
    assert not place.exists()


@pytest.mark.parametrize(
    "repo", ["../../etc/x", "org/../x", "org/a--b", "org", "/etc/x", "org/name/../../x", "o\nrg/x"]
)
def test_a_name_that_leads_elsewhere(hub: LoopbackHub, place: Path, repo: str) -> None:
    for call in (pull, find_pulled):
        with pytest.raises(ConfigError, match="names no adapter on the Hub"):
            call(HubAdapter(repo, "0" * 40), place)
    assert hub.requests == [] and not place.parent.exists()


# What is damaged


def _damage(pulled: Pulled) -> None:
    path = pulled.folder / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_damaged_copy_is_told_and_fetched_anew_by_pull(
    hub: LoopbackHub, commit: str, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = pull(WANTED, place)
    whole = contents(first.folder)
    _damage(first)
    with pytest.raises(DataError, match=rf"adapter.safetensors has changed.*adapters pull 'hub:{REPO}@{commit}'"):
        find_pulled(first.reference, place)
    with caplog.at_level("WARNING"):
        again = pull(WANTED, place)
    assert "has changed" in caplog.text
    assert contents(again.folder) == whole
    assert find_pulled(first.reference, place) == again


@pytest.mark.parametrize("name", ["manifest.json", f"package/{WEIGHTS}", "package/manifest.json"])
def test_a_copy_that_lacks_something_is_no_copy(commit: str, place: Path, name: str) -> None:
    first = pull(WANTED, place)
    (first.folder.parent / name).unlink()
    with pytest.raises(DataError, match="is damaged in the store"):
        find_pulled(first.reference, place)
    assert pull(WANTED, place) == first


def test_what_was_put_into_a_copy_is_noticed(commit: str, place: Path) -> None:
    first = pull(WANTED, place)
    (first.folder / "pytorch_adapter.bin").write_bytes(b"pickle")
    with pytest.raises(DataError, match=r"pytorch_adapter\.bin"):
        find_pulled(first.reference, place)


def test_a_copy_under_another_name_is_not_taken_for_it(commit: str, place: Path) -> None:
    first = pull(WANTED, place)
    other = place / f"org--copa-adapter@{'0' * 12}"
    shutil.copytree(first.folder.parent, other)
    with pytest.raises(DataError, match="which has another name"):
        find_pulled(HubAdapter(REPO, "0" * 40), place)


def test_all_that_was_pulled_with_what_is_damaged(hub: LoopbackHub, commit: str, place: Path, tmp_path: Path) -> None:
    first = pull(WANTED, place)
    upload(write_sealed_package(tmp_path / "later", value=2.0), REPO, message="later")
    second = pull(WANTED, place)
    (place / ".org--x.0123456789ab.tmp").mkdir()
    assert set(map(str, (each.reference for each in all_pulled(place) if isinstance(each, Pulled)))) == {
        str(first.reference),
        str(second.reference),
    }
    _damage(first)
    found = all_pulled(place)
    assert len(found) == 2
    assert [each for each in found if isinstance(each, Pulled)] == [second]
    (told,) = [each for each in found if isinstance(each, AdapterTransferError)]
    assert WEIGHTS in str(told)


def test_a_file_that_was_damaged_in_the_cache_is_not_sealed(hub: LoopbackHub, commit: str, tmp_path: Path) -> None:
    first = pull(WANTED, tmp_path / "first")
    for name in (WEIGHTS, "adapter_config.json"):
        (cached,) = [path for path in (tmp_path / "home").rglob(name) if commit in str(path)]
        content = bytearray(cached.read_bytes())
        content[-2] ^= 1
        cached.resolve().write_bytes(content)
    second = pull(WANTED, tmp_path / "second")
    assert contents(second.folder) == contents(first.folder)
