"""What a person names is a run, a folder or a name on the Hub, whichever verb or call reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_transfer.errors import ConfigError
from adapter_transfer.sharing.references import HubAdapter
from adapter_transfer.sharing.sources import RunPrefix, is_plain_hub_name, parse_source


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1f0c3a", RunPrefix("1f0c3a")),
        ("hub:org/name@v1", HubAdapter("org/name", "v1")),
        ("org/name", HubAdapter("org/name")),
        ("folder", Path("folder")),
        ("./folder", Path("folder")),
        ("org/folder", Path("org/folder")),
        ("abc", Path("abc")),
        (Path("folder"), Path("folder")),
    ],
)
def test_what_is_meant(tmp_path, monkeypatch, text, meant):
    for name in ("folder", "org/folder", "abc"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert parse_source(text) == meant


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "neither the id of a run"),
        ("no such thing", "neither the id of a run"),
        ("F" * 8, "neither the id of a run"),
        ("./nowhere", "is not there"),
        ("~/nowhere-at-all", "is not there"),
        ("./file", "is a file"),
        (Path("nowhere"), "is not there"),
        ("hub:nobody", "names no adapter on the Hub"),
    ],
)
def test_what_is_nothing_of_the_kind_is_told(tmp_path, monkeypatch, text, told):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=told):
        parse_source(text)


def test_a_name_without_hub_before_it():
    assert is_plain_hub_name("org/name@main")
    assert not any(map(is_plain_hub_name, ("name", "./org/name", "/org/name", "~/name", "a/b/c", "org/name@")))
