"""Tagging: each word of a sentence has a tag, told by its first token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from adapter_transfer.tasks.formats import Cutting, EncodedExamples, Example, HeadType, LabelLevel, Logits, Tokenizer
from adapter_transfer.tasks.metrics import Score, log_softmax
from adapter_transfer.tasks.tagging_metric import span_f1, token_accuracy
from adapter_transfer.tasks.windows import encode_words

if TYPE_CHECKING:
    import pyarrow as pa

_TOKENS_AT_ONCE = 1024


@dataclass(frozen=True)
class Tagging:
    """Each word belongs to one of `tags`; a row is a sentence.

    An example's loss is the mean over its words, so that long sentences count no more than short ones.

    Attributes:
        tags: all there are; empty where the training data tells (`with_labels`).
        scheme: `bio` where tags mark spans (B-, I-, O), which F1 is counted by; else each word counts on its own.
    """

    tags: tuple[str, ...] = ()
    scheme: Literal["word", "bio"] = "word"
    name: str = "tagging"
    head_type: HeadType = "tagging"
    label_level: LabelLevel = "token"
    reads_tokens: bool = True
    rows_per_example: None = None

    @property
    def metric(self) -> Literal["accuracy", "span_f1"]:
        return "accuracy" if self.scheme == "word" else "span_f1"

    @property
    def logits_per_row(self) -> int:
        return len(self.tags)

    @property
    def chance(self) -> float | None:
        return 1.0 / len(self.tags) if self.tags and self.scheme == "word" else None

    def describe(self) -> str:
        return f"{len(self.tags)} tags" if self.tags else "tags of its data"

    def head_settings(self) -> dict[str, Any]:
        return {"num_labels": len(self.tags), "id2label": dict(enumerate(self.tags))}

    def problems(self, example: Example) -> list[str]:
        words, tags = example.rows[0][0].split(" "), _tags_of(example)
        found = [] if all(words) else ["a word is empty or holds a blank"]
        if len(words) != len(tags):
            found.append(f"{len(words)} words, but {len(tags)} tags")
        if self.tags:
            unknown = sorted(set(tags) - set(self.tags))
            found += [f"tag {tag!r} is unknown; there are {', '.join(self.tags)}" for tag in unknown]
        elif not all(tags):
            found.append("a tag is empty")
        return found

    def count_labels(self, examples: Sequence[Example]) -> Mapping[str, int]:
        counts = Counter(tag for example in examples for tag in _tags_of(example))
        return {tag: counts[tag] for tag in (self.tags or sorted(counts))}

    def labels_in(self, examples: Sequence[Example]) -> tuple[str, ...]:
        return () if self.tags else tuple(sorted({tag for example in examples for tag in _tags_of(example)}))

    def with_labels(self, labels: tuple[str, ...]) -> Self:
        return replace(self, tags=labels) if labels and not self.tags else self

    def shuffle_labels(self, examples: Sequence[Example], generator: np.random.Generator) -> Iterator[Example]:
        """All tags are dealt anew over all words."""
        tags = [tag for example in examples for tag in _tags_of(example)]
        dealt = iter(generator.permutation(len(tags)).tolist())
        for example in examples:
            yield replace(example, label=tuple(tags[next(dealt)] for _ in _tags_of(example)))

    def encode(
        self, examples: Sequence[Example], language: str, tokenizer: Tokenizer, cutting: Cutting
    ) -> EncodedExamples:
        return encode_words(self, examples, language, tokenizer, cutting, tags=self.tags)

    def score(self, encoded: EncodedExamples, logits: Logits) -> Score:
        golds, predictions = [list(tags) for tags in encoded.references], self._predictions(encoded, logits)
        values = {"accuracy": token_accuracy(golds, predictions)}
        if self.scheme == "bio":
            values["span_f1"] = span_f1(golds, predictions)
        distinct = {tag for tags in predictions for tag in tags}
        return Score(self.metric, values, len(encoded), _loss(encoded, logits), len(distinct) == 1)

    def answers(self, encoded: EncodedExamples, logits: Logits) -> dict[str, pa.Array]:
        import pyarrow as pa

        of_words = pa.list_(pa.string())
        return {
            "label": pa.array([list(tags) for tags in encoded.references], type=of_words),
            "prediction": pa.array(self._predictions(encoded, logits), type=of_words),
        }

    def _predictions(self, encoded: EncodedExamples, logits: Logits) -> list[list[str]]:
        """A tag for each word of each sentence."""
        assert encoded.places is not None
        best = logits.argmax(axis=1)
        predictions = []
        for index, gold in enumerate(encoded.references):
            # A word that the tokenizer makes no token of is never right, unless nothing is what there is.
            tags = ["O" if self.scheme == "bio" else ""] * len(gold)
            first, last = encoded.first_rows[index], encoded.first_rows[index + 1]
            for token in range(encoded.offsets[first], encoded.offsets[last]):
                word = encoded.places[token, 0]
                if word >= 0:
                    tags[word] = self.tags[best[token]]
            predictions.append(tags)
        return predictions


def _tags_of(example: Example) -> tuple[str, ...]:
    assert isinstance(example.label, tuple)
    return example.label  # type: ignore[return-value]  # of tags, as the format says


def _loss(encoded: EncodedExamples, logits: Logits) -> float:
    """Mean over examples of the mean over their words with a known tag."""
    known = np.flatnonzero(encoded.labels >= 0)
    losses = np.empty(len(known))
    # Piece by piece: in double precision, CCG's thousand tags of every token at once would be gigabytes.
    for start in range(0, len(known), _TOKENS_AT_ONCE):
        part = known[start : start + _TOKENS_AT_ONCE]
        losses[start : start + len(part)] = -log_softmax(logits[part])[np.arange(len(part)), encoded.labels[part]]
    owner = np.repeat(np.arange(len(encoded)), np.diff(encoded.offsets[encoded.first_rows]))[known]
    counts = np.bincount(owner, minlength=len(encoded))
    sums = np.bincount(owner, weights=losses, minlength=len(encoded))
    return float((sums[counts > 0] / counts[counts > 0]).mean()) if len(known) else 0.0
