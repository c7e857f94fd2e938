"""The phases as stories: a training phase (intermediate or target) and the evaluation of what it made."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adapter_transfer.backbones.sizes import ParameterCounts
from adapter_transfer.backbones.trimming import Trimming
from adapter_transfer.methods.attach import (
    Assembly,
    assemble,
    disassemble,
    save_artifact,
    trained_parameters,
    undecayed_parameters,
)
from adapter_transfer.tasks.encoding import concatenate
from adapter_transfer.tasks.formats import EncodedExamples
from adapter_transfer.tasks.metrics import Score, validation_figures
from adapter_transfer.training.cutting import Indices
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.history import read_history
from adapter_transfer.training.loop import FitInputs, FitTask, Progress, fit
from adapter_transfer.training.mixing import sampling_shares
from adapter_transfer.training.position import TrainingPosition
from adapter_transfer.training.predictions import write_predictions
from adapter_transfer.training.runtime import Runtime
from adapter_transfer.training.settings import TrainingSettings


@dataclass(frozen=True)
class PhasePaths:
    """Where a phase leaves what it makes (see the layout of a run directory)."""

    artifact_dir: Path
    progress_dir: Path
    history_path: Path
    predictions_path: Path


@dataclass(frozen=True)
class TrainingPhase:
    """One intermediate or target training.

    Attributes:
        model: with flexible heads and nothing attached; for full fine-tuning, its body is changed for good.
        assembly: what to put on it.
        counts: parameters of the backbone.
        tasks: that it trains on; the assembly has a head for each.
        trimming: how the embedding table of a body that trains was cut; it is saved whole.
    """

    model: Any
    assembly: Assembly
    counts: ParameterCounts
    tasks: tuple[FitTask, ...]
    settings: TrainingSettings
    seed: int
    purpose: str
    runtime: Runtime
    paths: PhasePaths
    trimming: Trimming | None = None
    on_progress: Callable[[Progress], None] = field(default=lambda _: None)


def run_training_phase(phase: TrainingPhase) -> dict[str, Any]:
    """Attaches, fits, saves what trained and the validation predictions; returns the metrics of the run."""
    model, assembly = phase.model, phase.assembly
    reset_peak_memory(phase.runtime.device)
    assemble(model, assembly)
    try:
        parameters = trained_parameters(model)
        fit_inputs = _fit_inputs(phase, parameters)
        position = fit(fit_inputs)
        scores = [_answer_validation(phase, task) for task in phase.tasks]
        save_artifact(model, assembly, phase.paths.artifact_dir, phase.trimming)
        added = sum(p.numel() for n, p in model.named_parameters() if not n.startswith(f"{model.base_model_prefix}."))
        trained = sum(parameter.numel() for parameter in parameters.values())
        if phase.trimming is not None:  # rows that are not here are trained, too: weight decay moves them
            trained += phase.trimming.num_missing_rows * model.base_model.config.hidden_size
    finally:
        disassemble(model, assembly)
    return {
        "train_loss_first": position.train_loss_first,
        "train_loss_last": position.train_loss_last,
        "num_steps": position.step,
        "num_skipped_steps": position.num_skipped_steps,
        "best_step": position.best_step,
        "stopped_early": position.stopped_early,
        "num_train_examples": sum(len(task.train) for task in phase.tasks),
        "num_train_tokens": position.num_tokens,
        "num_padded_tokens": position.num_padded_tokens,
        "max_row_tokens": max(int(task.train.row_lengths.max()) for task in phase.tasks),
        "num_truncated_rows": sum(task.train.num_truncated for task in phase.tasks),
        **validation_figures([task.name for task in phase.tasks], scores),
        "num_validation": sum(score.num_items for score in scores),
        "validation_constant_predictions": all(score.constant_predictions for score in scores),
        "chance": phase.tasks[0].train.format.chance if len(phase.tasks) == 1 else None,
        **({} if len(phase.tasks) == 1 else {"tasks": _tasks_trained(fit_inputs, position)}),
        "trained_parameters": trained,
        "head_parameters": added,
        "total_parameters": phase.counts.total,
        "encoder_parameters": phase.counts.encoder,
        "embedding_parameters": phase.counts.embeddings,
        "seconds": position.seconds,
        "peak_memory_bytes": peak_memory_bytes(phase.runtime.device),
    }


def _fit_inputs(phase: TrainingPhase, parameters: dict[str, torch.nn.Parameter]) -> FitInputs:
    return FitInputs(
        model=phase.model,
        tasks=phase.tasks,
        settings=phase.settings,
        seed=phase.seed,
        purpose=phase.purpose,
        runtime=phase.runtime,
        progress_dir=phase.paths.progress_dir,
        history_path=phase.paths.history_path,
        parameters=parameters,
        undecayed=undecayed_parameters(phase.model, phase.assembly),
        table_ids=_table_ids(phase.trimming),
        on_progress=phase.on_progress,
    )


def _answer_validation(phase: TrainingPhase, task: FitTask) -> Score:
    """Scores a task's validation items and writes what was answered: of a mixture, to a file a task."""
    logits = predict(phase.model, task.name, task.validation, phase.runtime)
    path = phase.paths.predictions_path
    if len(phase.tasks) > 1:
        path = path.with_name(f"{path.stem}-{task.name}{path.suffix}")
    write_predictions(path, task.validation, logits)
    return task.validation.format.score(task.validation, logits)


