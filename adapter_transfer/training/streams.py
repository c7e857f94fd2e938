"""Keyed random streams: every draw is named by what it is for, so nothing depends on what was drawn before.

A run that resumes, cuts its steps differently or trains beside others sees the same data order and initialisation,
and there is no generator state to save.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from adapter_transfer.canonical import canonical_json


def stream_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose of one run seed."""
    return int.from_bytes(hashlib.sha256(canonical_json([seed, *purpose])).digest()[:8], "big") >> 1


@lru_cache(maxsize=32)
def example_order(seed: int, purpose: str, epoch: int, num_examples: int) -> npt.NDArray[np.int64]:
    """The order of examples in an epoch: (num_examples,) indices, read-only (asked for again at every step).

    Each example gets a key of its own, (seed, purpose, epoch, example), and the order sorts them: the relative order of
    two examples is the same however many others there are.
    """
    # Counter-based: the i-th draw depends on the key and i alone.
    generator = np.random.Generator(np.random.Philox(key=stream_seed(seed, purpose, "order", epoch)))
    order = np.argsort(generator.random(num_examples), kind="stable")
    order.flags.writeable = False
    return order


def rounding_seed(seed: int, purpose: str, parameter: str, step: int) -> int:
    """Of the noise that a weight kept in bf16 is rounded with after one update (see `rounding`)."""
    return stream_seed(seed, purpose, "rounding", parameter, step)


def dropout_seed(seed: int, purpose: str, step: int, first_example: int) -> int:
    """Of the dropout of one micro-batch, which torch's own generators draw.

    Kernels draw dropout by position in the batch, which cannot be keyed by example; keyed by step and first example,
    it is at least the same whenever the step is cut the same way.
    """
    return stream_seed(seed, purpose, "dropout", step, first_example)
