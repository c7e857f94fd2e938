"""Pushing and listing with the real client, against a Hub on this machine that speaks the real one's protocol."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from loopback_hub import LoopbackHub
from sealed_packages import contents, write_sealed_package

from adapter_transfer.hub import HubError, HubUnreachableError, hide_progress, resolve_commit
from adapter_transfer.sharing.hub import file_sizes, list_adapters, upload

REPO = "org/copa-adapter"
COMMIT = f"/api/models/{REPO}/commit/main"
MESSAGE = "An adapter"


def test_a_package_is_pushed_in_one_private_commit(hub: LoopbackHub, package: Path) -> None:
    uploaded = upload(package, REPO, message=MESSAGE)
    assert uploaded.is_private and hub.store.repositories["model", REPO].is_private
    assert (uploaded.repo, uploaded.url) == (REPO, f"{hub.endpoint}/{REPO}")
    there = hub.files(REPO)
    assert there.pop(".gitattributes")
    assert there == contents(package)
    repository = hub.store.repositories["model", REPO]
    assert repository.refs["main"] == uploaded.commit
    assert list(repository.messages.values()) == ["initial commit", MESSAGE]
    assert resolve_commit("model", REPO) == uploaded.commit


def test_public_is_asked_for(hub: LoopbackHub, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded = upload(package, REPO, public=True, message=MESSAGE)
    assert not uploaded.is_private and not hub.store.repositories["model", REPO].is_private
    monkeypatch.delenv("HF_TOKEN")
    assert resolve_commit("model", REPO) == uploaded.commit


def test_what_is_private_does_not_exist_for_others(
    hub: LoopbackHub, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(package, REPO, message=MESSAGE)
    hub.store.strangers.add("hf_stranger")
    for token in ("hf_stranger", None):
        monkeypatch.delenv("HF_TOKEN", raising=False)
        if token is not None:
            monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(HubError, match=r"there is no model .* or it is private"):
            resolve_commit("model", REPO)


@pytest.mark.parametrize("is_public", [False, True])
def test_a_repository_stays_what_it_is(hub: LoopbackHub, package: Path, is_public: bool) -> None:
    first = upload(package, REPO, public=is_public, message=MESSAGE)
    hub.requests.clear()
    told = "is private, and --public was asked" if not is_public else "is public: say --public, or choose another name"
    with pytest.raises(HubError, match=told):
        upload(package, REPO, public=not is_public, message=MESSAGE)
    assert {method for method, _ in hub.requests} == {"GET"}
    assert resolve_commit("model", REPO) == first.commit


@pytest.mark.parametrize("is_public", [False, True])
def test_an_organisation_with_a_rule_of_its_own_is_noticed_before_a_file_is_sent(
    hub: LoopbackHub, package: Path, is_public: bool
) -> None:
    (hub.store.made_private if is_public else hub.store.made_public).add("org")
    with pytest.raises(HubError, match="Nothing was pushed"):
        upload(package, REPO, public=is_public, message=MESSAGE)
    assert list(hub.files(REPO)) == [".gitattributes"]
    assert not any("preupload" in path or "lfs" in path for _, path in hub.requests)


def test_what_an_earlier_package_had_is_deleted_and_nothing_else(
    hub: LoopbackHub, package: Path, tmp_path: Path
) -> None:
    names = ("seed-1/copa", "seed-2/copa")
    earlier = write_sealed_package(tmp_path / "earlier", adapters=names)
    (earlier / "LICENSE").write_text("Anybody may do anything.")
    (earlier / "plots").mkdir()
    (earlier / "plots" / "curve.svg").write_text("<svg/>")
    upload(earlier, REPO, message="seeds")
    later = upload(package, REPO, message="one")
    kept = {".gitattributes", "LICENSE", "plots/curve.svg"}
    assert set(hub.files(REPO)) == set(contents(package)) | kept
    repository = hub.store.repositories["model", REPO]
    assert list(repository.messages.values()) == ["initial commit", "seeds", "one"]
    assert repository.refs["main"] == later.commit


def test_nothing_new_makes_no_commit(hub: LoopbackHub, package: Path) -> None:
    first = upload(package, REPO, message=MESSAGE)
    assert upload(package, REPO, message="again").commit == first.commit
    assert len(hub.store.repositories["model", REPO].messages) == 2
    assert len(hub.sent()) == 1


def test_a_branch_is_made_and_main_stays(hub: LoopbackHub, package: Path, tmp_path: Path) -> None:
    first = upload(package, REPO, message=MESSAGE)
    other = write_sealed_package(tmp_path / "other", value=2.0)
    second = upload(other, REPO, message="other", branch="v2")
    assert resolve_commit("model", REPO) == first.commit
    assert resolve_commit("model", REPO, "v2") == second.commit != first.commit


def test_a_tag_is_a_revision(hub: LoopbackHub, package: Path, tmp_path: Path) -> None:
    from huggingface_hub import HfApi

    first = upload(package, REPO, message=MESSAGE)
    HfApi().create_tag(REPO, tag="v1.0")
    upload(write_sealed_package(tmp_path / "other", value=2.0), REPO, message="other")
    assert resolve_commit("model", REPO, "v1.0") == first.commit


def test_links_are_not_pushed(hub: LoopbackHub, package: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (package / "LICENSE").symlink_to(tmp_path / "secret")
    with pytest.raises(HubError, match="holds links"):
        upload(package, REPO, message=MESSAGE)
    assert hub.requests == []


def test_progress_is_shown_until_it_is_hidden(
    hub: LoopbackHub, package: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from huggingface_hub.utils.tqdm import enable_progress_bars

    enable_progress_bars()  # a command of another test may have hidden them in this process
    upload(package, REPO, message=MESSAGE)
    assert "adapter.safetensors" in capsys.readouterr().err
    hide_progress()
    try:
        upload(write_sealed_package(tmp_path / "other", value=2.0), REPO, message="other")
        assert capsys.readouterr().err == ""
    finally:
        enable_progress_bars()


# Who may not


def test_without_a_token_nothing_is_asked(hub: LoopbackHub, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=r"there is no token. Take a token that may write .*/settings/tokens.*hf auth"):
        upload(package, REPO, message=MESSAGE)
    assert hub.requests == []


def test_a_token_that_may_only_read(hub: LoopbackHub, package: Path) -> None:
    hub.store.readers.add("hf_loopback")
    with pytest.raises(HubError, match=r"you may not write there .403 .*rights.*Take a token that may write"):
        upload(package, REPO, message=MESSAGE)
    assert ("model", REPO) not in hub.store.repositories


def test_a_token_that_may_only_read_where_the_repository_is_there(hub: LoopbackHub, package: Path) -> None:
    first = upload(package, REPO, message=MESSAGE)
    hub.store.readers.add("hf_loopback")
    (package / "README.md").write_text("# Other\n")
    with pytest.raises(HubError, match="you may not write there"):
        upload(package, REPO, message=MESSAGE)
    assert resolve_commit("model", REPO) == first.commit


def test_an_organisation_that_is_not_ones_own(hub: LoopbackHub, package: Path) -> None:
    hub.store.closed.add("org")
    with pytest.raises(HubError, match="or of an organisation that lets you write"):
        upload(package, REPO, message=MESSAGE)


def test_a_token_that_is_none(hub: LoopbackHub, package: Path) -> None:
    hub.fail_next(None, 401, message="Invalid credentials in Authorization header")
    with pytest.raises(HubError, match="does not accept your token"):
        upload(package, REPO, message=MESSAGE)


def test_a_card_that_the_hub_refuses(hub: LoopbackHub, package: Path) -> None:
    (package / "README.md").write_text("---\nlicense: no-such-licence\n---\n")
    with pytest.raises(HubError, match=r"does not take the card .*\"license\" must be one of.*Mend README.md"):
        upload(package, REPO, message=MESSAGE)
    assert list(hub.files(REPO)) == [".gitattributes"]


def test_somebody_else_pushed_at_the_same_moment(hub: LoopbackHub, package: Path) -> None:
    upload(package, REPO, message=MESSAGE)
    before = hub.files(REPO)
    hub.fail_next(1, 412, where=COMMIT, message="A commit has happened since")
    (package / "README.md").write_text("# Other\n")
    with pytest.raises(HubError, match=r"changed by somebody else at this moment.*nothing was pushed"):
        upload(package, REPO, message=MESSAGE)
    assert hub.files(REPO) == before


def test_a_commit_on_top_of_another_than_was_looked_at_is_refused(hub: LoopbackHub, package: Path) -> None:
    """By the server, as the real one does: the client sends what it looked at."""
    upload(package, REPO, message=MESSAGE)
    (commit,) = [each for each in hub.received if each.path == COMMIT]
    parent = json.loads(commit.body.split(b"\n")[0])["value"]["parentCommit"]
    assert hub.store.repositories["model", REPO].messages[parent] == "initial commit"


@pytest.mark.parametrize("repo", ["a/b/c", "org/na me", "org--x/name", "../x"])
def test_a_name_that_cannot_be(hub: LoopbackHub, package: Path, repo: str) -> None:
    with pytest.raises(HubError, match="is no name on the Hub"):
        upload(package, repo, message=MESSAGE)
    assert hub.requests == []


def test_offline(hub: LoopbackHub, package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub.use(monkeypatch, tmp_path / "home", offline=True)
    with pytest.raises(HubUnreachableError, match="HF_HUB_OFFLINE forbids to send anything"):
        upload(package, REPO, message=MESSAGE)
    assert hub.requests == []


# What is there


def test_sizes_are_told_before_anything_is_fetched(hub: LoopbackHub, package: Path) -> None:
    uploaded = upload(package, REPO, message=MESSAGE)
    hub.requests.clear()
    sizes = file_sizes(REPO, uploaded.commit)
    assert sizes.pop(".gitattributes") > 0
    assert sizes == {name: len(content) for name, content in contents(package).items()}
    assert len(hub.requests) == 1


@pytest.mark.parametrize("size", [None, -1, "12", True])
def test_a_listing_without_sizes_is_no_listing(hub: LoopbackHub, package: Path, size: object) -> None:
    uploaded = upload(package, REPO, message=MESSAGE)
    siblings = [{"rfilename": "adapter.safetensors", "size": size}]
    body = json.dumps({"id": REPO, "sha": uploaded.commit, "siblings": siblings}).encode()
    hub.say_next(None, body=body)
    with pytest.raises(HubError, match="does not answer as the Hub does"):
        file_sizes(REPO, uploaded.commit)


def test_the_adapters_of_an_organisation(
    hub: LoopbackHub, package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    private = upload(package, REPO, message=MESSAGE)
    public = upload(package, "org/another", public=True, message=MESSAGE)
    upload(package, "other/adapter", public=True, message=MESSAGE)
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text("{}")
    hub.add_model("org/encoder", tmp_path / "encoder")
    listed = list_adapters("org")
    assert [(each.repo, each.commit, each.is_private) for each in listed] == [
        ("org/another", public.commit, False),
        (REPO, private.commit, True),
    ]
    assert listed[0].last_modified == "2024-01-01T00:00:00+00:00" and listed[0].downloads == 0
    monkeypatch.delenv("HF_TOKEN")
    assert [each.repo for each in list_adapters("org")] == ["org/another"]
    assert list_adapters("nobody") == []


def test_an_author_that_cannot_be(hub: LoopbackHub) -> None:
    with pytest.raises(HubError, match="no name of a user or an organisation"):
        list_adapters("org/../x")
    assert hub.requests == []
