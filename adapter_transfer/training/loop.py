"""The one training loop: full fine-tuning and every adapter method, intermediate and target, run through `fit`.

It is a function of its inputs and the run seed: data order, dropout and initialisation are keyed streams (see
`streams`), so a run that is cut off goes on from its last checkpoint to bit-identical weights (CPU, same threads).
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adapter_transfer.errors import RunFailedError
from adapter_transfer.methods.recomputation import set_gradient_checkpointing
from adapter_transfer.tasks.formats import EncodedExamples
from adapter_transfer.tasks.metrics import Score, validation_figures
from adapter_transfer.training.batching import collate, count_tokens, micro_batches
from adapter_transfer.training.cutting import Indices
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.history import History
from adapter_transfer.training.joint_optimizer import JointOptimizer
from adapter_transfer.training.mixing import StepDraws
from adapter_transfer.training.optimizers import make_optimizer, release
from adapter_transfer.training.position import TrainingPosition, resume, save
from adapter_transfer.training.runtime import Runtime
from adapter_transfer.training.settings import TrainingSettings
from adapter_transfer.training.steps import (
    accumulate_gradients,
    apply_gradients,
    begin_update,
    learning_rate_at,
    num_updates,
)
from adapter_transfer.training.streams import dropout_seed, rounding_seed

_LOG_EVERY = 10
_MIN_LOSS_SCALE = 1e-4
"""Below it (30 halvings from the start), gradients that are not finite are not so for want of a smaller scale."""


@dataclass(frozen=True)
class Progress:
    """Where a training is, for a display.

    Attributes:
        doing: what is counted where it is no steps, because the training has yet to begin.
    """

    step: int
    num_steps: int
    loss: float | None = None
    validation_score: float | None = None
    doing: str = ""


@dataclass(frozen=True)
class FitTask:
    """One task of a training, its name being that of its head."""

    name: str
    train: EncodedExamples
    validation: EncodedExamples


@dataclass(frozen=True)
class FitInputs:
    """What a training reads.

    Attributes:
        model: with an assembly attached; its trainable parameters are what trains.
        tasks: that it trains on, each with a head of its own; several are a mixture (see `mixing`).
        purpose: names this training's random streams (the task), so that phases of one seed differ.
        undecayed: names of parameters that weight decay leaves alone, whatever their shape.
        table_ids: (R,) which rows of the whole embedding table its rows are, where it trains and is trimmed.
    """

    model: Any
    tasks: tuple[FitTask, ...]
    settings: TrainingSettings
    seed: int
    purpose: str
    runtime: Runtime
    progress_dir: Path
    history_path: Path
    parameters: Mapping[str, torch.nn.Parameter]
    undecayed: frozenset[str] = frozenset()
    table_ids: Indices | None = None
    on_progress: Callable[[Progress], None] = field(default=lambda _: None)

    @cached_property
    def draws(self) -> StepDraws:
        """Which examples each step trains on."""
        names = tuple(task.name for task in self.tasks)
        sizes = tuple(len(task.train) for task in self.tasks)
        return StepDraws(names, sizes, self.settings, self.seed, self.purpose)


def fit(inputs: FitInputs) -> TrainingPosition:
    """Trains; leaves the selected weights in the model and says how it went.

    Resumes from the newest good checkpoint in `progress_dir`, if there is one.

    Raises:
        RunFailedError: when the loss is no longer a number, or fp16 gives no finite gradients.
        StoreError: when a checkpoint cannot be written.
    """
    with _optimizer(inputs) as optimizer:
        position, best = _train(inputs, optimizer)
    if inputs.settings.select == "best":
        with torch.no_grad():
            for name, tensor in best.items():
                inputs.parameters[name].copy_(tensor)
    else:
        position = replace(position, best_step=position.step)
    return position


@contextmanager
def _optimizer(inputs: FitInputs) -> Iterator[torch.optim.Optimizer]:
    """Makes the optimizer, and makes the model train as the settings have it; afterwards the model only evaluates."""
    settings, model = inputs.settings, inputs.model
    word_vectors = model.base_model.get_input_embeddings().weight
    optimizer = make_optimizer(
        inputs.parameters,
        settings,
        inputs.runtime.device,
        inputs.undecayed,
        table=next((name for name, parameter in inputs.parameters.items() if parameter is word_vectors), None),
        table_ids=None if inputs.table_ids is None else torch.from_numpy(inputs.table_ids),
        rounding_seeds=partial(rounding_seed, inputs.seed, inputs.purpose),
    )
    model.train()
    set_gradient_checkpointing(model, settings.gradient_checkpointing)
    try:
        if isinstance(optimizer, JointOptimizer):
            with optimizer.in_backward():
                yield optimizer
        else:
            yield optimizer
    finally:
        set_gradient_checkpointing(model, False)
        model.eval()
        release(optimizer)


def _train(inputs: FitInputs, optimizer: torch.optim.Optimizer) -> tuple[TrainingPosition, dict[str, torch.Tensor]]:
    """Every step that is not done yet; where it ends, and the best weights."""
    settings, runtime, parameters, draws = inputs.settings, inputs.runtime, inputs.parameters, inputs.draws
    scaler = runtime.make_scaler()
    position, best = resume(inputs.progress_dir, parameters, optimizer, scaler)
    history = History(inputs.history_path, resume_after=position.step)
    num_steps = draws.num_steps
    validation_steps = settings.validation_steps(draws.num_examples)
    has_dropout = any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in inputs.model.modules())
    window = log_window(num_steps)
    # Losses of the open window; read back from the device when it closes, and at a checkpoint.
    losses = [torch.tensor(loss, device=runtime.device) for loss in position.open_losses]
    last_save = time.monotonic()
    started = time.monotonic() - position.seconds
    for step in range(position.step, num_steps):
        if position.stopped_early:
            break
        task, examples = inputs.tasks[draws.tasks[step]], draws.examples(step)
        cuts = _cuts_of_step(task, examples, inputs)
        batches = (
            collate(task.train, cut, runtime.pad_id, runtime.device)
            for cut in _seeding(cuts, step, has_dropout, inputs)
        )
        rate = learning_rate_at(step, num_steps, settings)
        begin_update(optimizer, step, rate)
        loss = accumulate_gradients(inputs.model, task.name, batches, len(examples), runtime, scaler)
        norm = apply_gradients(optimizer, list(parameters.values()), rate, settings.max_grad_norm, scaler)
        losses.append(loss)
        position = _count_step(position, task, cuts, time.monotonic() - started)
        if step + 1 in validation_steps:
            position, best = _validate(inputs, history, position, best, num_steps)
        is_last = step + 1 == num_steps
        if len(losses) == window or is_last or position.stopped_early:
            position = _count_skipped(position, optimizer, scaler, num_steps)
            position = _log(inputs, history, position, losses, norm, rate, num_steps)
            losses = []
        is_due = time.monotonic() - last_save >= runtime.checkpoint_seconds
        if not is_last and (is_due or (step + 1) % runtime.checkpoint_steps == 0):
            position = replace(position, open_losses=tuple(_read(losses, position.step, num_steps)))
            save(inputs.progress_dir, position, parameters, best, optimizer, scaler)
            last_save = time.monotonic()
    return position, best


def _cuts_of_step(task: FitTask, examples: Indices, inputs: FitInputs) -> list[Indices]:
    """The micro-batches of one step: a single one where weights move in the backward pass, as they move in each."""
    is_whole = inputs.settings.updates_in_backward
    return micro_batches(task.train, examples, sys.maxsize if is_whole else inputs.runtime.token_budget)


def _seeding(cuts: list[Indices], step: int, has_dropout: bool, inputs: FitInputs) -> Any:
    """The cuts one by one, dropout's stream set just before each is used."""
    for cut in cuts:
        if has_dropout:
            torch.manual_seed(dropout_seed(inputs.seed, inputs.purpose, step, int(cut[0])))
        yield cut


