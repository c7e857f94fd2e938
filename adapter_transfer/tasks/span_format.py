"""Extractive question answering: the answer is a span of the context, or there is none.

As in BERT (Devlin et al. 2019, arXiv 1810.04805, section 4.2 and 4.3): the head gives each token a score for being the
answer's first and one for being its last; where there is no answer in a window, both are the window's first token. A
context that is too long is cut into windows that overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from adapter_transfer.tasks.formats import (
    Answer,
    Cutting,
    EncodedExamples,
    Example,
    HeadType,
    LabelLevel,
    Logits,
    Tokenizer,
)
from adapter_transfer.tasks.metrics import Score, log_softmax
from adapter_transfer.tasks.squad_metric import best_threshold, exact_match, f1
from adapter_transfer.tasks.windows import encode_windows

if TYPE_CHECKING:
    import pyarrow as pa

MAX_QUESTION_TOKENS = 64
"""Of a longer question the rest is cut off (as in BERT's script for SQuAD)."""
ANSWERABLE, UNANSWERABLE = "answerable", "unanswerable"


@dataclass(frozen=True)
class SpanExtraction:
    """The answer to a question is a span of the context that it is asked about; rows are (question, context) pairs.

    An example's loss is the mean over its windows, so that long contexts count no more than short ones.

    Attributes:
        has_unanswerable: some questions have no answer in their context (SQuAD 2.0).
        num_best: first tokens, and last tokens, that are tried with each other.
        max_answer_tokens: longer spans are no answers.
        no_answer_threshold: an answer is given unless "no answer" scores higher than it by more than this.
    """

    has_unanswerable: bool = False
    num_best: int = 20
    max_answer_tokens: int = 30
    no_answer_threshold: float = 0.0
    name: str = "span"
    head_type: HeadType = "span"
    metric: str = "f1"
    label_level: LabelLevel = "row"
    reads_tokens: bool = True
    rows_per_example: None = None
    logits_per_row: int = 2
    chance: None = None

    def describe(self) -> str:
        return "span or none" if self.has_unanswerable else "span"

    def head_settings(self) -> dict[str, Any]:
        return {"num_labels": 2}

    def problems(self, example: Example) -> list[str]:
        _, context = example.rows[0]
        assert context is not None and isinstance(example.label, tuple)
        found = [] if example.label or self.has_unanswerable else ["there is no answer; every question has one here"]
        for text, start in _answers_of(example):
            there = context[max(start, 0) : start + len(text)]
            if not text.strip():
                found.append("an answer is blank")
            elif start < 0 or there != text:
                found.append(
                    f"the answer {_short(text)} does not stand at {start} of its context ({_short(there)} does)"
                )
        return found

    def count_labels(self, examples: Sequence[Example]) -> Mapping[str, int]:
        num_answerable = sum(bool(example.label) for example in examples)
        return {ANSWERABLE: num_answerable, UNANSWERABLE: len(examples) - num_answerable}

    def labels_in(self, examples: Sequence[Example]) -> tuple[str, ...]:
        return ()

    def with_labels(self, labels: tuple[str, ...]) -> Self:
        return self

    def shuffle_labels(self, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[Example]:
        """Each question gets the answer of another one: as many words of its own context, from wherever."""
        # Examples may lie on disk, where one at a time is slow.
        sizes = [max((len(text.split()) for text, _ in _answers_of(each)[:1]), default=0) for each in examples]
        for example, other in zip(examples, generator.permutation(len(sizes)).tolist(), strict=True):
            _, context = example.rows[0]
            assert context is not None
            yield replace(example, label=_any_span(context, sizes[other], generator))

    def encode(
        self, examples: Sequence[Example], language: str, tokenizer: Tokenizer, cutting: Cutting
    ) -> EncodedExamples:
        return encode_windows(self, examples, language, tokenizer, cutting, max_first_tokens=MAX_QUESTION_TOKENS)

    def score(self, encoded: EncodedExamples, logits: Logits) -> Score:
        """Exact match and F1 of SQuAD's own script.

        With unanswerable questions also the F1 at the threshold that is best on these very items (`best_f1`,
        `best_f1_threshold`), as that script tells it.
        """
        found = self._find(encoded, logits)
        given = [answer.given(self.no_answer_threshold if self.has_unanswerable else None) for answer in found]
        golds = [_gold_texts(reference) for reference in encoded.references]
        pairs = list(zip(given, golds, strict=True))
        matches = [exact_match(text, gold, has_unanswerable=self.has_unanswerable) for text, gold in pairs]
        values = {
            "exact_match": float(np.mean(matches)),
            "f1": float(np.mean([f1(text, gold, has_unanswerable=self.has_unanswerable) for text, gold in pairs])),
        }
        if self.has_unanswerable:
            values |= _at_best_threshold(found, golds)
        return Score(
            metric=self.metric,
            values=values,
            num_items=len(encoded),
            loss=_loss(encoded, logits),
            constant_predictions=len(set(given)) == 1,
            num_correct=int(sum(matches)),
        )

    def answers(self, encoded: EncodedExamples, logits: Logits) -> dict[str, pa.Array]:
        import pyarrow as pa

        found = self._find(encoded, logits)
        threshold = self.no_answer_threshold if self.has_unanswerable else None
        return {
            "label": pa.array([_gold_texts(each) for each in encoded.references], type=pa.list_(pa.string())),
            "prediction": pa.array([answer.given(threshold) for answer in found], type=pa.string()),
            "best_span": pa.array([answer.text for answer in found], type=pa.string()),
            "no_answer_score": pa.array([answer.no_answer for answer in found], type=pa.float32()),
        }

    def _find(self, encoded: EncodedExamples, logits: Logits) -> list[_Found]:
        return [self._find_one(encoded, logits, index) for index in range(len(encoded))]

    def _find_one(self, encoded: EncodedExamples, logits: Logits, index: int) -> _Found:
        """The best span over an example's windows; "no answer" scores as in the window where it scores least."""
        assert encoded.places is not None
        context, _ = encoded.references[index]
        best, text, nothing = -np.inf, "", np.inf
        for row in range(encoded.first_rows[index], encoded.first_rows[index + 1]):
            part = slice(encoded.offsets[row], encoded.offsets[row + 1])
            starts, ends = logits[part, 0].astype(np.float64), logits[part, 1].astype(np.float64)
            nothing = min(nothing, float(starts[0] + ends[0]))
            span = self._best_span(starts, ends, encoded.places[part])
            if span is not None and span[0] > best:
                best, text = span[0], context[span[1] : span[2]].strip()
        return _Found(text, nothing - best if text else float(np.finfo(np.float32).max))

    def _best_span(
        self, starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], places: npt.NDArray[np.int32]
    ) -> tuple[float, int, int] | None:
        """Score and place, in characters, of the best span of one window; None where it has no context."""
        inside = np.flatnonzero(places[:, 0] >= 0)
        if not len(inside):
            return None
        firsts = inside[np.argsort(-starts[inside], kind="stable")[: self.num_best]]
        lasts = inside[np.argsort(-ends[inside], kind="stable")[: self.num_best]]
        scores = starts[firsts][:, None] + ends[lasts][None, :]
        length = lasts[None, :] - firsts[:, None] + 1
        scores[(length < 1) | (length > self.max_answer_tokens)] = -np.inf
        first, last = np.unravel_index(int(scores.argmax()), scores.shape)
        if not np.isfinite(scores[first, last]):
            # Every pair is backwards or too long: the likeliest first token alone is still an answer.
            only = firsts[0]
            return float(starts[only] + ends[only]), int(places[only, 0]), int(places[only, 1])
        return float(scores[first, last]), int(places[firsts[first], 0]), int(places[lasts[last], 1])


@dataclass(frozen=True)
class _Found:
    """What a model has found for one question.

    Attributes:
        text: the best span.
        no_answer: the score of "no answer" above that of the best span.
    """

    text: str
    no_answer: float

    def given(self, threshold: float | None) -> str:
        """The answer that is given; empty for "no answer", which there is with a threshold only."""
        return "" if threshold is not None and self.no_answer > threshold else self.text


def _answers_of(example: Example) -> tuple[Answer, ...]:
    assert isinstance(example.label, tuple)
    return example.label  # type: ignore[return-value]  # of spans, as the format says


def _gold_texts(reference: Any) -> list[str]:
    return [text for text, _ in reference[1]]


def _any_span(context: str, num_words: int, generator: np.random.Generator) -> tuple[Answer, ...]:
    words = context.split()
    if not num_words or not words:
        return ()
    first = int(generator.integers(max(1, len(words) - num_words + 1)))
    start = 0
    for word in words[:first]:
        start = context.index(word, start) + len(word)
    start = end = context.index(words[first], start)
    for word in words[first : first + num_words]:
        end = context.index(word, end) + len(word)
    return ((context[start:end], start),)


def _at_best_threshold(found: Sequence[_Found], golds: Sequence[Sequence[str]]) -> dict[str, float]:
    """F1 at the threshold that SQuAD's script would choose on these items.

    It is computed anew: the script's search can split ties that no threshold can, and says then what cannot be had.
    """
    # Whatever is answered where there is no answer is wrong, though its words may all be articles.
    scores = [
        f1(each.text, gold, has_unanswerable=True) if gold else 0.0 for each, gold in zip(found, golds, strict=True)
    ]
    best = best_threshold(scores, [each.no_answer for each in found], [bool(gold) for gold in golds])
    given = [each.given(best.value) for each in found]
    again = [f1(text, gold, has_unanswerable=True) for text, gold in zip(given, golds, strict=True)]
    return {"best_f1": float(np.mean(again)), "best_f1_threshold": best.value}


def _loss(encoded: EncodedExamples, logits: Logits) -> float:
    """Mean over examples of the mean over their windows of the cross-entropy of first and last token."""
    of_rows = np.empty(len(encoded.offsets) - 1)
    for row in range(len(of_rows)):
        scores = log_softmax(logits[encoded.offsets[row] : encoded.offsets[row + 1]].T)
        first, last = encoded.labels[row]
        of_rows[row] = -(scores[0, first] + scores[1, last]) / 2
    return float((np.add.reduceat(of_rows, encoded.first_rows[:-1]) / encoded.num_rows).mean())


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
