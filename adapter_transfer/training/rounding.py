"""Stochastic rounding of fp32 values to bf16, drawn from a keyed stream."""

from __future__ import annotations

from collections.abc import Iterator

import torch

_DRAWN_AT_ONCE = 2**22
"""Entries whose noise exists at the same time, at most (a row more, where a row is longer): 16 MB of it."""

_TABLE_ROWS_AT_ONCE = 4096
"""Rows of a table that draw together, at most: all of a block's noise is drawn, however few of its rows there are."""

_DROPPED_BITS = 16
"""A bf16 number is the upper half of an fp32 number."""


def round_stochastically(
    values: torch.Tensor, target: torch.Tensor, seed: int, ids: torch.Tensor | None = None
) -> None:
    """Writes `values` to `target`, each rounded to one of its two neighbours so that it is right on average.

    The upper one is taken with the probability that is the share of the way to it (Gupta et al. 2015, arXiv 1502.02551,
    section 3): noise is added below the last bit that stays, then what is below is dropped. A number of bf16 stays as
    it is, and NaN stays NaN. The nearest number would mostly be the old one: an update that is smaller than 1/512 of
    its weight is lost.

    Args:
        values: fp32, contiguous; overwritten.
        target: bf16, of the same shape.
        seed: of the noise; the same values and seed give the same result on a device.
        ids: (R,) for a table of which only some rows are here: which rows of the whole one they are, ascending. Each
            row then draws what it would draw in the whole table.
    """
    assert values.dtype == torch.float32 and target.dtype == torch.bfloat16, (values.dtype, target.dtype)
    width = values.shape[1:].numel()
    rows = values.view(-1, width).view(torch.int32)
    generator = torch.Generator(values.device).manual_seed(seed)
    for start, end, noise in _noise(rows, generator, ids):
        # NVIDIA's NaN is 0x7fffffff: with noise it would carry over to -0, and nobody would see that training broke.
        block = rows[start:end]
        noise.masked_fill_(block.view(torch.float32).isnan(), 0)
        block.add_(noise).bitwise_and_(-(1 << _DROPPED_BITS))
    target.copy_(values)


def _noise(
    rows: torch.Tensor, generator: torch.Generator, ids: torch.Tensor | None
) -> Iterator[tuple[int, int, torch.Tensor]]:
    """Where each block of rows begins and ends, and its noise: whole numbers from 0 to 65535, int32."""
    num_rows, width = rows.shape
    at_once = max(1, _DRAWN_AT_ONCE // width)
    if ids is None:
        for start in range(0, num_rows, at_once):
            end = min(start + at_once, num_rows)
            yield start, end, _drawn((end - start, width), generator)
        return
    # Whole blocks of the whole table: on a GPU the draws depend on how many are drawn together.
    at_once = min(at_once, _TABLE_ROWS_AT_ONCE)
    firsts = range(0, int(ids[-1]) + 1, at_once)
    places = torch.searchsorted(ids, torch.tensor([*firsts, firsts[-1] + at_once], device=ids.device)).tolist()
    for first, start, end in zip(firsts, places, places[1:], strict=False):
        noise = _drawn((at_once, width), generator)
        yield start, end, noise[(ids[start:end] - first).to(noise.device)]


def _drawn(shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    return torch.randint(0, 1 << _DROPPED_BITS, shape, generator=generator, dtype=torch.int32, device=generator.device)
