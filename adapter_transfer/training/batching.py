"""Batches: an optimizer step's examples are cut into micro-batches by tokens, and rows are padded to the longest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from adapter_transfer.tasks.encoding import EncodedExamples
from adapter_transfer.training.cutting import Indices, cut_by_tokens


@dataclass(frozen=True)
class Batch:
    """Rows of several examples, padded.

    Attributes:
        input_ids: (B·R, T) int64.
        attention_mask: (B·R, T) int64.
        labels: (B,) int64; empty where rows are scored singly.
        token_types: (B·R, T) int64, or None where the backbone tells no segments apart.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    token_types: torch.Tensor | None = None


def micro_batches(encoded: EncodedExamples, examples: Indices, token_budget: int) -> list[Indices]:
    """The examples of one step, cut into micro-batches that fit the budget."""
    rows_each = encoded.format.rows_per_example
    longest = encoded.row_lengths.reshape(-1, rows_each).max(axis=1)[examples]
    return [examples[group] for group in cut_by_tokens(longest, rows_each, token_budget)]


def count_tokens(encoded: EncodedExamples, cuts: Sequence[Indices]) -> tuple[int, int]:
    """Tokens in micro-batches: of the rows themselves, and with what these are padded with."""
    rows_each = encoded.format.rows_per_example
    lengths = encoded.row_lengths.reshape(-1, rows_each)
    real = sum(int(lengths[cut].sum()) for cut in cuts)
    return real, sum(int(lengths[cut].max()) * lengths[cut].size for cut in cuts)


def collate(encoded: EncodedExamples, examples: Indices, pad_id: int, device: torch.device) -> Batch:
    """The rows of these examples with their labels."""
    rows_each = encoded.format.rows_per_example
    rows = (examples[:, None] * rows_each + np.arange(rows_each)).reshape(-1)
    input_ids, mask = pad_rows(encoded, rows, pad_id, device)
    labels = torch.from_numpy(encoded.labels[examples]).to(device)
    return Batch(input_ids, mask, labels, pad_token_types(encoded, rows, device))


def pad_rows(
    encoded: EncodedExamples, rows: Sequence[int] | Indices, pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of rows, both (rows, T) int64, padded on the right to the longest."""
    pieces = [encoded.row(int(row)) for row in rows]
    ids = _padded(pieces, pad_id)
    mask = _padded([np.ones_like(piece) for piece in pieces], 0)
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def pad_token_types(
    encoded: EncodedExamples, rows: Sequence[int] | Indices, device: torch.device
) -> torch.Tensor | None:
    """Token types of rows, (rows, T) int64, padded with 0 as a tokenizer pads them; None where there are none."""
    if encoded.token_types is None:
        return None
    return torch.from_numpy(_padded([encoded.row_types(int(row)) for row in rows], 0)).to(device)


def _padded(pieces: Sequence[npt.NDArray[Any]], fill: int) -> Indices:
    longest = max(len(piece) for piece in pieces)
    padded = np.full((len(pieces), longest), fill, dtype=np.int64)
    for index, piece in enumerate(pieces):
        padded[index, : len(piece)] = piece
    return padded
