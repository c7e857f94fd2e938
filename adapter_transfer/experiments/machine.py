"""How this machine runs things: nothing here is part of a run's identity. No torch."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from adapter_transfer.training.settings import (
    DEFAULT_CHECKPOINT_STEPS,
    DEFAULT_TOKEN_BUDGET,
    DeviceRequest,
    TrainingSettings,
)


@dataclass(frozen=True)
class MachineSettings:
    """What a user may say of the machine at hand.

    Attributes:
        threads: of torch on the CPU; None lets `execute` share the cores out. Results are bit-identical only at an
            equal count, which is recorded with each run.
        token_budget: padded tokens in a micro-batch; None leaves it to each run's own settings.
        checkpoint_steps: optimizer steps between checkpoints, at most.
        trackers: accelerate's names of experiment trackers to log to.
        data_dir: folder of published data files; None takes data from the Hub's cache.
        log_level: of this package's logs in worker processes.
    """

    device: DeviceRequest = "auto"
    threads: int | None = None
    token_budget: int | None = None
    checkpoint_steps: int = DEFAULT_CHECKPOINT_STEPS
    trackers: tuple[str, ...] = ()
    log_level: int = logging.WARNING
    data_dir: Path | None = None

    def micro_batch_tokens(self, training: TrainingSettings) -> int:
        """Padded tokens in a micro-batch: as said of this machine, else as the run has it, else the default."""
        return self.token_budget or training.token_budget or DEFAULT_TOKEN_BUDGET


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
