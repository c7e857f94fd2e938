"""Kept tokens: what is among them, the numbers they get, and that no token is ever given another's row."""

from __future__ import annotations

import json

import numpy as np
import pytest

from adapter_transfer.backbones.vocabulary import KeptTokens, keep_tokens, kept_from_json
from adapter_transfer.errors import DataError

KEPT = keep_tokens(np.array([40, 9, 7, 40, 9]), num_rows=50, padding_id=1)


@pytest.mark.parametrize(("padding_id", "expected"), [(0, 3), (1, 3), (5, 5)])
def test_special_tokens_and_the_padding_keep_their_numbers(padding_id, expected):
    kept = keep_tokens(np.array([30]), num_rows=50, padding_id=padding_id)
    assert kept.ids.tolist() == [*range(expected + 1), 30]


def test_tokens_are_renumbered_in_their_order():
    assert KEPT.ids.tolist() == [0, 1, 2, 3, 7, 9, 40] and len(KEPT) == 7
    numbers = KEPT.renumber(np.array([[40, 1, 9], [7, 0, 40]], dtype=np.int32))
    assert numbers.dtype == np.int32
    assert numbers.tolist() == [[6, 1, 5], [4, 0, 6]]
    assert KEPT.renumber(np.array([], dtype=np.int32)).shape == (0,)


@pytest.mark.parametrize("lost", [4, 49, 50, 2**31 - 1, -1])
def test_a_token_that_is_not_kept_is_refused(lost):
    tokens = np.array([7, lost, 9])
    assert KEPT.covers(np.array([7, 9])) and not KEPT.covers(tokens)
    with pytest.raises(DataError, match=rf"1 tokens are not among the 7 .*\(ids {lost}\)"):
        KEPT.renumber(tokens)


@pytest.mark.parametrize("wrong", [50, -1])
def test_a_token_without_a_row_is_refused(wrong):
    with pytest.raises(DataError, match=f"token {wrong} has no row"):
        keep_tokens(np.array([wrong]), num_rows=50, padding_id=1)


def test_what_is_written_down_is_read_back():
    read = kept_from_json(json.loads(json.dumps(KEPT.as_json())))
    assert read.ids.tolist() == KEPT.ids.tolist() and read.digest == KEPT.digest


@pytest.mark.parametrize(
    "change",
    [
        {"ids": [0, 1, 2, 3, 7, 9, 41]},
        {"ids": [0, 1, 2, 3, 9, 7, 40]},
        {"ids": [0, 1, 2, 3, 7, 9, 2**80]},
        {"ids": None},
        {"num_rows": 51},
        {"num_rows": 3},
        {"digest": "0" * 64},
    ],
)
def test_a_changed_list_is_refused(change):
    with pytest.raises(DataError, match="not as it was written"):
        kept_from_json(KEPT.as_json() | change)


def test_the_digest_tells_sets_and_tables_apart():
    others = [KeptTokens(KEPT.ids, 51), keep_tokens(KEPT.ids[:-1], num_rows=50, padding_id=1)]
    assert len({KEPT.digest, *(other.digest for other in others)}) == 3
    assert keep_tokens(KEPT.ids, num_rows=50, padding_id=1).digest == KEPT.digest
    assert not KEPT.is_whole and keep_tokens(np.arange(50), num_rows=50, padding_id=1).is_whole
