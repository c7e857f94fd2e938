"""The record of a training run: one JSON object a line, so that numbers never have to be parsed out of logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from adapter_transfer.durable import write_atomic


class History:
    """Appends records to `history.jsonl`; a resumed run goes on after the step it resumes from."""

    def __init__(self, path: Path, *, resume_after: int = 0) -> None:
        self.path = path
        # What was logged after the checkpoint is done again.
        kept = [record for record in read_history(path) if record["step"] <= resume_after]
        write_atomic(path, b"".join(_line(record) for record in kept))

    def add(self, record: dict[str, Any]) -> None:
        """Appends one record; it has at least a `step`."""
        with self.path.open("ab") as file:
            file.write(_line(record))


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of a history; a last line that a kill cut short is passed over."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
