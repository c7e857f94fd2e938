"""Scores of answers, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Score:
    """How well a set of items was answered.

    Attributes:
        metric: name of the main figure in `values`, which checkpoints are selected by.
        values: every figure by its name, shares from 0 to 1.
        loss: mean cross-entropy of an example, in nats.
        constant_predictions: every answer is the same: the run has learned nothing but a habit.
        num_correct: items answered right, where an item is right or wrong.
    """

    metric: str
    values: Mapping[str, float]
    num_items: int
    loss: float
    constant_predictions: bool
    num_correct: int | None = None

    @property
    def value(self) -> float:
        """The main figure."""
        return self.values[self.metric]

    def as_json(self) -> dict[str, Any]:
        """For records: every figure under its own name, and what stands behind it."""
        counted = {} if self.num_correct is None else {"num_correct": self.num_correct}
        return {
            **self.values,
            **counted,
            "metric": self.metric,
            "num_items": self.num_items,
            "loss": self.loss,
            "constant_predictions": self.constant_predictions,
        }


def validation_figures(tasks: Sequence[str], scores: Sequence[Score]) -> dict[str, Any]:
    """What a validation is recorded as: main figure, loss, and every other figure (by task where there are several).

    The main figure of several tasks is the mean of theirs, each counting the same whatever its metric and size.
    """
    if len(scores) == 1:
        score = scores[0]
        main: dict[str, Any] = {"validation_score": score.value, "validation_metric": score.metric}
        return main | {f"validation_{name}": value for name, value in {**score.values, "loss": score.loss}.items()}
    return {
        "validation_score": float(np.mean([score.value for score in scores])),
        "validation_metric": "mean",
        "validation_loss": float(np.mean([score.loss for score in scores])),
        "validations": {task: score.as_json() for task, score in zip(tasks, scores, strict=True)},
    }


def log_softmax(logits: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Logarithms of the shares that logits give along the last axis, in double precision."""
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    normalized: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalized


def score_choices(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> Score:
    """Accuracy and cross-entropy of the largest logit; a tie goes to the lower index.

    Args:
        logits: (N, answers).
        labels: (N,).
    """
    predictions = logits.argmax(axis=1)
    num_correct = int((predictions == labels).sum())
    return Score(
        metric="accuracy",
        values={"accuracy": num_correct / len(labels)},
        num_items=len(labels),
        loss=float(-log_softmax(logits)[np.arange(len(labels)), labels].mean()),
        constant_predictions=bool((predictions == predictions[0]).all()),
        num_correct=num_correct,
    )
