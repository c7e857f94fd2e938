"""Exact match, token F1 and the no-answer threshold of SQuAD, as its two official scripts compute them.

Owns how one predicted answer is compared with the golds of its question, and the choice of the threshold; which text is
predicted, and means over a data set, are not decided here.

Sources: the scripts `evaluate-v1.1.py` (SQuAD v1.1, Rajpurkar et al. 2016) and `evaluate-v2.0.py` (SQuAD v2.0,
Rajpurkar et al. 2018, arXiv 1806.03822). They normalize alike and differ only where nothing is left of an answer:

| | v1.1 (`has_unanswerable=False`) | v2.0 (`has_unanswerable=True`) |
|---|---|---|
| a gold that normalizes to nothing ("A", "the") | stays a gold | is left out; where none is left, the gold is "" |
| a question without golds | cannot be scored | its gold is "" |
| F1 of nothing with nothing | 0 (no token is shared), though exact match is 1 | 1 |
| F1 of nothing with something | 0 | 0 |
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adapter_transfer.errors import DataError

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


@dataclass(frozen=True)
class Threshold:
    """Where to stop answering.

    Attributes:
        value: answer what lies at or below it, say "no answer" above it; in the unit of the no-answer scores.
        score: mean over the items that the search found for it, 0 to 1 (the official scripts print 100 times it).
    """

    value: float
    score: float


def normalize(text: str) -> str:
    r"""`text` in lower case, without ASCII punctuation and English articles, its tokens parted by single spaces.

    The order matters: punctuation goes first and leaves no gap, so "a-level" is "alevel" and keeps its a. Everything
    outside ASCII stays (，。¿“’€), nothing is decomposed or case-folded ("ß" is not "ss"), and the white space is
    Unicode's (U+00A0 and U+3000 part tokens, U+200B does not). An article ends where Python's `\b` sees the end of a
    word; a combining mark is such an end, so that of a decomposed "á" only the accent is left.
    """
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split())


def exact_match(prediction: str, golds: Sequence[str], *, has_unanswerable: bool = False) -> float:
    """1 where the normalized prediction equals a normalized gold, else 0.

    Args:
        prediction: the predicted text; empty for "no answer".
        golds: the texts of the gold answers; none for a question that has no answer (v2.0 only).
        has_unanswerable: count as the script of SQuAD v2.0 does, else as that of v1.1.

    Raises:
        DataError: there is no gold and `has_unanswerable` is false.
    """
    return float(normalize(prediction) in _normalized_golds(golds, has_unanswerable=has_unanswerable))


def f1(prediction: str, golds: Sequence[str], *, has_unanswerable: bool = False) -> float:
    """The largest F1 (0 to 1) of the prediction's tokens with those of one gold, as multisets.

    It is 2·shared / (predicted + gold), the harmonic mean of precision and recall without its roundings, so it may
    differ from the official scripts in the last bit. A text without tokens is counted as the table above says.

    Args:
        prediction: as in `exact_match`.
        golds: as in `exact_match`.
        has_unanswerable: as in `exact_match`.

    Raises:
        DataError: there is no gold and `has_unanswerable` is false.
    """
    predicted = normalize(prediction).split()
    return max(
        _token_f1(predicted, gold.split(), empty_agree=has_unanswerable)
        for gold in _normalized_golds(golds, has_unanswerable=has_unanswerable)
    )


def best_threshold(scores: Sequence[float], no_answer: Sequence[float], has_answer: Sequence[bool]) -> Threshold:
    """The no-answer threshold that is best over N items, as `find_best_thresh` of `evaluate-v2.0.py` finds it.

    The items are sorted by `no_answer`; those of equal value keep their order. The search starts with no item answered,
    which scores 1 for each item without an answer and has the threshold 0.0, and then answers one item after another. A
    state is taken only where it is strictly better than all before it, so of equally good ones the one with the fewest
    answers stays; its threshold is the `no_answer` of the item answered last.

    Two things follow that are the official algorithm's and are kept:

    - Where answering nothing is best the value is 0.0, although scores that are differences of logits, not
      probabilities, may lie below it; answering what lies at or below 0.0 is then not what `score` stands for.
    - Items of equal `no_answer` are answered one by one though no threshold parts them: `score` may be out of reach of
      `value` among ties.

    So a result is the mean taken again with `value`; `score` is what the official script calls `best_f1` (or
    `best_exact`).

    Args:
        scores: (N,) exact match or F1 (v2.0) of the text that would be given if the item were answered. For an item
            without an answer it is 1 where that text is empty and 0 where it is not. (A text such as "the", which is
            not empty but normalizes to nothing, counts as wrong in the official search although it scores 1 in the
            official evaluation: give 0 for it to equal the former.)
        no_answer: (N,) the score of "no answer" minus that of the best answer: the higher, the rather no answer.
        has_answer: (N,) whether the question has an answer.

    Raises:
        ValueError: there is no item, the lengths differ, or a number is NaN.
    """
    gains, order_by = np.asarray(scores, dtype=np.float64), np.asarray(no_answer, dtype=np.float64)
    answerable = np.asarray(has_answer, dtype=np.bool_)
    if not len(gains) == len(order_by) == len(answerable) or not len(gains):
        raise ValueError(
            "a threshold needs one score, one no-answer score and one has-answer for each of one or more items, "
            f"not {len(gains)}, {len(order_by)} and {len(answerable)} of them"
        )
    if np.isnan(gains).any() or np.isnan(order_by).any():
        raise ValueError("a score is NaN: has training diverged?")
    order = np.argsort(order_by, kind="stable")
    # Answering an item without an answer loses the 1 that it had; answering any other can only win.
    steps = (gains - ~answerable)[order]
    totals = np.cumsum(np.concatenate(([(~answerable).sum()], steps)))
    best = int(totals.argmax())
    value = float(order_by[order[best - 1]]) if best else 0.0
    return Threshold(value, float(totals[best]) / len(gains))


def _normalized_golds(golds: Sequence[str], *, has_unanswerable: bool) -> list[str]:
    normalized = [normalize(gold) for gold in golds]
    if has_unanswerable:
        return [gold for gold in normalized if gold] or [""]
    if not normalized:
        raise DataError(
            "a question has no gold answer, which SQuAD v1.1 does not know; "
            "score it as SQuAD v2.0 (has_unanswerable=True), or leave the question out"
        )
    return normalized


def _token_f1(predicted: Sequence[str], gold: Sequence[str], *, empty_agree: bool) -> float:
    if not predicted and not gold:
        return float(empty_agree)
    num_shared = (Counter(predicted) & Counter(gold)).total()
    return 2 * num_shared / (len(predicted) + len(gold))
