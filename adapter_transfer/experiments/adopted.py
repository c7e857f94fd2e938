"""A pulled adapter in the place of an intermediate training: what a run knows of it. No torch.

Which adapter of a package it is, and whether it may stand there, is for `adoption` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias

from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.sharing.package import Package
from adapter_transfer.sharing.references import HubAdapter

_NAME_DIGITS = 12


class PulledPackage(Protocol):
    """A package that was pulled and checked."""

    @property
    def folder(self) -> Path: ...
    @property
    def package(self) -> Package: ...


PullAdapter: TypeAlias = Callable[[HubAdapter], PulledPackage]
"""What is named at a commit → its package, fetched where it is not on this machine yet."""


@dataclass(frozen=True)
class Adopted:
    """One pulled adapter, as it stands in for an intermediate run.

    Attributes:
        repo: "organisation/name" on the Hub.
        revision: as asked for.
        commit: what the revision stood for.
        digest: of its files (`package.content_digest`): all of this that a run's identity holds.
        path: its folder in the package.
        trained_on: the task's name, by whoever trained it; may be none of ours.
        seed: that it was trained with; None where nobody says.
        precision: of the backbone that it was trained on; None where nobody says.
        is_converted: made of a pickle on this machine; the package is named by its digest, too.
        is_data_known: the package says all that it was trained on.
    """

    repo: str
    revision: str
    commit: str
    digest: str
    path: str
    trained_on: str
    seed: int | None = None
    precision: Precision | None = None
    is_converted: bool = False
    is_data_known: bool = False

    @property
    def reference(self) -> HubAdapter:
        """Its package, at the commit."""
        return HubAdapter(self.repo, self.commit, self.digest if self.is_converted else None)

    @property
    def module_name(self) -> str:
        """What it is called on the backbone and in artifacts: a name that no task has."""
        return f"pulled-{self.digest[:_NAME_DIGITS]}"

    @property
    def origin(self) -> str:
        """Where it comes from, for people."""
        return f"{self.repo} at {self.commit[:_NAME_DIGITS]}"

    def as_json(self) -> dict[str, Any]:
        """Every field, to be recorded in a run."""
        return asdict(self)

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any]) -> Self:
        """What `as_json` gave."""
        return cls(**recorded)
