"""The store that a user names with `--store`, for verbs that do not insist that there is one."""

from __future__ import annotations

from adapter_transfer.experiments.opening import existing_store

__all__ = ["existing_store"]
