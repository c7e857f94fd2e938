"""Names of shared adapters: what is read is what was written, and nothing else gets through."""

from __future__ import annotations

import pytest

from adapter_transfer.errors import ConfigError
from adapter_transfer.sharing.references import HubAdapter, is_hub_adapter, is_safe_name, parse_hub_adapter

COMMIT, DIGEST = "0a" * 20, "1b" * 32


@pytest.mark.parametrize(
    ("text", "adapter"),
    [
        ("hub:org/name", HubAdapter("org/name")),
        ("hub:org/name@main", HubAdapter("org/name", "main")),
        ("hub:org/na.me-1_x@v1.0", HubAdapter("org/na.me-1_x", "v1.0")),
        ("hub:org/name@refs/pr/3", HubAdapter("org/name", "refs/pr/3")),
        (f"hub:org/name@{COMMIT}", HubAdapter("org/name", COMMIT)),
        (f"hub:org/name@{COMMIT}#{DIGEST}", HubAdapter("org/name", COMMIT, DIGEST)),
    ],
)
def test_a_reference_is_read_and_written(text, adapter):
    assert parse_hub_adapter(text) == adapter
    assert parse_hub_adapter(str(adapter)) == adapter


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("org/name", "names no adapter"),
        ("hub:name", "names no adapter"),
        ("hub:org/name/more", "names no adapter"),
        ("hub:../name", "names no adapter"),
        ("hub:org/..", "names no adapter"),
        ("hub:org/a--b", "names no adapter"),
        ("hub:org/na me", "names no adapter"),
        ("hub:org/<script>", "names no adapter"),
        ("hub:org/name\x1b[31m", "names no adapter"),
        ("hub:org/name@", "no revision"),
        ("hub:org/name@../x", "no revision"),
        ("hub:org/name@a//b", "no revision"),
        ("hub:org/name@-rf", "no revision"),
        (f"hub:org/name@{COMMIT}#", "64 hex digits"),
        (f"hub:org/name@{COMMIT}#abc", "64 hex digits"),
        (f"hub:org/name@main#{DIGEST}", "with its commit"),
    ],
)
def test_anything_else_is_refused_in_words(text, said):
    with pytest.raises(ConfigError, match=said) as raised:
        parse_hub_adapter(text)
    assert "\x1b" not in str(raised.value)


def test_a_commit_takes_the_place_of_a_branch():
    assert str(HubAdapter("org/name").at(COMMIT)) == f"hub:org/name@{COMMIT}"


@pytest.mark.parametrize("name", ["a", "A-b_1", "x" * 64, "0"])
def test_safe_names(name):
    assert is_safe_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a.b", "-a", "_a", "a b", "x" * 65, "é", "a\n", "a\0", None, 1])
def test_unsafe_names(name):
    assert not is_safe_name(name)


def test_what_is_meant_for_the_hub():
    assert is_hub_adapter("hub:anything at all")
    assert not is_hub_adapter("org/name")
