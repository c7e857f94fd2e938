"""Estimates of memory and arithmetic, each made once: most runs of an experiment need the same. No torch."""

from __future__ import annotations

from dataclasses import replace

from adapter_transfer.experiments.demands import Demand
from adapter_transfer.experiments.tokens import PaddedTokens
from adapter_transfer.training.flops import evaluation_flops, training_flops
from adapter_transfer.training.memory import MemoryEstimate, Workload, estimate_memory

# Hyper-parameters that say how long and how well, and not how much at a time.
_NO_MATTER = {
    *("learning_rate", "epochs", "max_steps", "warmup_share", "schedule", "beta1", "beta2", "epsilon"),
    *("weight_decay", "validate_every", "patience", "max_train_examples", "max_length", "token_budget"),
}


class Estimates:
    """What has been estimated so far: a hundredth of a second each, and a plan asks for thousands."""

    def __init__(self) -> None:
        self._memory: dict[str, MemoryEstimate] = {}
        self._flops: dict[tuple[str, int], float] = {}

    def memory(self, workload: Workload) -> MemoryEstimate:
        """Bytes that a phase takes."""
        key = _key(workload)
        if key not in self._memory:
            self._memory[key] = estimate_memory(workload)
        return self._memory[key]

    def flops(self, demand: Demand) -> float:
        """Floating-point operations of a whole run, its validations included."""
        total = 0.0
        for task, workload in zip(demand.tasks, demand.workloads(), strict=True):
            total += self._of_pass(replace(workload, is_training=False), task.evaluated)
            if demand.is_training:
                total += self._of_pass(workload, task.trained)
        return total

    def _of_pass(self, workload: Workload, tokens: PaddedTokens) -> float:
        length = max(1, round(tokens.mean_length))
        key = _key(replace(workload, rows=1, length=length, accumulates=False, other_heads=())), length
        if key not in self._flops:
            count = training_flops if workload.is_training else evaluation_flops
            self._flops[key] = count(workload, num_tokens=1, mean_length=length)
        return tokens.num * self._flops[key]


def _key(workload: Workload) -> str:
    return repr({**vars(workload), "training": workload.training.model_dump(exclude=_NO_MATTER)})
