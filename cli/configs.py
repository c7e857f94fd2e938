"""What verbs say of configurations and make of their text; `experiments.configurations` finds and reads them."""

from __future__ import annotations

import re
from pathlib import Path

from adapter_transfer.sharing.references import SAFE_NAME


def named_after(path: Path, text: str) -> str:
    """The text of a configuration that is called as its file is, where that is a name.

    The report lies under the experiment's name, so a copy that kept it would write over the original's.
    """
    if not SAFE_NAME.fullmatch(path.stem):
        return text
    return re.sub(r"(?m)^name: .*$", f"name: {path.stem}", text, count=1)


def describe(path: Path) -> str:
    """The first comment line of a configuration, or its question."""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("#"):
            return line.lstrip("# ").strip()
    return ""
