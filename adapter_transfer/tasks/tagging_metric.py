"""Scores of tag sequences: the share of right tokens, and the F1 of spans as CoNLL and XTREME count them.

Both take one sequence of tags a sentence, one tag a token; which sub-token speaks for a token is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapter_transfer.errors import DataError

Sentences = Sequence[Sequence[str]]

_SPAN_TAG = re.compile(r"O|[BIES](?:-.*)?", re.DOTALL)
MAX_LISTED = 5


def token_accuracy(gold: Sentences, predicted: Sentences) -> float:
    """The share of tokens whose tag is right, 0 to 1, over the tokens of all sentences.

    Args:
        gold: the right tags, a sequence for each sentence.
        predicted: the predicted ones, as many for each sentence.

    Raises:
        ValueError: there is no token, or the lengths differ.
    """
    _check(gold, predicted)
    num_right = sum(
        right == given
        for sentence, guess in zip(gold, predicted, strict=True)
        for right, given in zip(sentence, guess, strict=True)
    )
    return num_right / sum(map(len, gold))


def span_f1(gold: Sentences, predicted: Sentences) -> float:
    """The F1 of spans, 0 to 1: a predicted span counts where a gold one has the same first and last token and type.

    Micro-averaged over the spans of all types, by seqeval in its default mode, which reads as `conlleval.pl` does: a
    span also begins at an `I-` that follows no tag of its type, so there are no invalid sequences. Where no predicted
    span is right it is 0, also where there is no span on either side.

    Args:
        gold: the right tags, a sequence for each sentence: `O`, or B, I, E or S with a type (`B-PER`). IOB1, IOB2,
            IOE and IOBES are all read.
        predicted: the predicted ones, as many for each sentence.

    Raises:
        DataError: a tag is not of that kind. seqeval would only warn and take its first letter for the prefix: `NOUN`
            for an N of type OUN.
        ValueError: there is no token, or the lengths differ.
    """
    _check(gold, predicted)
    wrong = sorted({tag for sentence in (*gold, *predicted) for tag in sentence if not _SPAN_TAG.fullmatch(tag)})
    if wrong:
        more = f" and {len(wrong) - MAX_LISTED} more" if len(wrong) > MAX_LISTED else ""
        raise DataError(
            f"these tags mark no spans: {', '.join(map(repr, wrong[:MAX_LISTED]))}{more}. "
            "Span F1 needs O, B-…, I-…, E-… or S-…; score other tags by token accuracy"
        )
    # Imported here because it loads scikit-learn, which takes a second or more; it ships no types.
    from seqeval.metrics import f1_score  # type: ignore[import-untyped]

    # seqeval takes nothing but lists. `zero_division` 0 is its default's value without its warning.
    return float(f1_score(list(map(list, gold)), list(map(list, predicted)), average="micro", zero_division=0))


def _check(gold: Sentences, predicted: Sentences) -> None:
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} sentences have gold tags, but {len(predicted)} have predicted ones")
    for number, (sentence, guess) in enumerate(zip(gold, predicted, strict=True)):
        if len(sentence) != len(guess):
            raise ValueError(f"sentence {number} has {len(sentence)} gold tags, but {len(guess)} predicted ones")
    if not any(map(len, gold)):
        raise ValueError("there is no token to score")
