"""How fast this device multiplies matrices: an upper bound of the rate that training reaches."""

from __future__ import annotations

import statistics
import time

import torch

from adapter_transfer.backbones.precision import compute_dtype
from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.experiments.rates import Rates
from adapter_transfer.training.runtime import chosen_device, require_device
from adapter_transfer.training.settings import DeviceRequest

_TOKENS, _HIDDEN, _INNER = 2048, 1024, 4096
"""A micro-batch meets the feed-forward layer of XLM-R large."""
_REPEATS = 5
_LEAST_SECONDS = 0.05


def measured_rates(precisions: set[Precision], device: DeviceRequest = "auto") -> Rates:
    """Rates of matrix products in these precisions, each the median of a few.

    Raises:
        DeviceError: if the device cannot be used.
    """
    require_device(device)
    chosen = chosen_device(device)
    dtypes = {precision: compute_dtype(precision, chosen) for precision in precisions}
    by_dtype = {dtype: _rate(dtype, chosen) for dtype in set(dtypes.values())}
    where = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else "the CPU"
    return Rates(
        f"at the rate of plain matrix products on {where}, measured now; training takes longer",
        by_precision={precision: by_dtype[dtype] for precision, dtype in dtypes.items()},
    )


def _rate(dtype: torch.dtype, device: torch.device) -> float:
    inputs = torch.randn(_TOKENS, _HIDDEN, device=device, dtype=dtype)
    weights = torch.randn(_HIDDEN, _INNER, device=device, dtype=dtype)
    num_products = 1
    while (seconds := _seconds(inputs, weights, num_products)) < _LEAST_SECONDS:
        num_products *= 4
    times = [seconds, *(_seconds(inputs, weights, num_products) for _ in range(_REPEATS - 1))]
    return num_products * 2 * _TOKENS * _HIDDEN * _INNER / statistics.median(times)


def _seconds(inputs: torch.Tensor, weights: torch.Tensor, num_products: int) -> float:
    _wait(inputs.device)
    started = time.perf_counter()
    for _ in range(num_products):
        inputs @ weights
    _wait(inputs.device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
