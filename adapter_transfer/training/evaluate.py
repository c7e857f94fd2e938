"""Scoring: several languages in one pass, rows sorted by length, the order restored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from adapter_transfer.methods.heads import row_logits
from adapter_transfer.tasks.encoding import EncodedExamples
from adapter_transfer.training.batching import pad_rows, pad_token_types
from adapter_transfer.training.cutting import cut_by_tokens
from adapter_transfer.training.runtime import Runtime


@torch.no_grad()
def predict(
    model: Any,
    head: str,
    encoded: EncodedExamples,
    runtime: Runtime,
    on_rows: Callable[[int], None] | None = None,
) -> npt.NDArray[np.float32]:
    """Logits of every example, (N, R·K), in the order of `encoded`.

    Rows are scored singly: the choices of one example may stand in different batches, so there is little padding.

    Args:
        on_rows: told how many rows each batch had, for a progress display.
    """
    was_training = model.training
    model.eval()
    per_row = encoded.format.logits_per_row
    logits = np.empty((len(encoded.row_lengths), per_row), dtype=np.float32)
    for rows in cut_by_tokens(encoded.row_lengths, 1, runtime.token_budget):
        input_ids, mask = pad_rows(encoded, rows, runtime.pad_id, runtime.device)
        token_types = pad_token_types(encoded, rows, runtime.device)
        with runtime.autocast():
            scores = row_logits(model, head, input_ids, mask, token_types)
        logits[rows] = scores.float().cpu().numpy()
        if on_rows is not None:
            on_rows(len(rows))
    model.train(was_training)
    return logits.reshape(len(encoded), -1)
