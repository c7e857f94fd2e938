"""Runs that learned nothing: shown with their reason, counted as failures, never dropped."""

from __future__ import annotations

import math
from functools import lru_cache

from adapter_transfer.experiments.results import Result

SIGNIFICANCE = 0.05


@lru_cache(maxsize=256)
def chance_cutoff(num_items: int, chance: float) -> int | None:
    """The smallest number of right answers that guessing reaches with a probability of at most 5 % (one-sided).

    Exact binomial tail: the smallest k with P(X ≥ k) ≤ .05 for X ~ Binomial(num_items, chance); 269 of 500 at .5.

    Returns:
        None where even answering everything right is not rarer than that, so that too few items decide nothing.

    Raises:
        ValueError: if `chance` does not lie between 0 and 1, or there are no items.
    """
    if num_items < 1 or not 0 < chance < 1:
        raise ValueError(f"a cut-off needs items and a chance between 0 and 1, not {num_items} and {chance}")
    tail, cutoff = 0.0, num_items + 1
    while cutoff > 0:
        tail += _binomial(cutoff - 1, num_items, chance)
        if tail > SIGNIFICANCE:
            break
        cutoff -= 1
    return cutoff if cutoff <= num_items else None


def degenerate_reason(english: Result) -> str | None:
    """Why a run counts as degenerate, by its English test items; None if it does not.

    English, because that is what it was trained on: a run at chance there has learned nothing that could transfer.
    """
    if english.constant_predictions:
        return "gives every English item the same answer"
    cutoff = chance_cutoff(english.num_items, english.chance)
    if cutoff is not None and english.num_correct < cutoff:
        of = english.num_items
        return f"English {english.num_correct}/{of} right, not above chance (5 % cut-off: {cutoff}/{of})"
    return None


def _binomial(k: int, n: int, p: float) -> float:
    # By logarithms: the coefficient of 500 over 250 is no float.
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(p) + (n - k) * math.log1p(-p))
