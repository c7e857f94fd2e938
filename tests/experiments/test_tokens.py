"""Tokens at planning are those that training and evaluation will pad, where the tokenizer is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.experiments import tokens
from adapter_transfer.experiments.data import examples_of
from adapter_transfer.experiments.kept import kept_for_run
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.row_lengths import ContextRows, WholeRows
from adapter_transfer.experiments.tokens import SplitTokens, TokenTables, evaluation_tokens, training_tokens
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.encoding import concatenate, encode
from adapter_transfer.tasks.formats import Cutting, Example
from adapter_transfer.training.batching import micro_batches
from adapter_transfer.training.cutting import cut_by_tokens

MAX_LENGTH, BATCH_SIZE, BUDGET = 18, 8, 200


@pytest.fixture
def spec(small):
    return next(run.spec for run in make_plan(small("methods=[full]")).runs if run.spec.phase == "target")


def encoded(ref, max_length=MAX_LENGTH):
    tokenizer = load_tokenizer(BACKBONES["nano"])
    return encode(examples_of(ref, None), TASKS[ref.task].format, tokenizer, max_length)


def split_of(lengths, num_examples):
    return SplitTokens(WholeRows(lengths), num_examples, "tokenizer" if num_examples == len(lengths) else "sample")


def test_rows_are_as_long_as_they_are_encoded(spec):
    for ref in spec.data:
        split = TokenTables().split(spec, ref)
        assert split.basis == "tokenizer"
        found = split.cut(Cutting(10_000))
        assert found.rows.lengths.tolist() == encoded(ref, 10_000).row_lengths.tolist()
        assert found.longest == found.rows.lengths.max()
        assert split.cut(Cutting(MAX_LENGTH)).longest == MAX_LENGTH


def test_an_epoch_is_padded_as_training_pads_it(spec):
    split = TokenTables().split(spec, spec.data[0])
    rows = encoded(spec.data[0])
    order = np.random.default_rng(0).permutation(len(rows))
    steps = [order[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]
    cuts = [cut for step in steps for cut in micro_batches(rows, step, BUDGET)]
    lengths = rows.row_lengths.reshape(len(rows), -1)
    found = training_tokens(split.cut(Cutting(MAX_LENGTH)), batch_size=BATCH_SIZE, token_budget=BUDGET)
    assert found.num == sum(lengths[cut].size * lengths[cut].max() for cut in cuts)
    assert found.squares == sum(lengths[cut].size * lengths[cut].max() ** 2 for cut in cuts)
    assert len(cuts) > len(steps), "the budget cuts steps here"


def test_an_evaluation_is_padded_as_it_is_run(spec):
    split = TokenTables().split(spec, spec.data[0]).cut(Cutting(MAX_LENGTH))
    both = evaluation_tokens([split, split], token_budget=BUDGET)
    lengths = concatenate([encoded(spec.data[0])] * 2).row_lengths
    cuts = cut_by_tokens(lengths, 1, BUDGET)
    assert both.num == sum(len(cut) * lengths[cut].max() for cut in cuts)


def test_steps_are_cut_where_training_cuts_them():
    lengths = np.random.default_rng(1).integers(4, 40, size=(60, 2))
    split = split_of(lengths, 60)
    longest = lengths.max(axis=1)
    for budget in range(80, 400, 4):  # some of which a group fills to the last token
        found = training_tokens(split.cut(Cutting(64)), batch_size=60, token_budget=budget)
        assert found.num == sum(2 * len(cut) * longest[cut].max() for cut in cut_by_tokens(longest, 2, budget))


def test_a_large_split_is_sampled_evenly_and_its_longest_row_is_found(spec, monkeypatch):
    exact = TokenTables().split(spec, spec.data[0]).cut(Cutting(64))
    monkeypatch.setattr(tokens, "MOST_ROWS", 100)
    sampled = TokenTables().split(spec, spec.data[0]).cut(Cutting(64))
    assert sampled.basis == "sample"
    assert 40 <= len(sampled.rows.num_rows) <= 50
    assert (sampled.num_examples, sampled.longest) == (exact.num_examples, exact.longest)
    one, other = (training_tokens(each, batch_size=8, token_budget=4096).num for each in (exact, sampled))
    assert other == pytest.approx(one, rel=0.05)


def test_only_the_examples_that_are_trained_on_count(spec):
    assert TokenTables().split(spec, spec.data[0], 24).num_examples == 24


def test_kept_tokens_are_those_that_the_run_will_keep(spec, tmp_path):
    assert spec.vocabulary, "full fine-tuning trims by default"
    kept = kept_for_run(spec, load_tokenizer(BACKBONES["nano"]), cache_dir=tmp_path, data_dir=None)
    rows = BACKBONES["nano"].known_fields()["vocab_size"]
    found = TokenTables().num_kept(spec, spec.vocabulary)
    assert found == (rows if kept is None else len(kept))


def test_equal_tokenizers_count_once(small):
    specs = {run.spec.backbone: run.spec for run in make_plan(small("backbones=[nano, micro]", "methods=[full]")).runs}
    tables = TokenTables()
    one, other = (tables.split(spec, specs["nano"].data[0]) for spec in specs.values())
    assert one is other


def test_sums_of_a_sample_are_scaled():
    whole, half = (split_of(np.array([[4, 6], [5, 5]]), num) for num in (2, 4))
    settings = {"batch_size": 1, "token_budget": 64}
    assert training_tokens(whole.cut(Cutting(8)), **settings).num == 12 + 10
    assert training_tokens(half.cut(Cutting(8)), **settings).num == 44
    found = evaluation_tokens([half.cut(Cutting(5))], token_budget=64)
    assert (found.num, found.mean_length) == (2 * 4 * 5, 5)
    assert (whole.cut(Cutting(5)).num_rows, half.cut(Cutting(5)).num_rows) == (4, 8)


def test_steps_of_windows_are_cut_as_training_cuts_them():
    rows = ContextRows(np.full(30, 5), np.random.default_rng(2).integers(3, 90, size=30), 4)
    cut = SplitTokens(rows, 30, "tokenizer").cut(Cutting(32, 8))
    longest, num_rows = cut.rows.longest_rows, cut.rows.num_rows
    assert cut.most_rows[0] == num_rows.max() > 2 and set(longest) > {32}
    for budget in (64, 128, 500):
        expected = sum(num_rows[c].sum() * longest[c].max() for c in cut_by_tokens(longest, num_rows, budget))
        assert training_tokens(cut, batch_size=30, token_budget=budget).num == expected


class Counting(Sequence):
    """Many examples, made when they are asked for, which is counted."""

    def __init__(self, num):
        self.num, self.read = num, 0

    def __len__(self):
        return self.num

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(self.num))]
        assert 0 <= index < self.num
        self.read += 1
        return Example(str(index), ((f"where is w{index % 999}", "here " * (index % 7)),), 0)


def test_of_a_million_examples_a_few_are_read(spec, monkeypatch):
    examples = Counting(1_100_000)
    monkeypatch.setattr(tokens, "examples_of", lambda *_: SimpleNamespace(examples=examples))
    split = TokenTables().split(spec, spec.data[0])
    assert (split.num_examples, split.basis, split.is_seen_whole) == (1_100_000, "sample", False)
    assert len(split.rows) <= tokens.MOST_ROWS
    assert examples.read <= tokens.MOST_ROWS + tokens.MOST_EXAMPLES + 1
    # Nobody knows how long the others are.
    assert split.cut(Cutting(128)).rows.lengths.max() < split.cut(Cutting(128)).longest == 128
    examples.read = 0
    TokenTables().num_kept(spec, spec.data[:1])
    assert examples.read == tokens.MOST_EXAMPLES
    assert not tokens.is_seen_whole(replace(spec.data[0], num_examples=1_100_000))
