"""The lock of revisions: where it is written, what it is merged with, and that a store can be made after it."""

from __future__ import annotations

import pytest

from adapter_transfer.config import parse, read_document
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.configurations import find_config
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.opening import lock_path
from adapter_transfer.experiments.store import Store
from adapter_transfer.hub_lock import HubLock, Resolver
from adapter_transfer_cli.sources import keep_lock, open_sources

ONE, OTHER = "1" * 40, "2" * 40


def sources_with(commit: str, *repos: str) -> Sources:
    resolver = Resolver(resolve=lambda kind, repo, revision: commit)
    for repo in repos:
        resolver.commit("model", repo)
    return Sources(resolver=resolver)


@pytest.fixture
def shipped() -> Experiment:
    return parse(Experiment, read_document(find_config("xcopa")))


def test_a_shipped_configuration_is_pinned_in_the_store_which_stays_one(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keep_lock(sources_with(ONE, "org/a"), "xcopa", shipped, tmp_path / "runs", quiet=True)
    assert lock_path("xcopa", shipped, tmp_path / "runs") == tmp_path / "runs" / "xcopa" / "hub.lock.json"
    assert Store.open(tmp_path / "runs").run_ids() == []
    again = open_sources("xcopa", shipped, tmp_path / "runs", None, "fail")
    assert again.resolver.commit("model", "org/a") == ONE
    assert not again.resolver.has_new


def test_a_file_of_ones_own_is_pinned_beside_it_and_nothing_is_made_in_the_store(config, shipped, tmp_path):
    keep_lock(sources_with(ONE, "org/a"), config, shipped, tmp_path / "runs", quiet=True)
    assert HubLock.read(tmp_path / "small.lock.json").pins == {("model", "org/a", "main"): ONE}
    assert not (tmp_path / "runs").exists()


def test_what_another_call_has_pinned_meanwhile_is_kept_and_never_replaced(config, shipped, tmp_path):
    first, second = sources_with(ONE, "org/a"), sources_with(ONE, "org/b")
    keep_lock(first, config, shipped, tmp_path / "runs", quiet=True)
    keep_lock(second, config, shipped, tmp_path / "runs", quiet=True)
    pins = HubLock.read(tmp_path / "small.lock.json").pins
    assert sorted(repo for _, repo, _ in pins) == ["org/a", "org/b"]
    with pytest.raises(ConfigError, match="another call has just pinned"):
        keep_lock(sources_with(OTHER, "org/a"), config, shipped, tmp_path / "runs", quiet=True)
    assert HubLock.read(tmp_path / "small.lock.json").pins == pins


def test_a_lock_that_cannot_be_written_is_said_and_stops_nothing(config, shipped, tmp_path, capsys):
    (tmp_path / "small.lock.json").mkdir()
    keep_lock(sources_with(ONE, "org/a"), config, shipped, tmp_path / "runs", quiet=True)
    assert "could not be written" in capsys.readouterr().err
