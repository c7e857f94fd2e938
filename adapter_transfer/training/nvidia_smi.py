"""What the driver of NVIDIA cards says of them. No torch."""

from __future__ import annotations

import subprocess

_SECONDS = 20


def query_cards(*fields: str) -> list[str] | None:
    """A line a card, these fields of it with commas between them; None where there is no driver, or no answer.

    Args:
        fields: as `nvidia-smi --help-query-gpu` names them; numbers come without their units.
    """
    try:
        answer = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip().splitlines()
