"""Tokens on disk: the same as in memory, made once, used where they lie."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.vocabulary import keep_tokens
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DataError
from adapter_transfer.tasks import stored_tokens
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.encoding import concatenate, encode, take
from adapter_transfer.tasks.formats import Cutting
from adapter_transfer.tasks.stored_examples import ExampleCache
from adapter_transfer.tasks.stored_tokens import TokenCache
from adapter_transfer.tasks.task import load_examples

OF_EACH_KIND = ["socialiqa", "anli", "squad2", "ccg"]
ARRAYS = ["tokens", "offsets", "first_rows", "labels", "token_types", "places"]
CUTTING = Cutting(max_length=24, doc_stride=4)
"""So short that contexts and sentences are cut into windows, and pairs lose text."""


class Refusing:
    """A tokenizer that nothing may be asked of."""

    model_input_names = ()

    def __call__(self, *texts, **settings):
        raise AssertionError("it was tokenized before")


@pytest.fixture(params=["no types", "types"])
def tokenizer(request):
    """Also one that tells which segment a token is of, as BERT's does."""
    found = copy.deepcopy(load_tokenizer(BACKBONES["nano"]))
    if request.param == "types":
        found.model_input_names = [*found.model_input_names, "token_type_ids"]
    return found


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_tokens, "_EXAMPLES_AT_ONCE", 5)
    return TokenCache(tmp_path / "tokens", most_in_memory=3)


@pytest.fixture
def read(data_dir, tmp_path):
    """Reads a training split, large enough to be mapped, and its format."""

    def reading(name):
        task = TASKS[name]
        kept = ExampleCache(tmp_path / "examples", most_in_memory=3)
        found = load_examples(task, "train", "en", data_dir=data_dir, cache=kept)
        return found, task.format.with_labels(task.format.labels_in(found.examples))

    return reading


def assert_same(found, expected):
    for name in ARRAYS:
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if one is not None:
            assert one.dtype == other.dtype, name
            assert one.shape == other.shape, name
            assert (one == other).all(), name
    assert list(found.ids) == list(expected.ids)
    assert list(found.languages) == list(expected.languages)
    assert list(found.references) == list(expected.references)
    assert (found.num_truncated, found.format) == (expected.num_truncated, expected.format)


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_tokens_of_the_cache_are_those_of_the_examples(read, cache, tokenizer, name):
    examples, format = read(name)
    expected = encode(examples, format, tokenizer, CUTTING.max_length, CUTTING.doc_stride)
    assert (expected.token_types is not None) == ("token_type_ids" in tokenizer.model_input_names)
    assert len(expected.row_lengths) > len(expected) or name in ("anli", "ccg"), "else windows are not looked at"
    assert_same(cache.encode(examples, format, tokenizer, CUTTING, "its digest"), expected)
    again = cache.encode(examples, format, Refusing(), CUTTING, "its digest")
    assert_same(again, expected)
    assert again.tokens.base is not None, "mapped, not copied"
    assert not again.tokens.flags.writeable
    assert len(list(cache.folder.iterdir())) == 1


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_what_is_done_with_them_works(read, cache, tokenizer, name):
    examples, format = read(name)
    plain = encode(examples, format, tokenizer, CUTTING.max_length, CUTTING.doc_stride)
    mapped = cache.encode(examples, format, tokenizer, CUTTING, "its digest")
    for count in (1, 7, len(plain), None):
        assert_same(take(mapped, count), take(plain, count))
    assert_same(concatenate([mapped, take(mapped, 4)]), concatenate([plain, take(plain, 4)]))
    kept = keep_tokens(plain.tokens, num_rows=len(load_tokenizer(BACKBONES["nano"])), padding_id=1)
    assert kept.covers(mapped.tokens)
    assert (kept.renumber(mapped.tokens) == kept.renumber(plain.tokens)).all()
    assert (mapped.longest_rows == plain.longest_rows).all()


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_a_split_in_memory_is_encoded_in_pieces_too(read, tmp_path, monkeypatch, tokenizer, name):
    monkeypatch.setattr(stored_tokens, "_EXAMPLES_AT_ONCE", 5)
    examples, format = read(name)
    cache = TokenCache(tmp_path / "tokens", most_in_memory=len(examples.examples))
    expected = encode(examples, format, tokenizer, CUTTING.max_length, CUTTING.doc_stride)
    assert_same(cache.encode(examples, format, tokenizer, CUTTING, "its digest"), expected)
    assert not cache.folder.exists()


def test_whatever_differs_is_another_entry(read, cache):
    tokenizer = load_tokenizer(BACKBONES["nano"])
    examples, format = read("squad2")
    wanted = [
        (format, CUTTING, "one"),
        (format, CUTTING, "another tokenizer"),
        (format, Cutting(26, 4), "one"),
        (format, Cutting(24, 2), "one"),
        (TASKS["squad1"].format, CUTTING, "one"),
    ]
    for number, (format, cutting, digest) in enumerate(wanted, start=1):
        cache.encode(examples, format, tokenizer, cutting, digest)
        assert len(list(cache.folder.iterdir())) == number
    others, other_format = read("anli")
    cache.encode(others, other_format, tokenizer, CUTTING, "one")
    assert len(list(cache.folder.iterdir())) == len(wanted) + 1


def test_a_damaged_entry_is_made_anew_with_a_word(read, cache, caplog):
    tokenizer = load_tokenizer(BACKBONES["nano"])
    examples, format = read("anli")
    expected = cache.encode(examples, format, tokenizer, CUTTING, "one")
    plain = expected.tokens.copy()
    del expected
    (path,) = cache.folder.glob("*/tokens.arrow")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found = cache.encode(examples, format, tokenizer, CUTTING, "one")
    assert "made anew" in caplog.text
    assert np.array_equal(found.tokens, plain)


def test_who_is_interrupted_leaves_nothing(read, cache):
    examples, format = read("anli")
    with pytest.raises(AssertionError, match="tokenized before"):
        cache.encode(examples, format, Refusing(), CUTTING, "one")
    assert list(cache.folder.iterdir()) == []


def test_how_far_it_is_gets_told(read, cache):
    told = []
    telling = TokenCache(cache.folder, lambda *what: told.append(what), most_in_memory=3)
    examples, format = read("socialiqa")
    count = len(examples.examples)
    telling.encode(examples, format, load_tokenizer(BACKBONES["nano"]), CUTTING, "one")
    assert told == [("socialiqa", done, count) for done in [*range(0, count, 5), count]]
    told.clear()
    telling.encode(examples, format, Refusing(), CUTTING, "one")
    assert told == []


def test_a_trimmed_table_finds_what_it_lacks_in_many_tokens(monkeypatch):
    monkeypatch.setattr("adapter_transfer.backbones.vocabulary._TOKENS_AT_ONCE", 3)
    kept = keep_tokens(np.array([5, 7]), num_rows=10, padding_id=1)
    assert kept.covers(np.array([[5, 7, 0], [7, 7, 7]], dtype=np.int32))
    assert not kept.covers(np.array([7, 7, 7, 7, 6], dtype=np.int32))
    with pytest.raises(DataError, match=r"4 tokens are not among .* \(ids -1, 6, 9, 10\)"):
        kept.renumber(np.array([5, 10, 7, -1, 6, 9, 9, 10], dtype=np.int32))