def _log(
    inputs: FitInputs,
    history: History,
    position: TrainingPosition,
    losses: list[torch.Tensor],
    norm: torch.Tensor,
    rate: float,
    num_steps: int,
) -> TrainingPosition:
    values = _read(losses, position.step, num_steps)
    mean = statistics.fmean(values)
    record = {
        "step": position.step,
        "epoch": position.step * inputs.settings.batch_size / inputs.draws.num_examples,
        "loss": mean,
        **_by_task(inputs, position.step, values),
        "learning_rate": rate,
        # Of a step that fp16's scaler has skipped there is none.
        "grad_norm": float(norm) if math.isfinite(norm) else None,
        "seconds": position.seconds,
    }
    history.add(record)
    if inputs.runtime.trackers:
        inputs.runtime.accelerator.log(record, step=position.step)
    inputs.on_progress(Progress(position.step, num_steps, loss=mean))
    first_loss = mean if position.train_loss_first is None else position.train_loss_first
    return replace(position, train_loss_first=first_loss, train_loss_last=mean)


def _by_task(inputs: FitInputs, step: int, values: Sequence[float]) -> dict[str, Any]:
    """Of a mixture, the mean loss of each task that the last steps were of."""
    if len(inputs.tasks) == 1:
        return {}
    tasks = inputs.draws.tasks[step - len(values) : step]
    of_task = {index: [v for v, task in zip(values, tasks, strict=True) if task == index] for index in set(tasks)}
    return {"losses": {inputs.tasks[index].name: statistics.fmean(found) for index, found in sorted(of_task.items())}}


