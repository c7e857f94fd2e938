"""What a person means by an adapter: a run in the store, a folder, or a name on the Hub. Opens nothing. No torch."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from adapter_transfer.errors import ConfigError
from adapter_transfer.sharing.references import PREFIX, HubAdapter, is_hub_adapter, parse_hub_adapter

_RUN = re.compile(r"[0-9a-f]{1,64}")
_PLAIN_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[^\s#]+(#[0-9a-f]{64})?)?", re.ASCII)


@dataclass(frozen=True)
class RunPrefix:
    """The beginning of a run's id."""

    text: str


AdapterSource: TypeAlias = RunPrefix | Path | HubAdapter


def parse_source(source: str | Path) -> AdapterSource:
    """What is named; a folder that is there wins over a run and over a bare `org/name` on the Hub.

    Raises:
        ConfigError: if it is none of them.
    """
    if isinstance(source, str):
        if is_hub_adapter(source):
            return parse_hub_adapter(source)
        if is_plain_hub_name(source) and not os.path.exists(source):
            return parse_hub_adapter(f"{PREFIX}{source}")
    if isinstance(source, Path) or _is_folder(source):
        return _folder(os.path.expanduser(source))
    if _RUN.fullmatch(source):
        return RunPrefix(source)
    raise ConfigError(
        f"{source[:100]!r} is neither the id of a run (or its beginning, digits of 0-9 and a-f), nor a folder that is "
        "there (./my-adapter), nor a name on the Hub (hub:organisation/name@revision)"
    )


def is_plain_hub_name(text: str) -> bool:
    """Whether `text` can be a name on the Hub without `hub:` before it; a folder may be called so, too."""
    return _PLAIN_HUB_NAME.fullmatch(text) is not None


def _is_folder(source: str) -> bool:
    """Whether a text is meant as a folder: by how it begins, or because it is there (which wins over a run)."""
    is_written_so = source in (".", "..") or source.startswith(("./", "../", "/", "~/"))
    # Not pathlib, whose path of no text is the folder we are in, and of too long a text an error.
    return is_written_so or os.path.isdir(source)


def _folder(path: str | Path) -> Path:
    if not os.path.isdir(path):
        what = "is a file" if os.path.exists(path) else "is not there"
        raise ConfigError(
            f"{str(path)[:200]!r} {what}. Give a folder of adapters, a run's id or hub:organisation/name."
        )
    return Path(path)
