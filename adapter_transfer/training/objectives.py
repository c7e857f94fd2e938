"""Losses: what a batch of labelled examples costs, summed over its examples, by what the format labels.

Whatever an example has labels of (itself, its windows, its words), its loss is one number: a step's loss is the mean
over the step's examples, however it is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn.functional import cross_entropy

from adapter_transfer.tasks.formats import NO_LABEL, LabelLevel
from adapter_transfer.training.batching import Batch


def summed_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Cross-entropy in nats summed over the examples of a batch, a scalar.

    Args:
        logits: fp32, (rows, K), or (rows, T, K) where the head reads every token.
    """
    return _LOSSES[batch.format.label_level](logits, batch)


def _of_examples(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return cross_entropy(logits.view(len(batch.labels), -1), batch.labels, reduction="sum")


def _of_spans(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Mean of the cross-entropies of first and last token over those of a window; mean over an example's windows."""
    assert batch.weights is not None
    over_tokens = logits.transpose(1, 2).masked_fill(batch.attention_mask[:, None, :] == 0, -torch.inf)
    losses = cross_entropy(over_tokens.flatten(0, 1), batch.labels.flatten(), reduction="none")
    return (losses.view(-1, 2).mean(dim=1) * batch.weights).sum()


def _of_tokens(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Mean over an example's labelled tokens."""
    assert batch.weights is not None
    losses = cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=NO_LABEL, reduction="none")
    return (losses * batch.weights.flatten()).sum()


_LOSSES: Mapping[LabelLevel, Callable[[torch.Tensor, Batch], torch.Tensor]] = {
    "example": _of_examples,
    "row": _of_spans,
    "token": _of_tokens,
}
