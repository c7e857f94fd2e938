"""Scores against values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from adapter_transfer.tasks.metrics import score_choices


def test_scores_by_hand():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0], [3.0, 1.0]], dtype=np.float32)
    score = score_choices(logits, np.array([0, 0, 0, 1]))
    assert (score.num_correct, score.num_items, score.metric, score.value) == (2, 4, "accuracy", 0.5)
    expected = [np.log1p(np.exp(-2)), np.log1p(np.exp(1)), np.log(2), np.log1p(np.exp(2))]
    assert score.loss == pytest.approx(np.mean(expected))
    assert not score.constant_predictions
    assert score_choices(logits[[0, 2, 3]], np.array([0, 1, 1])).constant_predictions
