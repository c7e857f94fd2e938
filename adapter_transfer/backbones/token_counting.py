"""Tokens of texts before anything is loaded: by a `tokenizer.json` that is at hand, or by a rule. No torch.

The rules, where there is no tokenizer: a token for every 4 bytes of UTF-8 (of XLM-R's, English has a little more and
most other languages less; of words that are parted already, one each at least), and for the size of a vocabulary a
token for every distinct word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from adapter_transfer.errors import DataError

Rows = Sequence[tuple[str, str | None]]
Lengths = npt.NDArray[np.int64]

BYTES_PER_TOKEN = 4
_WORD = re.compile(r"\w+")
_FIRST_KEPT = 4
"""Ids 0 to 3 always stay (`vocabulary`), and so does <mask>."""
_SPECIAL_OF_PAIR, _SPECIAL_OF_ONE = 4, 2  # <s> a </s></s> b </s>, and <s> a </s>


class TokenCounter(Protocol):
    """Counts tokens, exactly or not.

    Attributes:
        is_exact: whether the counts are those of the backbone's tokenizer.
    """

    is_exact: bool

    def row_lengths(self, rows: Rows) -> Lengths:
        """Tokens of each row, special tokens included, nothing cut off."""

    def text_lengths(self, texts: Sequence[str]) -> Lengths:
        """Tokens of each text, special tokens apart, nothing cut off."""

    def word_lengths(self, sentences: Sequence[Sequence[str]]) -> list[Lengths]:
        """Tokens of each word of each sentence."""

    def num_special(self, *, is_pair: bool) -> int:
        """Special tokens of a row that is one text or a pair."""

    def num_kept(self, texts: Iterable[str]) -> int:
        """Different tokens that occur in texts, and the special ones: rows that a trimmed table keeps."""


class FileCounter:
    """Counts with a `tokenizer.json`."""

    is_exact = True

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            DataError: if it is no tokenizer.
        """
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise DataError(f"{path} is no tokenizer that can be read ({error})") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def row_lengths(self, rows: Rows) -> Lengths:
        pairs = [first if second is None else (first, second) for first, second in rows]
        encoded = self._tokenizer.encode_batch(pairs)
        return np.fromiter((len(row) for row in encoded), dtype=np.int64, count=len(pairs))

    def text_lengths(self, texts: Sequence[str]) -> Lengths:
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return np.fromiter((len(text) for text in encoded), dtype=np.int64, count=len(texts))

    def word_lengths(self, sentences: Sequence[Sequence[str]]) -> list[Lengths]:
        encoded = self._tokenizer.encode_batch(
            [list(words) for words in sentences], is_pretokenized=True, add_special_tokens=False
        )
        return [
            np.bincount(
                np.array([word for word in found.word_ids if word is not None], dtype=np.int64), minlength=len(words)
            )
            for words, found in zip(sentences, encoded, strict=True)
        ]

    def num_special(self, *, is_pair: bool) -> int:
        return int(self._tokenizer.num_special_tokens_to_add(is_pair))

    def num_kept(self, texts: Iterable[str]) -> int:
        # Word by word, which is how these tokenizers work: the words of a text repeat, its sentences do not.
        words = sorted({word for text in texts for word in text.split()})
        encoded = self._tokenizer.encode_batch(words, add_special_tokens=False)
        added = self._tokenizer.get_added_tokens_decoder()
        special = {number for number, token in added.items() if token.special}
        return len({token for word in encoded for token in word.ids} | special | set(range(_FIRST_KEPT)))


class RuleCounter:
    """Counts by the rules above."""

    is_exact = False

    def row_lengths(self, rows: Rows) -> Lengths:
        return np.fromiter((_estimate(first, second) for first, second in rows), dtype=np.int64, count=len(rows))

    def text_lengths(self, texts: Sequence[str]) -> Lengths:
        return np.fromiter(map(_num_tokens, texts), dtype=np.int64, count=len(texts))

    def word_lengths(self, sentences: Sequence[Sequence[str]]) -> list[Lengths]:
        # With the blank before it, which is of its text, too.
        return [np.array([_num_tokens(f" {word}") for word in words], dtype=np.int64) for words in sentences]

    def num_special(self, *, is_pair: bool) -> int:
        return _SPECIAL_OF_PAIR if is_pair else _SPECIAL_OF_ONE

    def num_kept(self, texts: Iterable[str]) -> int:
        return _FIRST_KEPT + 1 + len({word for text in texts for word in _WORD.findall(text)})


def _estimate(first: str, second: str | None) -> int:
    texts = (first,) if second is None else (first, second)
    special = _SPECIAL_OF_ONE if second is None else _SPECIAL_OF_PAIR
    return special + sum(map(_num_tokens, texts))


def _num_tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)
