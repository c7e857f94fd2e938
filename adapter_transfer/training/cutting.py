"""How rows are cut into micro-batches by tokens: the one rule of training, evaluation and plan. No torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def cut_by_tokens(lengths: Indices, rows_each: int | Indices, token_budget: int) -> list[Indices]:
    """Groups of positions, each of at most `token_budget` padded tokens (or one position that is larger alone).

    Args:
        lengths: (N,) tokens in the longest row of each.
        rows_each: rows that one position stands for; (N,) where they differ.
    """
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order].tolist()
    rows = np.broadcast_to(rows_each, lengths.shape)[order].tolist()
    groups: list[Indices] = []
    start, num_rows = 0, 0
    for end in range(1, len(ordered) + 1):
        num_rows += rows[end - 1]
        # Sorted by length, so the next one is the longest of a group that it joins.
        if end == len(ordered) or (num_rows + rows[end]) * ordered[end] > token_budget:
            groups.append(order[start:end])
            start, num_rows = end, 0
    return groups
