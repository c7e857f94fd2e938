"""Examples → token ids: ragged arrays in NumPy, made once and shared by every run that reads the same text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.formats import DOC_STRIDE, Cutting, EncodedExamples, Example, Format, Tokenizer
from adapter_transfer.tasks.task import ExampleSet


def encode(
    example_set: ExampleSet, format: Format, tokenizer: Tokenizer, max_length: int, doc_stride: int = DOC_STRIDE
) -> EncodedExamples:
    """Token ids of every row of a split, with labels; see `Cutting` for the lengths."""
    return format.encode(example_set.examples, example_set.language, tokenizer, Cutting(max_length, doc_stride))


def encode_pairs(
    format: Format, examples: Sequence[Example], language: str, tokenizer: Tokenizer, max_length: int
) -> EncodedExamples:
    """Token ids of texts and pairs, with the index of what is right for each example.

    A pair that is longer than `max_length` tokens loses tokens of its longer segment first.
    """
    rows = [row for example in examples for row in example.rows]
    firsts = [first for first, _ in rows]
    seconds = [second for _, second in rows if second is not None]
    if seconds and len(seconds) != len(firsts):
        raise ValueError("some rows have a second segment and some have none")
    # Encoded without truncation first would cost a second pass over all; the lengths tell which rows were cut.
    batch = tokenizer(firsts, seconds or None, truncation="longest_first", max_length=max_length)
    encoded, types = batch["input_ids"], None
    if "token_type_ids" in tokenizer.model_input_names:
        types = np.fromiter((type for row in batch["token_type_ids"] for type in row), dtype=np.uint8)
    lengths = np.fromiter((len(ids) for ids in encoded), dtype=np.int64, count=len(encoded))
    full = [index for index in np.flatnonzero(lengths == max_length)]
    num_truncated = 0
    if full:
        # Not verbose: what is only counted here would be called too long for the model.
        whole = tokenizer([firsts[i] for i in full], [seconds[i] for i in full] if seconds else None, verbose=False)
        again = whole["input_ids"]
        num_truncated = sum(len(ids) > max_length for ids in again)
    return EncodedExamples(
        tokens=np.fromiter((token for ids in encoded for token in ids), dtype=np.int32, count=int(lengths.sum())),
        offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
        first_rows=np.cumsum([0, *(len(example.rows) for example in examples)], dtype=np.int64),
        labels=np.array([example.label for example in examples], dtype=np.int64),
        ids=tuple(example.id for example in examples),
        languages=(language,) * len(examples),
        format=format,
        num_truncated=num_truncated,
        token_types=types,
    )


MAX_UNKNOWN_SHARE = 0.01
MAX_IDENTICAL_SHARE = 0.01


def require_legible(encoded: EncodedExamples, examples: Sequence[Example], unknown_id: int, name: str) -> None:
    """Makes sure that a tokenizer trained here can tell the texts apart: else every score would be noise.

    Args:
        examples: that were encoded; choices that are published alike (some are) are no fault of the tokenizer.
        name: of the split, for the message.

    Raises:
        DataError: if 1 % of the tokens or more are unknown, or 1 % of the examples or more have two choices that are
            encoded alike.
    """
    unknown = float((encoded.tokens == unknown_id).mean())
    texts = [encoded.row(row).tobytes() for row in range(len(encoded.row_lengths))]
    groups = (texts[first:last] for first, last in pairwise(encoded.first_rows.tolist()))
    pairs = zip(groups, examples, strict=False)  # a part of the examples may have been encoded
    identical = sum(len(set(group)) < len(set(example.rows)) for group, example in pairs) / len(encoded)
    for share, limit, what in (
        (unknown, MAX_UNKNOWN_SHARE, "of the tokens are unknown to the tokenizer"),
        (identical, MAX_IDENTICAL_SHARE, "of the examples have choices that it encodes alike"),
    ):
        if share >= limit:
            raise DataError(f"{name}: {share:.1%} {what}; allowed is less than {limit:.0%}. Give it more text.")


def concatenate(parts: Sequence[EncodedExamples]) -> EncodedExamples:
    """Several sets of one format as one, in order; used to evaluate all languages in one pass."""
    if not parts:
        raise ValueError("nothing to concatenate")
    # One tokenizer made all parts: all of them have token types, or none has. Likewise places.
    types = [part.token_types for part in parts if part.token_types is not None]
    places = [part.places for part in parts if part.places is not None]
    return EncodedExamples(
        tokens=np.concatenate([part.tokens for part in parts]),
        offsets=_chained([part.offsets for part in parts]),
        first_rows=_chained([part.first_rows for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        ids=tuple(id for part in parts for id in part.ids),
        languages=tuple(language for part in parts for language in part.languages),
        format=parts[0].format,
        num_truncated=sum(part.num_truncated for part in parts),
        token_types=np.concatenate(types) if types else None,
        places=np.concatenate(places) if places else None,
        references=tuple(reference for part in parts for reference in part.references),
    )


def _chained(bounds: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Bounds (each from 0 up) of things that now stand one behind the other."""
    starts = np.cumsum([0, *(part[-1] for part in bounds[:-1])])
    return np.concatenate(
        [np.zeros(1, np.int64), *(part[1:] + start for part, start in zip(bounds, starts, strict=True))]
    )


def take(encoded: EncodedExamples, count: int | None) -> EncodedExamples:
    """The first `count` examples (all where `count` is None)."""
    if count is None or count >= len(encoded):
        return encoded
    rows = int(encoded.first_rows[count])
    tokens = int(encoded.offsets[rows])
    labelled = {"example": count, "row": rows, "token": tokens}[encoded.format.label_level]
    return replace(
        encoded,
        tokens=encoded.tokens[:tokens],
        offsets=encoded.offsets[: rows + 1],
        first_rows=encoded.first_rows[: count + 1],
        labels=encoded.labels[:labelled],
        ids=encoded.ids[:count],
        languages=encoded.languages[:count],
        token_types=None if encoded.token_types is None else encoded.token_types[:tokens],
        places=None if encoded.places is None else encoded.places[:tokens],
        references=encoded.references[:count],
    )