def log_window(num_steps: int) -> int:
    """Steps whose losses are averaged to one record: 10, or fewer where a training is so short."""
    return max(1, min(_LOG_EVERY, num_steps // 4))


def _count_step(position: TrainingPosition, task: FitTask, cuts: list[Indices], seconds: float) -> TrainingPosition:
    real, padded = count_tokens(task.train, cuts)
    return replace(
        position,
        step=position.step + 1,
        seconds=seconds,
        num_tokens=position.num_tokens + real,
        num_padded_tokens=position.num_padded_tokens + padded,
    )


def _count_skipped(
    position: TrainingPosition, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, num_steps: int
) -> TrainingPosition:
    """Counts the steps that fp16's scaler has skipped, and ends a training that it keeps from moving at all."""
    if not scaler.is_enabled():
        return position
    num_skipped = position.step - num_updates(optimizer)
    if scaler.get_scale() < _MIN_LOSS_SCALE or num_skipped == num_steps:
        raise RunFailedError(
            f"fp16 gives gradients that are not finite, however small they are scaled: {num_skipped} of "
            f"{position.step} steps changed nothing; try bf16 or fp32, or a lower learning_rate"
        )
    return replace(position, num_skipped_steps=num_skipped)


def _read(losses: list[torch.Tensor], step: int, num_steps: int) -> list[float]:
    """The losses up to `step` as numbers: the only place in the loop that waits for the device."""
    values: list[float] = torch.stack(losses).float().cpu().tolist() if losses else []
    for index, value in enumerate(values):
        if not math.isfinite(value):
            raise RunFailedError(
                f"the training loss is no longer a number at step {step - len(values) + index + 1} of {num_steps}; "
                "try a lower learning_rate, a longer warm-up, or fp32"
            )
    return values


def validate(inputs: FitInputs) -> list[Score]:
    """The score of the model as it is on the validation examples of each task.

    Raises:
        RunFailedError: when what a head gives is no longer a number.
    """
    scores = []
    for task in inputs.tasks:
        logits = predict(inputs.model, task.name, task.validation, inputs.runtime)
        # Before they are scored: a metric would have an error of its own, which says nothing of the training.
        if not np.isfinite(logits).all():
            raise RunFailedError(
                f"the answers to validation items of {task.name!r} are no longer numbers; "
                "try a lower learning_rate, a longer warm-up, or fp32"
            )
        scores.append(task.validation.format.score(task.validation, logits))
    return scores


def _validate(
    inputs: FitInputs, history: History, position: TrainingPosition, best: dict[str, torch.Tensor], num_steps: int
) -> tuple[TrainingPosition, dict[str, torch.Tensor]]:
    figures = validation_figures([task.name for task in inputs.tasks], validate(inputs))
    score, loss = figures["validation_score"], figures["validation_loss"]
    record = {"step": position.step, **figures}
    history.add(record)
    if inputs.runtime.trackers:
        inputs.runtime.accelerator.log(record, step=position.step)
    inputs.on_progress(Progress(position.step, num_steps, validation_score=score))
    if (score, -loss) > (position.best_score, -position.best_loss):
        if inputs.settings.select == "best":
            best = {name: parameter.detach().to("cpu", copy=True) for name, parameter in inputs.parameters.items()}
        better = replace(position, best_step=position.step, best_score=score, best_loss=loss)
        return replace(better, validations_since_best=0), best
    waited = position.validations_since_best + 1
    patience = inputs.settings.patience
    return replace(
        position, validations_since_best=waited, stopped_early=patience is not None and waited >= patience
    ), best
