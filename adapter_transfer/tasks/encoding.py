"""Examples → token ids: ragged arrays in NumPy, made once and shared by every run that reads the same text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.formats import Format
from adapter_transfer.tasks.task import ExampleSet


class Tokenizer(Protocol):
    """The part of a fast Hugging Face tokenizer that is used here."""

    model_input_names: list[str]

    def __call__(self, text: list[str], text_pair: list[str] | None = None, **settings: Any) -> Any: ...


@dataclass(frozen=True)
class EncodedExamples:
    """N examples of R rows each as token ids, rows end to end.

    Attributes:
        tokens: (sum of row lengths,) int32, special tokens included.
        offsets: (N·R + 1,) int64; row r is `tokens[offsets[r]:offsets[r + 1]]`, and example n owns rows n·R to n·R+R-1.
        labels: (N,) int64.
        ids: N item ids.
        languages: N language codes.
        format: how rows are scored.
        num_truncated: rows cut at the maximum length.
        token_types: which of a row's two segments each token is of, as uint8 and as long as `tokens`; None for a
            tokenizer that does not tell (XLM-R's, RoBERTa's).
    """

    tokens: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    ids: tuple[str, ...]
    languages: tuple[str, ...]
    format: Format
    num_truncated: int = 0
    token_types: npt.NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def row_lengths(self) -> npt.NDArray[np.int64]:
        """(N·R,) tokens in each row."""
        return np.diff(self.offsets)

    def row(self, index: int) -> npt.NDArray[np.int32]:
        """The token ids of one row."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    def row_types(self, index: int) -> npt.NDArray[np.uint8]:
        """The token types of one row; only where there are some."""
        assert self.token_types is not None
        return self.token_types[self.offsets[index] : self.offsets[index + 1]]


def encode(example_set: ExampleSet, format: Format, tokenizer: Tokenizer, max_length: int) -> EncodedExamples:
    """Token ids of every row; a pair longer than `max_length` tokens loses tokens of its longer segment first."""
    rows = [row for example in example_set.examples for row in example.rows]
    firsts = [first for first, _ in rows]
    seconds = [second for _, second in rows if second is not None]
    if seconds and len(seconds) != len(firsts):
        raise ValueError(f"{example_set.task}: some rows have a second segment and some have none")
    # Encoded without truncation first would cost a second pass over all; the lengths tell which rows were cut.
    batch = tokenizer(firsts, seconds or None, truncation="longest_first", max_length=max_length)
    encoded, types = batch["input_ids"], None
    if "token_type_ids" in tokenizer.model_input_names:
        types = np.fromiter((type for row in batch["token_type_ids"] for type in row), dtype=np.uint8)
    lengths = np.fromiter((len(ids) for ids in encoded), dtype=np.int64, count=len(encoded))
    full = [index for index in np.flatnonzero(lengths == max_length)]
    num_truncated = 0
    if full:
        again = tokenizer([firsts[i] for i in full], [seconds[i] for i in full] if seconds else None)["input_ids"]
        num_truncated = sum(len(ids) > max_length for ids in again)
    return EncodedExamples(
        tokens=np.fromiter((token for ids in encoded for token in ids), dtype=np.int32, count=int(lengths.sum())),
        offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
        labels=np.array([example.label for example in example_set.examples], dtype=np.int64),
        ids=tuple(example.id for example in example_set.examples),
        languages=(example_set.language,) * len(example_set.examples),
        format=format,
        num_truncated=num_truncated,
        token_types=types,
    )


MAX_UNKNOWN_SHARE = 0.01
MAX_IDENTICAL_SHARE = 0.01


def require_legible(encoded: EncodedExamples, unknown_id: int, name: str) -> None:
    """Makes sure that a tokenizer trained here can tell the texts apart: else every score would be noise.

    Args:
        name: of the split, for the message.

    Raises:
        DataError: if 1 % of the tokens or more are unknown, or 1 % of the examples or more have two choices that are
            encoded alike.
    """
    unknown = float((encoded.tokens == unknown_id).mean())
    rows_each = encoded.format.rows_per_example
    texts = [encoded.row(row).tobytes() for row in range(len(encoded.row_lengths))]
    groups = (texts[start : start + rows_each] for start in range(0, len(texts), rows_each))
    identical = sum(len(set(group)) < len(group) for group in groups) / len(encoded)
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
    # One tokenizer made all parts: all of them have token types, or none has.
    types = [part.token_types for part in parts if part.token_types is not None]
    starts = np.cumsum([0] + [len(part.tokens) for part in parts[:-1]])
    return EncodedExamples(
        tokens=np.concatenate([part.tokens for part in parts]),
        offsets=np.concatenate(
            [np.zeros(1, np.int64)] + [part.offsets[1:] + start for part, start in zip(parts, starts, strict=True)]
        ),
        labels=np.concatenate([part.labels for part in parts]),
        ids=tuple(id for part in parts for id in part.ids),
        languages=tuple(language for part in parts for language in part.languages),
        format=parts[0].format,
        num_truncated=sum(part.num_truncated for part in parts),
        token_types=np.concatenate(types) if types else None,
    )


def take(encoded: EncodedExamples, count: int | None) -> EncodedExamples:
    """The first `count` examples (all where `count` is None)."""
    if count is None or count >= len(encoded):
        return encoded
    last_row = count * encoded.format.rows_per_example
    return EncodedExamples(
        tokens=encoded.tokens[: encoded.offsets[last_row]],
        offsets=encoded.offsets[: last_row + 1],
        labels=encoded.labels[:count],
        ids=encoded.ids[:count],
        languages=encoded.languages[:count],
        format=encoded.format,
        num_truncated=encoded.num_truncated,
        token_types=None if encoded.token_types is None else encoded.token_types[: encoded.offsets[last_row]],
    )
