"""Token types: which of a pair's segments a token is of, for tokenizers that tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from transformers import BertTokenizerFast

from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DataError
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.encoding import concatenate, encode, require_legible, take
from adapter_transfer.tasks.task import ExampleSet, load_examples

TASK = TASKS["micro-copa"]


@pytest.fixture(scope="module")
def examples() -> ExampleSet:
    return load_examples(TASK, "train", "en")


@pytest.fixture(scope="module")
def bert_tokenizer(tmp_path_factory, examples) -> Callable[..., Any]:
    """A WordPiece tokenizer of the sandbox's letters."""
    letters = sorted(
        {letter for example in examples.examples for row in example.rows for part in row for letter in part}
    )
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    path = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    path.write_text("\n".join(dict.fromkeys(tokens)), encoding="utf-8")
    return BertTokenizerFast(vocab_file=str(path), do_lower_case=False)


def test_a_tokenizer_that_tells_segments_apart_gives_token_types(examples, bert_tokenizer):
    encoded = encode(examples, TASK.format, bert_tokenizer, 512)
    assert encoded.token_types.dtype == np.uint8
    assert len(encoded.token_types) == len(encoded.tokens)
    rows = [row for example in examples.examples for row in example.rows]
    for index in (0, 1, len(rows) - 1):
        expected = bert_tokenizer(*rows[index])
        assert encoded.row(index).tolist() == expected["input_ids"]
        assert encoded.row_types(index).tolist() == expected["token_type_ids"]
    # Both segments occur in each row, the first one first.
    for index in range(len(rows)):
        assert encoded.row_types(index)[0] == 0
        assert encoded.row_types(index)[-1] == 1
        assert (np.diff(encoded.row_types(index).astype(int)) >= 0).all()


def test_they_are_cut_with_their_tokens(examples, bert_tokenizer):
    encoded = encode(examples, TASK.format, bert_tokenizer, 16)
    assert encoded.num_truncated > 0
    assert encoded.row_lengths.max() == 16
    assert len(encoded.token_types) == len(encoded.tokens)
    assert all(set(encoded.row_types(index).tolist()) == {0, 1} for index in range(len(encoded.row_lengths)))


def test_they_stay_with_their_rows(examples, bert_tokenizer):
    encoded = encode(examples, TASK.format, bert_tokenizer, 512)
    first, last = take(encoded, 3), take(encoded, 5)
    assert len(first.token_types) == len(first.tokens)
    both = concatenate([first, last])
    num_rows = 3 * TASK.format.rows_per_example
    for index in range(5 * TASK.format.rows_per_example):
        np.testing.assert_array_equal(both.row_types(num_rows + index), encoded.row_types(index))
    np.testing.assert_array_equal(both.row_types(0), encoded.row_types(0))


def test_a_tokenizer_that_does_not_tell_gives_none(examples):
    encoded = encode(examples, TASK.format, load_tokenizer(BACKBONES["nano"]), 96)
    assert encoded.token_types is None
    assert take(encoded, 3).token_types is None
    assert concatenate([encoded, encoded]).token_types is None


def test_encoding_restores_to_the_tokenizers_own_output():
    tokenizer = load_tokenizer(BACKBONES["nano"])
    task = TASKS["micro-copa"]
    parts = [encode(load_examples(task, "test", code), task.format, tokenizer, 96) for code in ("en", "qb")]
    pooled = concatenate(parts)
    example = load_examples(task, "test", "qb").examples[3]
    for choice, (first, second) in enumerate(example.rows):
        expected = tokenizer(first, second)["input_ids"]
        assert pooled.row((500 + 3) * 2 + choice).tolist() == expected
    assert pooled.languages[499:501] == ("en", "qb")
    assert pooled.num_truncated == 0
    few = take(pooled, 3)
    assert len(few) == 3
    assert few.row(5).tolist() == pooled.row(5).tolist()


def test_truncation_is_counted():
    tokenizer = load_tokenizer(BACKBONES["nano"])
    task = TASKS["micro-copa"]
    examples = load_examples(task, "test", "en")
    full = encode(examples, task.format, tokenizer, 96)
    cut = encode(examples, task.format, tokenizer, 16)
    assert cut.row_lengths.max() <= 16
    assert cut.num_truncated == int((full.row_lengths > 16).sum()) > 0


def test_a_tokenizer_that_cannot_read_the_text_is_refused(micro_copa):
    tokenizer = load_tokenizer(BACKBONES["nano"])
    task = TASKS["micro-copa"]
    examples = load_examples(task, "test", "qc")
    encoded = encode(examples, task.format, tokenizer, 96)
    require_legible(encoded, examples.examples, tokenizer.unk_token_id, "micro-copa/test/qc")
    with pytest.raises(DataError, match=r"micro-copa/test/qc: .* are unknown"):
        require_legible(encoded, examples.examples, int(np.bincount(encoded.tokens).argmax()), "micro-copa/test/qc")
    # Letters that the sandbox's tokenizer does not know, so that both choices are the same unknown tokens.
    row = {"premise": "It rained.", "choice1": "東東", "choice2": "西西", "question": "effect"}
    examples = load_examples(micro_copa({**row, "label": 1, "idx": 7}), "test", "en")
    alike = encode(examples, task.format, tokenizer, 96)
    with pytest.raises(DataError, match=r"100.0% of the examples have choices that it encodes alike"):
        require_legible(alike, examples.examples, -1, "alike")


def test_choices_that_are_published_alike_are_no_fault_of_the_tokenizer(micro_copa):
    tokenizer, task = load_tokenizer(BACKBONES["nano"]), TASKS["micro-copa"]
    row = {"premise": "It rained.", "choice1": "It got wet.", "choice2": "It got wet.", "question": "effect"}
    examples = load_examples(micro_copa({**row, "label": 1, "idx": 7}), "test", "en")
    require_legible(encode(examples, task.format, tokenizer, 96), examples.examples, -1, "repeated")
