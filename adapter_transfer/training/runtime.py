"""The machine side of a phase: device, precision, token budget, trackers. Changes no result beyond rounding.

Owns accelerate.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from adapter_transfer.backbones.precision import compute_dtype, has_bf16
from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.errors import ConfigError, DeviceError
from adapter_transfer.registry import unknown_name_message
from adapter_transfer.training.nvidia_smi import query_cards
from adapter_transfer.training.settings import (
    DEFAULT_CHECKPOINT_SECONDS,
    DEFAULT_CHECKPOINT_STEPS,
    DEFAULT_TOKEN_BUDGET,
    DeviceRequest,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runtime:
    """How a phase is run on this machine.

    Attributes:
        accelerator: accelerate's, for autocast, backward and trackers.
        precision: of the run, as the accelerator was made for.
        token_budget: padded tokens in a micro-batch.
        checkpoint_steps: optimizer steps between two checkpoints, at most.
        checkpoint_seconds: seconds between two checkpoints, at most.
        pad_id: the tokenizer's.
    """

    accelerator: Accelerator
    precision: Precision = "fp32"
    token_budget: int = DEFAULT_TOKEN_BUDGET
    checkpoint_steps: int = DEFAULT_CHECKPOINT_STEPS
    checkpoint_seconds: float = DEFAULT_CHECKPOINT_SECONDS
    pad_id: int = 1
    trackers: tuple[str, ...] = field(default=())

    @property
    def device(self) -> torch.device:
        device: torch.device = self.accelerator.device
        return device

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision as the run has it; nothing in fp32."""
        if self._computes_in_fp16:
            return torch.autocast(self.device.type, dtype=torch.float16)
        context: AbstractContextManager[Any] = self.accelerator.autocast()
        return context

    def make_scaler(self) -> torch.amp.GradScaler:
        """Loss scaling for one training: gradients of fp16 activations would fall below its smallest number.

        Dynamic, as in Micikevicius et al. 2018 (arXiv 1710.03740, section 3.2); passes everything through in the other
        precisions.
        """
        return torch.amp.GradScaler(self.device.type, enabled=self._computes_in_fp16)

    @property
    def _computes_in_fp16(self) -> bool:
        return compute_dtype(self.precision, self.device) == torch.float16


def make_accelerator(
    device: DeviceRequest, precision: Precision, *, trackers: tuple[str, ...] = (), logging_dir: Path | None = None
) -> Accelerator:
    """An Accelerator for one precision on one device.

    fp16 is left to `Runtime`: accelerate refuses it on the CPU, and scales losses only in optimizers that it wraps.

    Raises:
        ConfigError: for a tracker that is unknown or not installed.
        DeviceError: as `require_device`, and for bf16 on a card that does not compute in it.
    """
    require_device(device)
    require_trackers(trackers)
    chosen = chosen_device(device)
    if precision == "bf16" and not has_bf16(chosen):
        raise DeviceError(
            "precision bf16 needs an NVIDIA card of the Ampere generation or later, and this one is older. "
            "Use precision fp16, which such cards are fast in."
        )
    # accelerate keeps precision and device in process-wide state; a worker goes from one precision to another.
    AcceleratorState._reset_state(reset_partial_state=True)
    with _hidden_accelerate_settings():
        return Accelerator(
            # Named, because accelerate's own choice takes whatever there is (an integrated GPU, say).
            cpu=chosen.type == "cpu",
            mixed_precision="bf16" if compute_dtype(precision, chosen) == torch.bfloat16 else "no",
            log_with=list(trackers) or None,
            project_dir=logging_dir,
        )


@contextmanager
def _hidden_accelerate_settings() -> Iterator[None]:
    """Hides what `accelerate config` or a user's shell has set for other programs.

    ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4, for one, divides every gradient by 4 without a word.
    """
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("ACCELERATE_")}
    try:
        yield
    finally:
        os.environ.update(hidden)


def chosen_device(request: DeviceRequest) -> torch.device:
    """The device that a request comes to: the NVIDIA card where there is one and it is not refused, else the CPU."""
    return torch.device("cuda" if request != "cpu" and torch.cuda.is_available() else "cpu")


def require_trackers(names: tuple[str, ...]) -> None:
    """Makes sure that every tracker is known and installed.

    accelerate itself leaves out what is not installed, with a word at debug level only.

    Raises:
        ConfigError: naming what is wrong.
    """
    installed = sorted(map(str, get_available_trackers()))
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise ConfigError(unknown_name_message("tracker", name, LOGGER_TYPE_TO_CLASS))
        if name not in installed:
            have = ", ".join(installed) or "none"
            raise ConfigError(f"tracker {name!r} is not installed (installed: {have}); install its package first")


def require_device(request: DeviceRequest) -> None:
    """Makes sure that `request` can be had, and that no NVIDIA card lies idle because torch cannot see it.

    Raises:
        DeviceError: `cuda` without a usable card, or `auto` on a machine whose card torch cannot use (old driver,
            CPU build): training on the CPU for days would be a poor surprise.
    """
    if request == "cpu" or torch.cuda.is_available():
        return
    build = f"torch {torch.__version__}, " + (f"CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build")
    card = nvidia_card()
    if card is not None:
        raise DeviceError(
            f"this machine has an NVIDIA card ({card}), but {build} cannot use it. Install a torch build that fits the "
            "driver, or say --device cpu to train on the CPU all the same."
        )
    if request == "cuda":
        raise DeviceError(f"--device cuda, but {build} finds no NVIDIA card on this machine. Use --device cpu or auto.")


def nvidia_card() -> str | None:
    """Name and driver of the first NVIDIA card, by its driver and not by torch; None where there is none."""
    lines = query_cards("name", "driver_version")
    if lines is None:
        # A card whose driver's tool is missing or broken still shows here.
        return "found in /proc, driver not answering" if Path("/proc/driver/nvidia/gpus").is_dir() else None
    return f"{lines[0]} (driver)" if lines else None


def device_precisions(device: torch.device) -> tuple[Precision, ...]:
    """Precisions that runs can have on a device."""
    return tuple(precision for precision in get_args(Precision) if precision != "bf16" or has_bf16(device))
