"""Counting tokens without the model: the file's counts are the tokenizer's own, the rules are what they say."""

from __future__ import annotations

import pytest

from adapter_transfer.backbones.at_hand import tokenizer_file
from adapter_transfer.backbones.token_counting import FileCounter, RuleCounter
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DataError

ROWS = [("the cat sat on the mat", "it slept"), ("rain", None), ("a  b\u3000c", "x" * 400)]


def counter():
    path = tokenizer_file(BACKBONES["nano"])
    assert path is not None
    return FileCounter(path)


def test_the_file_counts_as_the_tokenizer_does():
    tokenizer = load_tokenizer(BACKBONES["nano"])
    expected = [len(tokenizer(*[part for part in row if part is not None])["input_ids"]) for row in ROWS]
    assert counter().row_lengths(ROWS).tolist() == expected


def test_texts_and_words_make_up_rows():
    found = counter()
    for is_pair, (first, second) in ((True, ROWS[0]), (True, ROWS[2])):
        lengths = found.text_lengths([first, second])
        assert found.row_lengths([(first, second)]) == lengths.sum() + found.num_special(is_pair=is_pair)
    sentences = [["the", "cat", "unbelievablyunlikely"], ["rain"]]
    tokenizer = load_tokenizer(BACKBONES["nano"])
    for words, sentence in zip(found.word_lengths(sentences), sentences, strict=True):
        ids = tokenizer(sentence, is_split_into_words=True)
        assert words.tolist() == [ids.word_ids().count(index) for index in range(len(sentence))]
        assert words.sum() + found.num_special(is_pair=False) == len(ids["input_ids"])


def test_kept_tokens_are_those_of_the_words_and_the_special_ones():
    tokenizer = load_tokenizer(BACKBONES["nano"])
    texts = ["the cat sat on the mat", "rain  fell", "the rain"]
    ids = {token for text in texts for token in tokenizer(text, add_special_tokens=False)["input_ids"]}
    assert counter().num_kept(texts) == len(ids | {0, 1, 2, 3, *tokenizer.all_special_ids})


def test_the_rule_takes_a_token_for_four_bytes_and_one_for_every_word():
    # 22 and 8 bytes in a pair with four special tokens; 4 bytes alone with two; 18 bytes of three scripts.
    rows = [ROWS[0], ROWS[1], ("狗叫了。ขข", None)]
    assert RuleCounter().row_lengths(rows).tolist() == [6 + 2 + 4, 1 + 2, 5 + 2]
    assert RuleCounter().num_kept(["a b, b c.", "c d"]) == 4 + 5


def test_a_file_that_is_no_tokenizer_is_told(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(DataError, match=r"tokenizer\.json is no tokenizer"):
        FileCounter(path)
