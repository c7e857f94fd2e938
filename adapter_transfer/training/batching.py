"""Batches: an optimizer step's examples are cut into micro-batches by tokens, and rows are padded to the longest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from adapter_transfer.tasks.encoding import EncodedExamples

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Rows of several examples, padded.

    Attributes:
        input_ids: (B·R, T) int64.
        attention_mask: (B·R, T) int64.
        labels: (B,) int64; empty where rows are scored singly.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor


def cut_by_tokens(lengths: Indices, rows_each: int, token_budget: int) -> list[Indices]:
    """Groups of positions, each of at most `token_budget` padded tokens (or one position that is larger alone).

    Args:
        lengths: (N,) tokens in the longest row of each.
        rows_each: rows that one position stands for.
    """
    order = np.argsort(lengths, kind="stable")
    groups: list[Indices] = []
    start = 0
    for end in range(1, len(order) + 1):
        # Sorted by length, so the next one is the longest of a group that it joins.
        if end == len(order) or (end - start + 1) * rows_each * int(lengths[order[end]]) > token_budget:
            groups.append(order[start:end])
            start = end
    return groups


def micro_batches(encoded: EncodedExamples, examples: Indices, token_budget: int) -> list[Indices]:
    """The examples of one step, cut into micro-batches that fit the budget."""
    rows_each = encoded.format.rows_per_example
    longest = encoded.row_lengths.reshape(-1, rows_each).max(axis=1)[examples]
    return [examples[group] for group in cut_by_tokens(longest, rows_each, token_budget)]


def collate(encoded: EncodedExamples, examples: Indices, pad_id: int, device: torch.device) -> Batch:
    """The rows of these examples with their labels."""
    rows_each = encoded.format.rows_per_example
    rows = (examples[:, None] * rows_each + np.arange(rows_each)).reshape(-1)
    input_ids, mask = pad_rows(encoded, rows, pad_id, device)
    return Batch(input_ids, mask, torch.from_numpy(encoded.labels[examples]).to(device))


def pad_rows(
    encoded: EncodedExamples, rows: Sequence[int] | Indices, pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of rows, both (rows, T) int64, padded on the right to the longest."""
    pieces = [encoded.row(int(row)) for row in rows]
    longest = max(len(piece) for piece in pieces)
    ids = np.full((len(pieces), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(pieces), longest), dtype=np.int64)
    for index, piece in enumerate(pieces):
        ids[index, : len(piece)] = piece
        mask[index, : len(piece)] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
