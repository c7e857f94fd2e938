"""Rows of long texts: a context is cut into windows that overlap, a list of words into windows that do not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from adapter_transfer.tasks.formats import NO_LABEL, UNKNOWN_TAG, Cutting, EncodedExamples, Example, Format, Tokenizer

_EXAMPLES_AT_ONCE = 1024
_SPECIAL_TOKENS = 4
"""Of a pair, at most (XLM-R)."""


def question_room(cutting: Cutting, max_first_tokens: int) -> tuple[int, int]:
    """How many tokens of a question are kept, at most, and how many two neighbouring windows of its context share."""
    room = cutting.max_length - _SPECIAL_TOKENS
    most = min(max_first_tokens, room // 2)
    # The same for every question, however short: less than what is left beside the longest one.
    return most, min(cutting.doc_stride, (room - most) // 2)


def encode_windows(
    format: Format,
    examples: Sequence[Example],
    language: str,
    tokenizer: Tokenizer,
    cutting: Cutting,
    *,
    max_first_tokens: int,
) -> EncodedExamples:
    """Pairs of a question and a context, whose label is where the context answers it.

    Windows hold the whole question and as much of the context as there is room for; two neighbours share
    `cutting.doc_stride` tokens, or half of the room where that is less. The first of several right answers is trained
    on, in each window that holds all of it.

    Args:
        max_first_tokens: of the question; at most half of what special tokens leave of a row, either.
    """
    most, stride = question_room(cutting, max_first_tokens)
    rows = _Rows("token_type_ids" in tokenizer.model_input_names)
    num_rows: list[int] = []
    num_cut = 0
    for start in range(0, len(examples), _EXAMPLES_AT_ONCE):
        part = examples[start : start + _EXAMPLES_AT_ONCE]
        questions = [example.rows[0][0] for example in part]
        contexts = [example.rows[0][1] for example in part]
        questions, cut = _shortened(questions, tokenizer, most)
        num_cut += cut
        batch = tokenizer(
            questions,
            contexts,
            truncation="only_second",
            max_length=cutting.max_length,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        owners = batch["overflow_to_sample_mapping"]
        num_rows += np.bincount(owners, minlength=len(part)).tolist()
        for index, (owner, encoding) in enumerate(zip(owners, batch.encodings, strict=True)):
            places = _context_places(encoding, batch["offset_mapping"][index])
            rows.add(encoding.ids, encoding.type_ids, places, _span_tokens(part[owner].label, places))
    return rows.encoded(
        format,
        examples,
        language,
        num_rows,
        labels=np.array(rows.labels, dtype=np.int64).reshape(-1, 2),
        num_truncated=num_cut,
        references=[(example.rows[0][1], example.label) for example in examples],
    )


def encode_words(
    format: Format,
    examples: Sequence[Example],
    language: str,
    tokenizer: Tokenizer,
    cutting: Cutting,
    *,
    tags: Sequence[str],
) -> EncodedExamples:
    """Sentences of words that each have a tag; the first token of a word carries it.

    A sentence that is too long is cut between words, so that every word is in exactly one window.

    Args:
        tags: index → tag.
    """
    index_of = {tag: index for index, tag in enumerate(tags)}
    rows = _Rows("token_type_ids" in tokenizer.model_input_names)
    num_rows: list[int] = []
    num_cut = 0
    for start in range(0, len(examples), _EXAMPLES_AT_ONCE):
        part = examples[start : start + _EXAMPLES_AT_ONCE]
        encodings = _encodings_of_words([example.rows[0][0].split(" ") for example in part], tokenizer)
        for example, encoding in zip(part, encodings, strict=True):
            windows, cut = _word_windows(encoding, cutting.max_length)
            num_cut += cut
            num_rows.append(len(windows))
            for chosen in windows:
                of_word = np.array([-1 if word is None else word for word in encoding.word_ids], dtype=np.int32)[chosen]
                # A word's further tokens are nobody's place.
                of_word[1:][of_word[1:] == of_word[:-1]] = -1
                labels = [
                    NO_LABEL if word < 0 else index_of.get(str(example.label[word]), UNKNOWN_TAG)  # type: ignore[index]
                    for word in of_word.tolist()
                ]
                ids, types = np.array(encoding.ids)[chosen], np.array(encoding.type_ids)[chosen]
                rows.add(ids.tolist(), types.tolist(), of_word[:, None], labels)
    return rows.encoded(
        format,
        examples,
        language,
        num_rows,
        labels=np.fromiter(chain.from_iterable(rows.labels), dtype=np.int64),
        num_truncated=num_cut,
        references=[example.label for example in examples],
    )


class _Rows:
    """Collects rows as they come."""

    def __init__(self, has_types: bool) -> None:
        self._tokens: list[npt.NDArray[np.int32]] = []
        self._types: list[npt.NDArray[np.uint8]] | None = [] if has_types else None
        self._places: list[npt.NDArray[np.int32]] = []
        self.labels: list[Any] = []

    def add(self, ids: Sequence[int], types: Sequence[int], places: npt.NDArray[np.int32], label: Any) -> None:
        self._tokens.append(np.array(ids, dtype=np.int32))
        if self._types is not None:
            self._types.append(np.array(types, dtype=np.uint8))
        self._places.append(places)
        self.labels.append(label)

    def encoded(
        self, format: Format, examples: Sequence[Example], language: str, num_rows: Sequence[int], **fields: Any
    ) -> EncodedExamples:
        return EncodedExamples(
            tokens=np.concatenate(self._tokens),
            offsets=np.cumsum([0, *map(len, self._tokens)], dtype=np.int64),
            first_rows=np.cumsum([0, *num_rows], dtype=np.int64),
            ids=tuple(example.id for example in examples),
            languages=(language,) * len(examples),
            format=format,
            token_types=None if self._types is None else np.concatenate(self._types),
            places=np.concatenate(self._places),
            **fields,
        )


def _shortened(texts: list[str], tokenizer: Tokenizer, most: int) -> tuple[list[str], int]:
    """Texts without what lies behind their first `most` tokens, and how many lost something."""
    batch = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    kept, num_cut = [], 0
    for text, places in zip(texts, batch["offset_mapping"], strict=True):
        num_cut += len(places) > most
        # What is left may be cut into more tokens than it was as a part of the whole.
        while len(places) > most:
            first, behind = places[most - 1]
            text = text[: behind if behind < len(text) else first]
            places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        kept.append(text)
    return kept, num_cut


def _context_places(encoding: Any, offsets: Sequence[tuple[int, int]]) -> npt.NDArray[np.int32]:
    """(T, 2): where each token of the context stands in it; -1 for all others, and for tokens of no character."""
    places = np.array(offsets, dtype=np.int32).reshape(-1, 2)
    is_context = np.array([sequence == 1 for sequence in encoding.sequence_ids])
    places[~is_context | (places[:, 0] == places[:, 1])] = -1
    return places


def _span_tokens(answers: Any, places: npt.NDArray[np.int32]) -> tuple[int, int]:
    """First and last token of the answer in a window; the first token twice, where the window does not hold it all."""
    if not answers:
        return 0, 0
    text, start = answers[0]
    # Blanks at its ends may stand in no token; some are published with such.
    start, end = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
    inside = np.flatnonzero(places[:, 0] >= 0)
    if not len(inside) or places[inside[0], 0] > start or places[inside[-1], 1] < end:
        return 0, 0
    within = inside[(places[inside, 1] > start) & (places[inside, 0] < end)]
    return (int(within[0]), int(within[-1])) if len(within) else (0, 0)


def _encodings_of_words(sentences: list[list[str]], tokenizer: Any) -> Sequence[Any]:
    """The tokens of each sentence, of which it is known to what word they belong."""
    backend = tokenizer.backend_tokenizer
    if not getattr(backend.pre_tokenizer, "add_prefix_space", True):
        # RoBERTa's kin: a word's tokens tell that a blank stands before it. Transformers refuses to split words for
        # them, and without their blanks words would be encoded as if they were one.
        backend.no_truncation()
        backend.no_padding()
        with_blanks = [[words[0], *(f" {word}" for word in words[1:])] for words in sentences]
        return backend.encode_batch(with_blanks, is_pretokenized=True)  # type: ignore[no-any-return]  # untyped library
    encodings: Sequence[Any] = tokenizer(sentences, is_split_into_words=True, verbose=False).encodings
    return encodings


def _word_windows(encoding: Any, max_length: int) -> tuple[list[npt.NDArray[np.int64]], int]:
    """Which tokens stand in each window of a sentence, special ones around them, and how many words were cut."""
    word_ids = encoding.word_ids
    length = len(word_ids)
    if length <= max_length:
        return [np.arange(length)], 0
    there = [position for position, word in enumerate(word_ids) if word is not None]
    before, behind = list(range(there[0])), list(range(there[-1] + 1, length))
    room = max_length - len(before) - len(behind)
    windows: list[list[int]] = [[]]
    num_cut = 0
    for _, of_word in groupby(there, key=lambda position: word_ids[position]):
        tokens = list(of_word)
        if len(tokens) > room:
            tokens, num_cut = tokens[:room], num_cut + 1
        if len(windows[-1]) + len(tokens) > room:
            windows.append([])
        windows[-1] += tokens
    return [np.array([*before, *window, *behind]) for window in windows], num_cut
