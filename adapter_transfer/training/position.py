"""How far a training is, and how that is put into a checkpoint and taken out again."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from adapter_transfer.training import checkpoint
from adapter_transfer.training.optimizers import names_of, place_state

logger = logging.getLogger(__name__)

Parameters = Mapping[str, torch.nn.Parameter]


@dataclass(frozen=True)
class TrainingPosition:
    """Everything about a training's progress that is not a tensor; stored in checkpoints as it stands.

    Attributes:
        step: optimizer steps done.
        best_step: step of the best validation so far; 0 before the first.
        validations_since_best: for early stopping.
        train_loss_first, train_loss_last: mean loss of the first and of the last window of steps (see `log_window`).
        open_losses: of the steps done in the window that is not full yet.
        num_skipped_steps: steps whose gradients were not finite in fp16, so that nothing was updated.
        num_tokens: that were trained on, over all steps; `num_padded_tokens` counts what rows were padded with, too.
        seconds: spent in training so far, over all attempts.
    """

    step: int = 0
    best_step: int = 0
    best_score: float = -1.0
    best_loss: float = math.inf
    validations_since_best: int = 0
    train_loss_first: float | None = None
    train_loss_last: float | None = None
    open_losses: tuple[float, ...] = ()
    stopped_early: bool = False
    num_skipped_steps: int = 0
    num_tokens: int = 0
    num_padded_tokens: int = 0
    seconds: float = 0.0


def save(
    progress_dir: Path,
    position: TrainingPosition,
    parameters: Parameters,
    best: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> None:
    """Writes a checkpoint of what trains: its weights, the best ones so far, optimizer, loss scaling and the position.

    There is no generator to save: random streams are keyed (see `streams`).
    """
    moments, scalars = checkpoint.flatten_optimizer(optimizer, names_of(optimizer, parameters))
    tensors = {f"weights/{name}": parameter.detach() for name, parameter in parameters.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in best.items()} | moments
    # JSON has no infinity; before the first validation there is no best loss.
    changes = {"open_losses": list(position.open_losses)}
    fields = asdict(position) | changes | {"best_loss": None if math.isinf(position.best_loss) else position.best_loss}
    state = {"position": fields, "optimizer": scalars, "scaler": scaler.state_dict()}
    checkpoint.save_checkpoint(progress_dir, position.step, tensors=tensors, state=state)


def resume(
    progress_dir: Path, parameters: Parameters, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler
) -> tuple[TrainingPosition, dict[str, torch.Tensor]]:
    """Restores the newest good checkpoint into parameters, optimizer and loss scaling.

    Returns:
        Where the training goes on and the best weights so far; the start and nothing, where there is no checkpoint.

    Raises:
        StoreError: if the checkpoint is of another model or optimizer.
    """
    found = checkpoint.load_latest(progress_dir, expected_tensors=[f"weights/{name}" for name in parameters])
    if found is None:
        return TrainingPosition(), {}
    fields: Any = found.state["position"]
    if "best_accuracy" in fields:  # as it was called when there was accuracy only
        fields["best_score"] = fields.pop("best_accuracy")
    best_loss = math.inf if fields["best_loss"] is None else fields["best_loss"]
    scalars: Any = found.state["optimizer"]
    names = names_of(optimizer, parameters)
    checkpoint.restore_optimizer(optimizer, names, found.tensors, scalars, place=place_state)
    if scaler.is_enabled():
        scaler_state: Any = found.state["scaler"]
        scaler.load_state_dict(scaler_state)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(found.tensors[f"weights/{name}"])
    logger.info("resumed at step %d", found.step)
    best = {name: found.tensors[f"best/{name}"] for name in parameters if f"best/{name}" in found.tensors}
    changes = {"best_loss": best_loss, "open_losses": tuple(fields["open_losses"])}
    return TrainingPosition(**(fields | changes)), best
