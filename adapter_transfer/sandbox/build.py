"""Rebuilds everything that the sandbox ships: data, tokenizer, checkpoints, and the record of how they came about.

Data and tokenizer come out byte for byte the same everywhere. Checkpoints do so on one machine with one version of
torch and one thread; elsewhere rounding differs, and with it the weights' last bits and perhaps the chosen seed.
"""

from __future__ import annotations

import json
import logging
import platform
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import XLMRobertaTokenizerFast

from adapter_transfer.sandbox.datasets import write_datasets
from adapter_transfer.sandbox.files import (
    BUILD_FILE,
    CHECKPOINTS_FOLDER,
    DATA_FOLDER,
    TOKENIZER_FOLDER,
    file_digest,
)
from adapter_transfer.sandbox.pretraining import SCALES, Scale, pretrain, save_body
from adapter_transfer.sandbox.pretraining_text import train_sandbox_tokenizer
from adapter_transfer.sandbox.selection import score_candidate
from adapter_transfer.sandbox.world import WORLD_SEED

logger = logging.getLogger(__name__)

#: Given a candidate's folder, the tokenizer and the data folder: its validation scores, by name.
Scorer = Callable[[Path, XLMRobertaTokenizerFast, Path], Mapping[str, float]]

#: Which score decides, and why it does: recorded in `build.json`.
CRITERION = "next_event_zero_shot"
REASON = (
    f"highest {CRITERION}: accuracy on micro-copa's validation split, mean of the languages never fine-tuned on, after "
    "full fine-tuning on next-event and micro-copa in English; the first of equals"
)

#: Told of every step: what is being done, how far it is (0 to 1), and the loss where there is one.
Progress = Callable[[str, float, float | None], None]


def build_sandbox(
    destination: Path,
    *,
    scales: Sequence[str] = tuple(SCALES),
    seeds: Sequence[int] = (0, 1, 2),
    num_steps: int | None = None,
    score: Scorer = score_candidate,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes data, tokenizer, the best checkpoint of each scale, and `build.json`, below `destination`.

    Of each scale one candidate a seed is pretrained and scored on validation data; `CRITERION` chooses. All of it runs
    in one thread (the number that was there is restored), for the number of threads changes the weights.

    Args:
        destination: a folder; files of an earlier build in it are replaced.
        scales: names in `SCALES`.
        seeds: pretraining seeds to try.
        num_steps: instead of each scale's own (for tests).
        score: gives a candidate's validation scores, `CRITERION` among them.
        progress: called after every step.

    Returns:
        The contents of `build.json`: `files` (name -> SHA-256), `candidates`, `chosen`, `versions`.

    Raises:
        UnknownNameError: for a scale that is not there.
    """
    wanted = [SCALES[name] for name in scales]
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        shutil.rmtree(destination / DATA_FOLDER, ignore_errors=True)
        write_datasets(destination / DATA_FOLDER)
        tokenizer = train_sandbox_tokenizer()
        tokenizer.save_pretrained(destination / TOKENIZER_FOLDER)
        candidates: list[dict[str, Any]] = []
        for scale in wanted:
            candidates += _build_scale(destination, scale, tokenizer, seeds, num_steps, score, progress)
    finally:
        torch.set_num_threads(num_threads)
    build = {
        "format": 1,
        "world_seed": WORLD_SEED,
        "criterion": CRITERION,
        "reason": REASON,
        "chosen": {entry["scale"]: entry["seed"] for entry in candidates if entry["chosen"]},
        "candidates": candidates,
        "versions": {name: version(name) for name in ("torch", "transformers", "tokenizers", "sentencepiece")},
        "machine": platform.machine(),
        "files": shipped_digests(destination),
    }
    (destination / BUILD_FILE).write_bytes((json.dumps(build, indent=1) + "\n").encode("utf-8"))
    return build


def shipped_digests(directory: Path) -> dict[str, str]:
    """Name -> SHA-256 of every file below the data and checkpoint folders, in the order of their names."""
    paths: Iterable[Path] = (p for folder in (DATA_FOLDER, CHECKPOINTS_FOLDER) for p in (directory / folder).rglob("*"))
    return {path.relative_to(directory).as_posix(): file_digest(path) for path in sorted(paths) if path.is_file()}


def _build_scale(
    destination: Path,
    scale: Scale,
    tokenizer: XLMRobertaTokenizerFast,
    seeds: Sequence[int],
    num_steps: int | None,
    score: Scorer,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    """Pretrains and scores a candidate a seed, keeps the best one's files, and returns the record of all."""
    final_dir, trial_dir = (destination / CHECKPOINTS_FOLDER / name for name in (scale.name, f".{scale.name}-trial"))
    total = num_steps or scale.num_steps
    records: list[dict[str, Any]] = []
    for seed in seeds:
        what = f"{scale.name}, seed {seed}"

        def on_step(step: int, loss: float, what: str = what) -> None:
            if progress is not None:
                progress(what, (step + 1) / total, loss)

        result = pretrain(scale, tokenizer, seed, num_steps=num_steps, progress=on_step)
        shutil.rmtree(trial_dir, ignore_errors=True)
        save_body(result.model, trial_dir)
        record: dict[str, Any] = {
            "scale": scale.name,
            "seed": seed,
            "num_steps": result.num_steps,
            "learning_rate": scale.learning_rate,
            "mlm_loss": round(result.mlm_loss, 4),
            "seconds": round(result.seconds, 1),
            "validation": dict(score(trial_dir, tokenizer, destination / DATA_FOLDER)),
            "chosen": False,
        }
        logger.info("candidate %s: %s", what, record)
        best = max((entry["validation"][CRITERION] for entry in records), default=-1.0)
        if record["validation"][CRITERION] > best:
            shutil.rmtree(final_dir, ignore_errors=True)
            trial_dir.rename(final_dir)
        records.append(record)
    shutil.rmtree(trial_dir, ignore_errors=True)
    max(records, key=lambda entry: float(entry["validation"][CRITERION]))["chosen"] = True
    return records
