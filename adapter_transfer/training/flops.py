"""How much arithmetic a phase is, in floating-point operations (a multiplication and an addition are two). No torch.

The count of Kaplan et al. 2020 (arXiv 2001.08361, section 2.1), taken operation by operation: forward, two for each
weight of a product and token, and 4·T·D a token and layer for the attention; backward, as much again for each
weight's gradient and for each input's, where they are asked for; and once more what is computed a second time. A lookup
in a table is none.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from adapter_transfer.backbones.lifetimes import recomputed
from adapter_transfer.backbones.tape import Operation
from adapter_transfer.training.memory import Workload, record_pass


def evaluation_flops(workload: Workload, *, num_tokens: int, mean_length: float) -> float:
    """FLOPs of a forward pass over `num_tokens` padded tokens in rows of `mean_length`."""
    operations, _, per_token = _of_one_row(replace(workload, is_training=False), mean_length)
    return num_tokens * per_token * sum(operation.flops for operation in operations)


def training_flops(workload: Workload, *, num_tokens: int, mean_length: float) -> float:
    """FLOPs of training on `num_tokens` padded tokens (each epoch counts) in rows of `mean_length`."""
    operations, layers, per_token = _of_one_row(replace(workload, is_training=True), mean_length)
    flops = sum(operation.flops + operation.flops_backward for operation in operations)
    if workload.training.gradient_checkpointing:
        for start, end in pairwise(layers):
            flops += sum(operation.flops for operation in recomputed(operations[start:end]))
    return num_tokens * per_token * flops


def _of_one_row(workload: Workload, mean_length: float) -> tuple[list[Operation], list[int], float]:
    """The operations of one row of about the mean length, where layers begin in them, and one over its tokens."""
    length = max(1, round(mean_length))
    tape, layers = record_pass(replace(workload, rows=1, length=length))
    return tape.operations, layers, 1.0 / length
