"""Token types reach a BERT body, in training and in evaluation, and no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from adapter_transfer.methods.attach import AdapterPart, Assembly, assemble, with_flexible_heads
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.encoding import encode, take
from adapter_transfer.tasks.formats import EncodedExamples
from adapter_transfer.tasks.task import load_examples
from adapter_transfer.training.batching import collate, pad_token_types
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.runtime import Runtime, make_accelerator
from adapter_transfer.training.steps import accumulate_gradients

CPU = torch.device("cpu")
TASK = TASKS["micro-copa"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Any:
    rows = [row for example in load_examples(TASK, "train", "en").examples for row in example.rows]
    letters = sorted({letter for row in rows for part in row for letter in part})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    path = tmp_path_factory.mktemp("wordpiece") / "vocab.txt"
    path.write_text("\n".join(dict.fromkeys(tokens)), encoding="utf-8")
    return BertTokenizerFast(vocab_file=str(path), do_lower_case=False)


@pytest.fixture(scope="module")
def pairs(tokenizer) -> EncodedExamples:
    return take(encode(load_examples(TASK, "train", "en"), TASK.format, tokenizer, 64), 6)


@pytest.fixture
def model(tokenizer) -> Any:
    """A small BERT of random weights with an adapter and a head."""
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.3,  # so that inputs make a difference
    )
    torch.manual_seed(5)
    made = with_flexible_heads(BertModel(config, add_pooling_layer=False).eval())
    method = METHODS["seq_bn"]
    assemble(
        made,
        Assembly(
            method=method,
            settings=method.parse_settings({"reduction_factor": 4}).model_dump(),
            head="micro-copa",
            format=TASK.format,
            init_seed=7,
            adapters=(AdapterPart("micro-copa", trains=True),),
        ),
    )
    return made


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime(make_accelerator("cpu", "fp32"), pad_id=0)


def test_scores_equal_a_direct_call_of_the_library_on_whole_text(model, pairs, runtime, tokenizer):
    examples = load_examples(TASK, "train", "en").examples[:6]
    rows = [row for example in examples for row in example.rows]
    inputs = tokenizer(
        *map(list, zip(*rows, strict=True)), padding=True, truncation=True, max_length=64, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = model.bert(**inputs)[0][:, 0]
        expected = torch.nn.Sequential.forward(model.heads["micro-copa"], hidden)
        without = model.bert(inputs["input_ids"], inputs["attention_mask"])[0][:, 0]
    scores = predict(model, "micro-copa", pairs, runtime)
    np.testing.assert_allclose(scores, expected.numpy(), atol=2e-6)
    # Not because types make no difference.
    assert (hidden - without).abs().max() > 1e-3
    blind = predict(model, "micro-copa", replace(pairs, token_types=np.zeros_like(pairs.token_types)), runtime)
    assert np.abs(blind - scores).max() > 1e-4
    # None is as zeros.
    np.testing.assert_array_equal(predict(model, "micro-copa", replace(pairs, token_types=None), runtime), blind)


def test_they_are_padded_beside_their_tokens(pairs):
    rows = np.arange(len(pairs.row_lengths))
    batch = collate(pairs, np.arange(6), 0, CPU)
    assert batch.token_types.shape == batch.input_ids.shape
    assert batch.token_types.dtype == torch.int64
    for row in rows:
        length = int(pairs.row_lengths[row])
        assert batch.token_types[row, :length].tolist() == pairs.row_types(row).tolist()
        assert not batch.token_types[row, length:].any()
    assert pad_token_types(replace(pairs, token_types=None), rows, CPU) is None


def test_a_training_step_sees_them(model, pairs, runtime):
    def gradients(examples: EncodedExamples) -> torch.Tensor:
        model.zero_grad()
        accumulate_gradients(model, "micro-copa", [collate(examples, np.arange(6), 0, CPU)], 6, runtime)
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])

    model.train()
    types = model.bert.embeddings.token_type_embeddings.weight
    seen = gradients(pairs)
    assert (gradients(replace(pairs, token_types=None)) - seen).abs().max() > 1e-4
    with torch.no_grad():
        types[1] = types[0]
    torch.testing.assert_close(gradients(pairs), gradients(replace(pairs, token_types=None)), rtol=0, atol=0)


def test_a_body_of_one_type_is_not_told_of_more(make_bench, encoded):
    # RoBERTa's kin with a tokenizer of one's own: type 1 would be outside its table of one row.
    bench, plain = make_bench("seq_bn"), encoded("validation", 4)
    assert bench.model.config.type_vocab_size == 1
    told = replace(plain, token_types=np.ones(len(plain.tokens), np.uint8))
    scores = [predict(bench.model, "micro-copa", data, bench.runtime) for data in (plain, told)]
    np.testing.assert_array_equal(*scores)
