"""Texts become tokens: as the tokenizer gives them, cut where they are too long, refused where they are not legible."""

from __future__ import annotations

import numpy as np
import pytest

from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import DataError
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.encoding import concatenate, encode, require_legible, take
from adapter_transfer.tasks.task import load_examples


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
    encoded = encode(load_examples(task, "test", "qc"), task.format, tokenizer, 96)
    require_legible(encoded, tokenizer.unk_token_id, "micro-copa/test/qc")
    with pytest.raises(DataError, match=r"micro-copa/test/qc: .* are unknown"):
        require_legible(encoded, int(np.bincount(encoded.tokens).argmax()), "micro-copa/test/qc")
    row = {"premise": "It rained.", "choice1": "It got wet.", "choice2": "It got wet.", "question": "effect"}
    alike = encode(load_examples(micro_copa({**row, "label": 1, "idx": 7}), "test", "en"), task.format, tokenizer, 96)
    with pytest.raises(DataError, match=r"100.0% of the examples have choices that it encodes alike"):
        require_legible(alike, -1, "alike")
