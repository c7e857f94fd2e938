"""The commits that an experiment stands on, in a file beside its configuration, so that others get the same ones.

A lock holds, for each revision that was asked for, the commit that it named then. It asks the Hub for nothing; `hub`
does, for what the lock does not hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, get_args

from adapter_transfer.durable import write_atomic
from adapter_transfer.errors import ConfigError
from adapter_transfer.hub import RepoKind, is_commit, resolve_commit

FORMAT = 1
Pin: TypeAlias = tuple[RepoKind, str, str]
"""(kind, repository, revision)."""

_KEYS = ("kind", "repo", "revision", "commit")
_MEND = "Restore it from a copy, or remove it: the revisions are then resolved anew."


@dataclass(frozen=True)
class HubLock:
    """Which commit each revision stands for.

    Attributes:
        pins: (kind, repository, revision) → commit, 40 hex digits.
    """

    pins: Mapping[Pin, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> HubLock:
        """The lock that a file holds.

        Raises:
            ConfigError: it cannot be read, is of a newer format, or is damaged; every problem, each with the path.
        """
        try:
            content = json.loads(path.read_bytes().decode(), object_pairs_hook=_unique)
        except OSError as error:
            raise ConfigError(f"lock file {path} cannot be read: {error.strerror or error}.") from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"lock file {path} is damaged: it is no valid JSON ({error}). {_MEND}") from None
        version = content.get("format") if isinstance(content, dict) else None
        if type(version) is not int:  # True would pass for 1
            version = None
        if version is not None and version > FORMAT:
            raise ConfigError(
                f"lock file {path} has format {version}, this program knows up to {FORMAT}. Upgrade adapter-transfer."
            )
        if version != FORMAT or set(content) != {"format", "pins"} or not isinstance(content["pins"], list):
            raise ConfigError(
                f'lock file {path} is damaged: it has to hold "format": {FORMAT} and "pins": […]. {_MEND}'
            )
        pins: dict[Pin, str] = {}
        problems = []
        for number, entry in enumerate(content["pins"], 1):
            problem = _fault(entry, pins)
            if problem is not None:
                problems.append(f"lock file {path}, pin {number}: {problem}. {_MEND}")
            else:
                pins[entry["kind"], entry["repo"], entry["revision"]] = entry["commit"]
        if problems:
            raise ConfigError(problems)
        return cls(pins)

    def write(self, path: Path) -> None:
        """Puts the lock at `path`, whole or not at all; a file that holds the same already is left alone.

        Raises:
            StoreError: it cannot be written.
        """
        pins = [dict(zip(_KEYS, (*pin, commit), strict=True)) for pin, commit in sorted(self.pins.items())]
        data = (json.dumps({"format": FORMAT, "pins": pins}, indent=2, ensure_ascii=False) + "\n").encode()
        if not path.is_file() or path.read_bytes() != data:
            write_atomic(path, data)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the key {twice[0]!r} stands twice")
    return dict(pairs)


def _fault(entry: object, pins: Mapping[Pin, str]) -> str | None:
    """What is wrong with one pin, after those before it."""
    if not isinstance(entry, dict) or set(entry) != set(_KEYS) or not all(isinstance(x, str) for x in entry.values()):
        return f"it has to hold the texts {', '.join(_KEYS)}, and nothing else"
    if entry["kind"] not in get_args(RepoKind):
        return f"unknown kind {entry['kind']!r}; it is {' or '.join(get_args(RepoKind))}"
    if not entry["repo"] or not entry["revision"]:
        return "repo and revision may not be empty"
    if not is_commit(entry["commit"]):
        return f"{entry['commit']!r} is no commit (40 hex digits)"
    if (entry["kind"], entry["repo"], entry["revision"]) in pins:
        return f"{entry['kind']} {entry['repo']} at {entry['revision']} stands twice"
    return None


class Resolver:
    """Revisions → commits: as a lock says, else as the Hub says; each is asked for once.

    Args:
        lock: what is pinned already.
        resolve: asks the Hub; tests put another in its place.
    """

    def __init__(
        self, lock: HubLock | None = None, *, resolve: Callable[[RepoKind, str, str], str] = resolve_commit
    ) -> None:
        self._given = lock if lock is not None else HubLock()
        self._asked: dict[Pin, str] = {}
        self._resolve = resolve

    def commit(self, kind: RepoKind, repo: str, revision: str = "main") -> str:
        """The commit that a revision stands for; a full commit id stands for itself and is not pinned.

        Raises:
            HubError: as `hub.resolve_commit`.
        """
        if is_commit(revision):
            return revision
        pin = (kind, repo, revision)
        if pin not in self._given.pins and pin not in self._asked:
            self._asked[pin] = self._resolve(kind, repo, revision)
        return self._given.pins.get(pin) or self._asked[pin]

    @property
    def lock(self) -> HubLock:
        """What was pinned already and what was asked for since."""
        return HubLock({**self._given.pins, **self._asked})

    @property
    def has_new(self) -> bool:
        """Whether something was asked for that the given lock does not hold."""
        return bool(self._asked)
