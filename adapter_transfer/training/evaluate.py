"""Scoring: several languages in one pass, rows sorted by length, the order restored."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from adapter_transfer.methods.heads import row_logits
from adapter_transfer.tasks.formats import EncodedExamples
from adapter_transfer.training.batching import pad_rows, pad_token_types
from adapter_transfer.training.cutting import cut_by_tokens


class Scoring(Protocol):
    """The part of a `Runtime` that is needed to score."""

    @property
    def device(self) -> torch.device: ...
    @property
    def token_budget(self) -> int: ...
    @property
    def pad_id(self) -> int: ...

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision as the model has it."""


@torch.no_grad()
def predict(
    model: Any,
    head: str,
    encoded: EncodedExamples,
    runtime: Scoring,
    on_rows: Callable[[int], None] | None = None,
) -> npt.NDArray[np.float32]:
    """What the head gives for every row (or every token of it), in the order of `encoded`: (M, K) or (T, K).

    Rows are scored singly: the choices of one example may stand in different batches, so there is little padding.

    Args:
        on_rows: told how many rows each batch had, for a progress display.
    """
    was_training = model.training
    model.eval()
    reads_tokens, per_row = encoded.format.reads_tokens, encoded.format.logits_per_row
    logits = np.empty((len(encoded.tokens if reads_tokens else encoded.row_lengths), per_row), dtype=np.float32)
    for rows in cut_by_tokens(encoded.row_lengths, 1, runtime.token_budget):
        input_ids, mask = pad_rows(encoded, rows, runtime.pad_id, runtime.device)
        token_types = pad_token_types(encoded, rows, runtime.device)
        with runtime.autocast():
            scores = row_logits(model, head, input_ids, mask, token_types, reads_tokens=reads_tokens)
        numbers = scores.float().cpu().numpy()
        if reads_tokens:
            for row, of_row in zip(rows.tolist(), numbers, strict=True):
                first, behind = encoded.offsets[row], encoded.offsets[row + 1]
                logits[first:behind] = of_row[: behind - first]
        else:
            logits[rows] = numbers
        if on_rows is not None:
            on_rows(len(rows))
    model.train(was_training)
    return logits
