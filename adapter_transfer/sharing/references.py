"""How a shared adapter is named: `hub:organisation/name@revision`. Asks nobody, reads nothing. No torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import AfterValidator

from adapter_transfer.errors import ConfigError
from adapter_transfer.hub_failures import is_commit

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Of an adapter, a head or a folder of a package: a name that can lead nowhere else."""

PREFIX = "hub:"
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FORM = "it is written hub:organisation/name@revision, where @revision may be left out"


def is_safe_name(name: object) -> bool:
    """Whether a name can stand in a path, in a module's name and on a terminal as it is."""
    return isinstance(name, str) and SAFE_NAME.fullmatch(name) is not None


def _require_safe(name: str) -> str:
    if not is_safe_name(name):
        raise ValueError(f"{name!r} is no name of an adapter: letters, digits, - and _, 64 at most")
    return name


AdapterName = Annotated[str, AfterValidator(_require_safe)]


@dataclass(frozen=True)
class HubAdapter:
    """An adapter on the Hub, as a configuration or a command line names it.

    Attributes:
        repo: "organisation/name".
        revision: branch, tag or commit, as asked for.
        digest: SHA-256 (64 hex digits) of what a conversion made of a pickle there (`package.content_digest`); None for
            what the Hub holds as safetensors.
    """

    repo: str
    revision: str = "main"
    digest: str | None = None

    def __str__(self) -> str:
        """As it is written; `parse_hub_adapter` reads it back."""
        converted = "" if self.digest is None else f"#{self.digest}"
        return f"{PREFIX}{self.repo}@{self.revision}{converted}"

    def at(self, commit: str) -> HubAdapter:
        """The same at a commit."""
        return replace(self, revision=commit)


def is_hub_adapter(text: str) -> bool:
    """Whether `text` is meant as a name on the Hub, right or wrong."""
    return text.startswith(PREFIX)


def parse_hub_adapter(text: str) -> HubAdapter:
    """The adapter that `hub:organisation/name@revision` (after a conversion: `…@commit#digest`) names.

    Raises:
        ConfigError: if it is no such name; the message says what is wrong and shows the form.
    """
    place, _, digest = text.removeprefix(PREFIX).partition("#")
    repo, at, revision = place.partition("@")
    if not is_hub_adapter(text) or not _REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        raise ConfigError(f"{text!r} names no adapter on the Hub: {_FORM}.")
    if at and (not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision):
        raise ConfigError(f"{text!r}: {revision!r} is no revision. Give a branch, a tag or a commit; {_FORM}.")
    if "#" in text and not _DIGEST.fullmatch(digest):
        raise ConfigError(f"{text!r}: after # stands the SHA-256 of a converted adapter, 64 hex digits.")
    if digest and not is_commit(revision):
        raise ConfigError(f"{text!r}: a converted adapter is named with its commit (40 hex digits), not a branch.")
    return HubAdapter(repo, revision or "main", digest or None)
