"""F1 of classes, in NumPy: the mean over the classes, and that of one class (QQP's "duplicate").

Where scikit-learn has the same it is the reference: `f1_score(average="macro", zero_division=0)` and
`f1_score(labels=[positive], average="macro", zero_division=0)`. It is not used because it takes a second to load.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer]


def macro_f1(labels: IntArray, predictions: IntArray, num_classes: int) -> float:
    """The unweighted mean of the classes' F1, 0 to 1, over the classes that occur in the labels or the predictions.

    A class that occurs in neither has no F1 and is left out of the mean; one that occurs in only one of them has 0.

    Args:
        labels: (N,) the right classes, 0 to `num_classes` - 1.
        predictions: (N,) the predicted ones.
        num_classes: how many classes the task has.

    Raises:
        ValueError: there is no item, the shapes differ, or a class is out of range.
    """
    _check(labels, predictions)
    lowest, highest = min(labels.min(), predictions.min()), max(labels.max(), predictions.max())
    if lowest < 0 or highest >= num_classes:
        raise ValueError(f"classes go from 0 to {num_classes - 1}; found {lowest} to {highest}")
    num_right = np.bincount(labels[labels == predictions], minlength=num_classes)
    num_occurring = np.bincount(labels, minlength=num_classes) + np.bincount(predictions, minlength=num_classes)
    occurs = num_occurring > 0
    return float((2 * num_right[occurs] / num_occurring[occurs]).mean())


def f1_of(labels: IntArray, predictions: IntArray, positive: int) -> float:
    """The F1 of one class, 0 to 1: 2·right / (labelled + predicted); 0 where it is neither labelled nor predicted.

    Args:
        labels: (N,) the right classes.
        predictions: (N,) the predicted ones.
        positive: the class that counts.

    Raises:
        ValueError: there is no item, or the shapes differ.
    """
    _check(labels, predictions)
    labelled, predicted = labels == positive, predictions == positive
    num_occurring = int(labelled.sum()) + int(predicted.sum())
    return 2 * int((labelled & predicted).sum()) / num_occurring if num_occurring else 0.0


def _check(labels: IntArray, predictions: IntArray) -> None:
    # NumPy would stretch a single prediction over all labels without a word.
    if labels.ndim != 1 or labels.shape != predictions.shape or not labels.size:
        raise ValueError(
            "labels and predictions are one class an item, for one or more items; "
            f"found shapes {labels.shape} and {predictions.shape}"
        )
