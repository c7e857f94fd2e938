"""Where the sandbox's shipped files lie, and whether they are still the ones that were built. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

#: Lists the digest of every shipped file beside how the checkpoints came about.
BUILD_FILE = "build.json"

DATA_FOLDER = "data"
CHECKPOINTS_FOLDER = "checkpoints"
TOKENIZER_FOLDER = "checkpoints/tokenizer"


def sandbox_dir() -> Path:
    """The folder of `data/`, `checkpoints/` and `build.json` (the package is installed as files, not as a zip)."""
    return Path(str(files("adapter_transfer.sandbox")))


def read_build(directory: Path | None = None) -> dict[str, Any]:
    """What `build.json` says (see `build.build_sandbox`)."""
    build: dict[str, Any] = json.loads(((directory or sandbox_dir()) / BUILD_FILE).read_text(encoding="utf-8"))
    return build


def verify_sandbox(directory: Path | None = None) -> list[str]:
    """The shipped files that are missing or differ from their digest in `build.json`; empty where all is well.

    Args:
        directory: where a sandbox was built; by default the one in the package.
    """
    directory = directory or sandbox_dir()
    return [
        name
        for name, digest in read_build(directory)["files"].items()
        if not (directory / name).is_file() or file_digest(directory / name) != digest
    ]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
