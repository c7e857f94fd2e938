"""Losses of spans and tags in torch: those of NumPy, however a step is cut and rows are padded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from adapter_transfer.backbones.tokenizers import train_tokenizer
from adapter_transfer.tasks.choice_formats import Classification, MultipleChoice
from adapter_transfer.tasks.formats import NO_LABEL, Cutting, EncodedExamples, Example
from adapter_transfer.tasks.span_format import SpanExtraction
from adapter_transfer.tasks.tagging_format import Tagging
from adapter_transfer.training.batching import collate, count_tokens, micro_batches
from adapter_transfer.training.objectives import summed_loss

CPU = torch.device("cpu")
CONTEXT = "The cat sat on the red mat while a dog slept under the old blue table and the bird sang."
ROWS = {
    "span": [("Who slept?", CONTEXT), ("Who sat on the red mat?", CONTEXT[:40]), ("Who?", "The bird."), ("?", CONTEXT)],
    "tagging": [("the cat sat on the red mat while a dog slept", None), ("a bird", None), ("the old cat", None)],
    "classification": [("The cat sat.", "A dog slept."), ("The bird sang.", "The old mat"), ("A cat", "a dog")],
}
LABELS: dict[str, list[Any]] = {
    "span": [(("a dog", CONTEXT.index("a dog")),), (("The cat", 0),), (), (("sang", CONTEXT.index("sang")),)],
    "tagging": [tuple("DNVPDANPDNV"), ("D", "N"), ("D", "A", "N")],
    "classification": [2, 0, 1],
}
FORMATS = {
    "span": SpanExtraction(has_unanswerable=True),
    "tagging": Tagging(tuple("ADNPV")),
    "classification": Classification(("no", "yes", "perhaps")),
}
each_format = pytest.mark.parametrize("name", [*FORMATS, "multiple_choice"])


@pytest.fixture(scope="module")
def sets() -> dict[str, EncodedExamples]:
    tokenizer = train_tokenizer([CONTEXT, "Who? What? the a"] * 4, 120)
    made = {}
    for name, format in FORMATS.items():
        pairs = zip(ROWS[name], LABELS[name], strict=True)
        examples = [Example(str(n), (row,), label) for n, (row, label) in enumerate(pairs)]
        made[name] = format.encode(examples, "en", tokenizer, Cutting(20 if name != "classification" else 64, 4))
    choices = [Example(str(n), tuple(ROWS["classification"][n:] + ROWS["classification"][:n]), n) for n in range(3)]
    made["multiple_choice"] = MultipleChoice(3).encode(choices, "en", tokenizer, Cutting(64))
    return made


def numbers(encoded: EncodedExamples, seed: int = 1) -> np.ndarray:
    """Of every row, or every token of it, as `predict` gives them."""
    size = len(encoded.tokens) if encoded.format.reads_tokens else len(encoded.row_lengths)
    return 2 * np.random.default_rng(seed).normal(size=(size, encoded.format.logits_per_row)).astype(np.float32)


def of_batch(encoded: EncodedExamples, logits: np.ndarray, examples: np.ndarray) -> torch.Tensor:
    """The numbers of a batch as a head gives them; where there is padding, enormous ones."""
    rows = encoded.rows_of(examples)
    if not encoded.format.reads_tokens:
        return torch.from_numpy(logits[rows])
    padded = np.full((len(rows), int(encoded.row_lengths[rows].max()), logits.shape[1]), 1e4, dtype=np.float32)
    for index, row in enumerate(rows):
        padded[index, : encoded.row_lengths[row]] = logits[encoded.offsets[row] : encoded.offsets[row + 1]]
    return torch.from_numpy(padded)


def loss_of(encoded: EncodedExamples, logits: np.ndarray, cuts: list[np.ndarray]) -> float:
    batches = [(collate(encoded, cut, 1, CPU), cut) for cut in cuts]
    return sum(float(summed_loss(of_batch(encoded, logits, cut), batch)) for batch, cut in batches)


@each_format
def test_torch_and_numpy_agree(sets, name):
    encoded = sets[name]
    logits, everything = numbers(encoded), np.arange(len(encoded))
    if encoded.format.rows_per_example is None:
        assert encoded.num_rows.max() > encoded.num_rows.min() == 1
    expected = encoded.format.score(encoded, logits).loss * len(encoded)
    assert loss_of(encoded, logits, [everything]) == pytest.approx(expected, rel=1e-5)


@each_format
@pytest.mark.parametrize("budget", [1, 40, 100, 10_000])
def test_the_loss_of_a_step_does_not_depend_on_how_it_is_cut(sets, name, budget):
    encoded = sets[name]
    logits, order = numbers(encoded), np.array([2, 0, 1])
    cuts = micro_batches(encoded, order, budget)
    assert sorted(np.concatenate(cuts).tolist()) == [0, 1, 2]
    assert (len(cuts) == 3) == (budget == 1) or budget in (40, 100)
    one_by_one = sum(loss_of(encoded, logits, [np.array([example])]) for example in order)
    assert loss_of(encoded, logits, cuts) == pytest.approx(one_by_one, rel=1e-5)


@each_format
def test_gradients_are_finite_and_none_goes_to_padding_or_unlabelled_tokens(sets, name):
    encoded = sets[name]
    examples = np.arange(3)
    batch = collate(encoded, examples, 1, CPU)
    logits = of_batch(encoded, numbers(encoded), examples).requires_grad_()
    summed_loss(logits, batch).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad.abs().sum(-1) > 0).any()
    if encoded.format.reads_tokens:
        assert not logits.grad[batch.attention_mask == 0].any()
        assert (batch.attention_mask == 0).any()
    if name == "tagging":
        assert not logits.grad[batch.labels == NO_LABEL].any()
        assert logits.grad[batch.labels != NO_LABEL].abs().sum(-1).min() > 0


def test_spans_by_hand(sets):
    encoded = sets["span"]
    logits = np.zeros((len(encoded.tokens), 2), dtype=np.float32)
    lengths = np.log(encoded.row_lengths)
    bounds = encoded.first_rows
    expected = sum(lengths[bounds[n] : bounds[n + 1]].mean() for n in range(4))
    assert loss_of(encoded, logits, [np.arange(4)]) == pytest.approx(expected, rel=1e-6)
    # Half of a question's loss is its first token's.
    only = int(np.flatnonzero(encoded.num_rows == 1)[0])
    row = bounds[only]
    logits[encoded.offsets[row] + encoded.labels[row, 0], 0] = 50
    assert loss_of(encoded, logits, [np.arange(4)]) == pytest.approx(expected - lengths[row] / 2, rel=1e-6)


def test_tags_by_hand(sets):
    encoded = sets["tagging"]
    logits = np.zeros((len(encoded.tokens), 5), dtype=np.float32)
    # Each sentence counts once, whatever its number of words.
    assert loss_of(encoded, logits, [np.arange(3)]) == pytest.approx(3 * np.log(5), rel=1e-6)
    first = int(np.flatnonzero(encoded.labels >= 0)[0])
    logits[first, encoded.labels[first]] = 50
    assert loss_of(encoded, logits, [np.arange(3)]) == pytest.approx((3 - 1 / 11) * np.log(5), rel=1e-6)


def test_unknown_tags_count_for_nothing(sets):
    encoded = sets["tagging"]
    known, few = encoded.labels, Tagging(tuple("ADN"))
    index = {0: 0, 1: 1, 2: 2, 3: -1, 4: -1, NO_LABEL: NO_LABEL}
    lacking = replace(encoded, labels=np.array([index[label] for label in known.tolist()]), format=few)
    logits = numbers(lacking)
    expected = few.score(lacking, logits).loss * 3
    assert loss_of(lacking, logits, [np.arange(3)]) == pytest.approx(expected, rel=1e-5)
    batch = collate(lacking, np.arange(3), 1, CPU)
    assert batch.weights.view(-1)[batch.labels.view(-1) == NO_LABEL].sum() == 0
    assert batch.weights.sum() == pytest.approx(3)


@each_format
def test_tokens_are_counted_with_every_window(sets, name):
    encoded = sets[name]
    cuts = [np.array([1, 0]), np.array([2])]
    rows = [encoded.rows_of(cut) for cut in cuts]
    real, padded = count_tokens(encoded, cuts)
    assert real == sum(int(encoded.row_lengths[each].sum()) for each in rows)
    assert padded == sum(collate(encoded, cut, 1, CPU).input_ids.numel() for cut in cuts)
