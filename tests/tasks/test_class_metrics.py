"""F1 of classes against values worked by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from adapter_transfer.tasks.class_metrics import f1_of, macro_f1


def test_by_hand() -> None:
    labels, predictions = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0])
    # Class 0: 1 right, 2 + 2 times. Class 1: 2 right, 2 + 3 times. Class 2: 0 right, 1 + 0 times.
    assert [f1_of(labels, predictions, positive) for positive in range(3)] == [1 / 2, 4 / 5, 0]
    assert macro_f1(labels, predictions, 3) == pytest.approx((1 / 2 + 4 / 5 + 0) / 3, rel=1e-15)


def test_a_class_that_nobody_names_is_left_out_of_the_mean() -> None:
    labels, predictions = np.array([0, 0, 2]), np.array([0, 0, 2])
    assert macro_f1(labels, predictions, 4) == macro_f1(labels, predictions, 3) == 1
    assert f1_of(labels, predictions, 1) == 0
    # One that is only predicted counts, with 0.
    assert macro_f1(np.array([0, 0]), np.array([0, 3]), 4) == pytest.approx((2 / 3 + 0) / 2, rel=1e-15)


def test_extremes() -> None:
    zeros, ones = np.zeros(4, dtype=np.int64), np.ones(4, dtype=np.int64)
    assert macro_f1(zeros, zeros, 2) == f1_of(ones, ones, 1) == 1
    assert macro_f1(zeros, ones, 2) == f1_of(zeros, ones, 1) == f1_of(ones, zeros, 1) == 0


@pytest.mark.parametrize("num_classes", [2, 3, 7])
def test_as_scikit_learn(num_classes: int) -> None:
    from sklearn.metrics import f1_score

    draws = np.random.default_rng(num_classes)
    num_incomplete = 0
    for num_items in (*range(1, 30), 1_000):
        labels = draws.integers(num_classes, size=num_items)
        predictions = np.where(draws.random(num_items) < 0.5, labels, draws.integers(num_classes, size=num_items))
        expected = f1_score(labels, predictions, average="macro", zero_division=0)
        assert macro_f1(labels, predictions, num_classes) == pytest.approx(expected, rel=1e-12)
        for positive in range(num_classes):
            expected = f1_score(labels, predictions, labels=[positive], average="macro", zero_division=0)
            assert f1_of(labels, predictions, positive) == pytest.approx(expected, rel=1e-12)
        num_incomplete += len(np.union1d(labels, predictions)) < num_classes
    assert num_incomplete, "the rule for classes that do not occur was not tried"


def test_what_cannot_be_scored_is_refused() -> None:
    for labels, predictions in (([], []), ([0, 1], [0]), ([[0]], [[0]])):
        arrays = np.array(labels, dtype=np.int64), np.array(predictions, dtype=np.int64)
        with pytest.raises(ValueError, match="found shapes"):
            macro_f1(*arrays, 2)
        with pytest.raises(ValueError, match="found shapes"):
            f1_of(*arrays, 1)
    with pytest.raises(ValueError, match="from 0 to 1; found 0 to 2"):
        macro_f1(np.array([0, 1]), np.array([0, 2]), 2)
    with pytest.raises(ValueError, match="from 0 to 1; found -1 to 1"):
        macro_f1(np.array([0, -1]), np.array([0, 1]), 2)
