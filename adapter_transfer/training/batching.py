"""Batches: an optimizer step's examples are cut into micro-batches by tokens, and rows are padded to the longest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from adapter_transfer.tasks.formats import NO_LABEL, EncodedExamples, Format, LabelLevel
from adapter_transfer.training.cutting import Indices, cut_by_tokens


@dataclass(frozen=True)
class Batch:
    """Rows of several examples, padded.

    Attributes:
        format: of the examples.
        input_ids: (rows, T) int64.
        attention_mask: (rows, T) int64.
        labels: int64, by what the format labels: (B,) examples, (rows, 2) windows, or (rows, T) tokens.
        weights: fp32, what each label's loss counts, so that the losses of an example sum up to its own: (rows,) or
            (rows, T); None where there is one label an example.
        token_types: (rows, T) int64, or None where the backbone tells no segments apart.
    """

    format: Format
    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor | None = None
    token_types: torch.Tensor | None = None


def micro_batches(encoded: EncodedExamples, examples: Indices, token_budget: int) -> list[Indices]:
    """The examples of one step, cut into micro-batches that fit the budget."""
    longest, num_rows = encoded.longest_rows[examples], encoded.num_rows[examples]
    return [examples[group] for group in cut_by_tokens(longest, num_rows, token_budget)]


def count_tokens(encoded: EncodedExamples, cuts: Sequence[Indices]) -> tuple[int, int]:
    """Tokens in micro-batches: of the rows themselves, and with what these are padded with."""
    lengths = [encoded.row_lengths[encoded.rows_of(cut)] for cut in cuts]
    return sum(int(rows.sum()) for rows in lengths), sum(int(rows.max()) * rows.size for rows in lengths)


def collate(encoded: EncodedExamples, examples: Indices, pad_id: int, device: torch.device) -> Batch:
    """The rows of these examples with their labels."""
    rows = encoded.rows_of(examples)
    input_ids, mask = pad_rows(encoded, rows, pad_id, device)
    labels, weights = _LABELS[encoded.format.label_level](encoded, examples, rows)
    return Batch(
        encoded.format,
        input_ids,
        mask,
        torch.from_numpy(labels).to(device),
        None if weights is None else torch.from_numpy(weights).to(device),
        pad_token_types(encoded, rows, device),
    )


_Labels = tuple[Indices, npt.NDArray[np.float32] | None]


def _of_examples(encoded: EncodedExamples, examples: Indices, rows: Indices) -> _Labels:
    return encoded.labels[examples], None


def _of_rows(encoded: EncodedExamples, examples: Indices, rows: Indices) -> _Labels:
    num_rows = encoded.num_rows[examples]
    return encoded.labels[rows], np.repeat((1 / num_rows).astype(np.float32), num_rows)


def _of_tokens(encoded: EncodedExamples, examples: Indices, rows: Indices) -> _Labels:
    pieces = [encoded.labels[encoded.offsets[row] : encoded.offsets[row + 1]] for row in rows]
    labels = _padded(pieces, NO_LABEL)
    owners = np.repeat(np.arange(len(examples)), encoded.num_rows[examples])
    num_labelled = np.bincount(owners, weights=(labels >= 0).sum(axis=1), minlength=len(examples))
    weights = np.where(labels >= 0, (1 / np.maximum(num_labelled, 1))[owners][:, None], 0)
    return np.where(labels >= 0, labels, NO_LABEL), weights.astype(np.float32)


_LABELS: Mapping[LabelLevel, Callable[[EncodedExamples, Indices, Indices], _Labels]] = {
    "example": _of_examples,
    "row": _of_rows,
    "token": _of_tokens,
}


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
