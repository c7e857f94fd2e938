"""Mixtures: from which task each optimizer step of a multi-task training takes its examples. No torch.

A step belongs to one task, drawn by the task's share; the task's own examples come in their own order, epoch after
epoch. Both follow from keys (see `streams`), so a training that resumes goes on with the very same steps. With one task
there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from adapter_transfer.training.cutting import Indices
from adapter_transfer.training.settings import TrainingSettings
from adapter_transfer.training.streams import example_order, stream_seed


def sampling_shares(sizes: Sequence[int], settings: TrainingSettings) -> npt.NDArray[np.float64]:
    """The share of steps that each task gets, (K,), summing to 1.

    With n examples of a task: `proportional` to n; `capped`, to min(n, cap) (Phang et al. 2020, arXiv 2005.13013, with
    a cap of 2^17); by `temperature` T, to n^(1/T) (Arivazhagan et al. 2019, arXiv 1907.05019); or `uniform`.

    Args:
        sizes: training examples of each task.
    """
    numbers = np.array(sizes, dtype=np.float64)
    weights = {
        "proportional": numbers,
        "capped": np.minimum(numbers, settings.sampling_cap),
        "temperature": numbers ** (1 / settings.sampling_temperature),
        "uniform": np.ones_like(numbers),
    }[settings.sampling]
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares


def mixture_size(sizes: Sequence[int], settings: TrainingSettings) -> int:
    """Examples that one epoch of a mixture has: those of all tasks, of each at most the cap where there is one."""
    if len(sizes) > 1 and settings.sampling == "capped":
        return sum(min(size, settings.sampling_cap) for size in sizes)
    return sum(sizes)


@dataclass(frozen=True)
class StepDraws:
    """Which examples each step trains on.

    Attributes:
        names: of the tasks.
        sizes: training examples of each.
        settings: of the training.
        seed: of the run.
        purpose: names the random streams.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    settings: TrainingSettings
    seed: int
    purpose: str

    @property
    def num_examples(self) -> int:
        """Examples of an epoch."""
        return mixture_size(self.sizes, self.settings)

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.settings.num_steps(self.num_examples)

    @cached_property
    def tasks(self) -> npt.NDArray[np.int64]:
        """(steps,) the task of each step, as an index."""
        if len(self.names) == 1:
            return np.zeros(self.num_steps, dtype=np.int64)
        # Counter-based: the n-th draw depends on the key and n alone, however many steps there are.
        generator = np.random.Generator(np.random.Philox(key=stream_seed(self.seed, self.purpose, "task")))
        bounds = np.cumsum(sampling_shares(self.sizes, self.settings))
        drawn = np.searchsorted(bounds, generator.random(self.num_steps), side="right")
        return np.minimum(drawn, len(self.names) - 1)

    @cached_property
    def _ranks(self) -> npt.NDArray[np.int64]:
        """(steps,) how many steps of the same task come before each."""
        ranks = np.empty_like(self.tasks)
        for task in range(len(self.names)):
            steps = np.flatnonzero(self.tasks == task)
            ranks[steps] = np.arange(len(steps))
        return ranks

    def examples(self, step: int) -> Indices:
        """The examples of a step, as indices in those of its task."""
        task = int(self.tasks[step])
        size, total = self.settings.batch_size, self.sizes[task]
        epoch, index = divmod(int(self._ranks[step]), self.settings.steps_per_epoch(total))
        purpose = self.purpose if len(self.names) == 1 else f"{self.purpose}/{self.names[task]}"
        return example_order(self.seed, purpose, epoch, total)[index * size : (index + 1) * size]