def _tasks_trained(inputs: FitInputs, position: TrainingPosition) -> dict[str, dict[str, Any]]:
    """What each task of a mixture had: examples, steps, chance, and losses at the start and at the end."""
    draws, history = inputs.draws, read_history(inputs.history_path)
    shares = sampling_shares(draws.sizes, draws.settings)
    told = {}
    for index, task in enumerate(inputs.tasks):
        losses = [record["losses"][task.name] for record in history if task.name in record.get("losses", ())]
        told[task.name] = {
            "num_train_examples": draws.sizes[index],
            "num_steps": int((draws.tasks[: position.step] == index).sum()),
            "share": float(shares[index]),
            "chance": task.train.format.chance,
            "train_loss_first": losses[0] if losses else None,
            "train_loss_last": losses[-1] if losses else None,
        }
    return told


def _table_ids(trimming: Trimming | None) -> Indices | None:
    """Which rows of the whole table a trimmed one has; its witness stands behind them all."""
    return None if trimming is None else np.append(trimming.kept.ids, trimming.kept.num_rows)


def run_evaluation_phase(
    model: Any,
    assembly: Assembly,
    languages: Sequence[EncodedExamples],
    runtime: Runtime,
    predictions_path: Path,
    on_rows: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Evaluates an assembly on several languages in one pass; writes every prediction and returns the metrics.

    Args:
        languages: the test items of one language each.
        on_rows: told rows done and rows in all.
    """
    started = time.monotonic()
    pooled = concatenate(languages)
    total, done = len(pooled.row_lengths), 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        on_rows(done, total)

    assemble(model, assembly)
    try:
        logits = predict(model, assembly.head, pooled, runtime, on_rows=count)
    finally:
        disassemble(model, assembly)
    write_predictions(predictions_path, pooled, logits)
    sizes = [len(part.tokens if part.format.reads_tokens else part.row_lengths) for part in languages]
    of_parts = np.split(logits, np.cumsum(sizes)[:-1])
    scores = {part.languages[0]: part.format.score(part, own) for part, own in zip(languages, of_parts, strict=True)}
    return {
        "languages": {code: score.as_json() for code, score in scores.items()},
        "chance": pooled.format.chance,
        "num_truncated_rows": pooled.num_truncated,
        "seconds": time.monotonic() - started,
    }


def reset_peak_memory(device: torch.device) -> None:
    """Starts a new count of peak memory, where the device keeps one."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_bytes(device: torch.device) -> int:
    """Peak memory: of the device since the last reset; on the CPU, resident memory of the process since it started."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # `resource` does not exist on Windows; kilobytes on Linux, bytes on macOS.
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
