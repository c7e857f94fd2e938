"""One optimizer step: loss, gradients, clipping, update. Nothing here waits for the device or reads a number back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from adapter_transfer.methods.heads import row_logits
from adapter_transfer.training.batching import Batch
from adapter_transfer.training.joint_optimizer import JointOptimizer
from adapter_transfer.training.objectives import summed_loss
from adapter_transfer.training.runtime import Runtime
from adapter_transfer.training.settings import TrainingSettings

_NO_SCALING = torch.amp.GradScaler("cpu", enabled=False)


def learning_rate_at(step: int, num_steps: int, settings: TrainingSettings) -> float:
    """The learning rate of step `step`, counted from 0: linear warm-up, then the schedule, down to 0 at the end."""
    warmup = math.ceil(settings.warmup_share * num_steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, num_steps - warmup)
    factor = {"linear": 1 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress)), "constant": 1.0}
    return settings.learning_rate * factor[settings.schedule]


def batch_loss(model: Any, head: str, batch: Batch) -> torch.Tensor:
    """Cross-entropy summed over the examples of a batch, a scalar."""
    reads_tokens = batch.format.reads_tokens
    logits = row_logits(
        model, head, batch.input_ids, batch.attention_mask, batch.token_types, reads_tokens=reads_tokens
    )
    return summed_loss(logits.float(), batch)


def accumulate_gradients(
    model: Any,
    head: str,
    batches: Iterable[Batch],
    num_examples: int,
    runtime: Runtime,
    scaler: torch.amp.GradScaler = _NO_SCALING,
) -> torch.Tensor:
    """Adds the gradient of the step's mean loss to the parameters and returns that loss (a scalar on the device).

    Each micro-batch is divided by the examples of the *step*, so that cutting it differently changes only rounding.

    Args:
        scaler: multiplies the loss that gradients are taken of; the one returned is not multiplied.
    """
    total: torch.Tensor | None = None
    for batch in batches:
        with runtime.autocast():
            loss = batch_loss(model, head, batch) / num_examples
        runtime.accelerator.backward(scaler.scale(loss))
        total = loss.detach() if total is None else total + loss.detach()
    assert total is not None, "a step without examples"
    return total


def begin_update(optimizer: torch.optim.Optimizer, step: int, learning_rate: float) -> None:
    """Tells an optimizer what comes next, before gradients are made: some weights move while they are."""
    if isinstance(optimizer, JointOptimizer):
        optimizer.begin(step, learning_rate)


def apply_gradients(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[torch.nn.Parameter],
    learning_rate: float,
    max_grad_norm: float | None,
    scaler: torch.amp.GradScaler = _NO_SCALING,
) -> torch.Tensor:
    """Clips, updates and clears; returns the global norm before clipping (a scalar on the device).

    Where fp16 gave a gradient that is not finite, the scaler leaves weights and moments alone and is smaller next time.
    Where weights have moved in the backward pass already, there is nothing left to do.
    """
    if isinstance(optimizer, JointOptimizer) and optimizer.updates_in_backward:
        return optimizer.norm()
    scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(parameters, math.inf if max_grad_norm is None else max_grad_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return norm


def num_updates(optimizer: torch.optim.Optimizer) -> int:
    """Updates that were made: the steps without those that a scaler has skipped. Waits for the device."""
    return max((int(state["step"]) for state in optimizer.state.values()), default=0)
