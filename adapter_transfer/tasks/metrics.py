"""Scores of predictions, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Score:
    """How well a set of items was answered.

    Attributes:
        accuracy: share of right answers, 0 to 1.
        loss: mean cross-entropy, in nats.
        constant_predictions: every answer is the same index: the run has learned nothing but a habit.
    """

    accuracy: float
    num_correct: int
    num_items: int
    loss: float
    constant_predictions: bool


def score_choices(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> Score:
    """Accuracy and cross-entropy of the largest logit; a tie goes to the lower index.

    Args:
        logits: (N, answers).
        labels: (N,).
    """
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    predictions = wide.argmax(axis=1)
    num_correct = int((predictions == labels).sum())
    return Score(
        accuracy=num_correct / len(labels),
        num_correct=num_correct,
        num_items=len(labels),
        loss=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        constant_predictions=bool((predictions == predictions[0]).all()),
    )
