"""What a user means by an adapter: a run in the store, a folder, or a name on the Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from adapter_transfer.errors import ConfigError
from adapter_transfer.sharing.references import HubAdapter, is_hub_adapter, parse_hub_adapter

_RUN = re.compile(r"[0-9a-f]{4,64}")
_HUB_NAME = re.compile(r"[^/\s]+/[^/\s]+")

Source = Annotated[
    str, typer.Argument(help="A run's id (or its beginning), a folder, or a name on the Hub: hub:org/name@revision.")
]


@dataclass(frozen=True)
class RunPrefix:
    """The beginning of a run's id."""

    text: str


AdapterSource: TypeAlias = RunPrefix | Path | HubAdapter


def parse_source(text: str) -> AdapterSource:
    """What `text` names. A folder that is there wins over a run and over a bare `org/name` on the Hub.

    Raises:
        ConfigError: if it is none of them.
    """
    if is_hub_adapter(text):
        return parse_hub_adapter(text)
    if text and Path(text).is_dir():
        return Path(text)
    if _RUN.fullmatch(text):
        return RunPrefix(text)
    if _HUB_NAME.fullmatch(text) and not text.startswith(("/", ".", "~")):
        return parse_hub_adapter(f"hub:{text}")
    raise ConfigError(
        f"{text!r} is no adapter: give a run's id (`status --json` lists them), a folder that is there, or "
        "hub:organisation/name@revision"
    )


def adapters_dir(store: Path) -> Path:
    """Where a store keeps what was pulled."""
    return store / "adapters"
