"""Stochastic rounding: to a neighbour, right on average, and the same draws for the rows of a trimmed table."""

from __future__ import annotations

import pytest
import torch

from adapter_transfer.training import rounding
from adapter_transfer.training.rounding import round_stochastically


def rounded(values: torch.Tensor, seed: int = 1, ids: torch.Tensor | None = None) -> torch.Tensor:
    target = torch.empty_like(values, dtype=torch.bfloat16)
    round_stochastically(values.clone(), target, seed, ids)
    return target


def test_each_number_goes_to_one_of_its_two_neighbours_and_is_right_on_average() -> None:
    # Between 1 and 2 numbers of bf16 are 1/128 apart; the nearest to all of these but the last is where they start.
    shares = torch.tensor([0.0, 0.03, 0.25, 0.49, 0.9])
    values = ((1 + shares / 128) * torch.tensor([[1.0], [-1.0], [2.0**-20]])).expand(20_000, 3, 5)
    found = rounded(values.contiguous()).double()
    steps = (found / torch.tensor([1.0, -1.0, 2.0**-20])[:, None] - 1) * 128
    assert set(steps.flatten().tolist()) == {0.0, 1.0}
    # Five standard errors of a share of 20,000 draws.
    torch.testing.assert_close(steps.mean(0), shares.double().expand(3, 5), rtol=0, atol=5 * 0.5 / 20_000**0.5)


def test_what_bf16_holds_stays_as_it_is() -> None:
    values = torch.tensor([0.0, -0.0, 1.5, -3e38, 2.0**-130, float("inf"), float("-inf")]).bfloat16()
    assert torch.equal(rounded(values.float()), values)
    # NaN as the CPU and as NVIDIA cards write it, and with the sign.
    nan = torch.tensor([[0x7FC00000, 0x7FFFFFFF], [-0x400000, -1]], dtype=torch.int32).view(torch.float32)
    assert all(rounded(nan, seed).isnan().all() for seed in range(20))


def test_draws_follow_from_the_seed_alone() -> None:
    values = torch.full((3, 200), 1 + 1 / 256)
    assert torch.equal(rounded(values, 7), rounded(values, 7))
    assert not torch.equal(rounded(values, 7), rounded(values, 8))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    rounded(values, 7)
    assert torch.equal(torch.get_rng_state(), before)  # dropout's stream is another


@pytest.mark.parametrize("at_once", [2**22, 7 * 16])
def test_rows_of_a_trimmed_table_draw_what_they_would_in_the_whole_one(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(rounding, "_DRAWN_AT_ONCE", at_once)
    table = torch.randn(100, 16, generator=torch.Generator().manual_seed(0))
    whole = rounded(table, 3, torch.arange(100))
    ids = torch.tensor([0, 1, 2, 3, 30, 31, 62, 97, 100])  # the last is a witness, of which the whole table has none
    trimmed = rounded(torch.cat([table[ids[:-1]], torch.ones(1, 16)]), 3, ids)
    assert torch.equal(trimmed[:-1], whole[ids[:-1]])
    assert not torch.equal(rounded(table[ids[:-1]], 3), whole[ids[:-1]])
