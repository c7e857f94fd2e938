"""A tiny real XLM-R with an assembly on it, and encoded sandbox data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.methods.attach import AdapterPart, Assembly, assemble, trained_parameters, with_flexible_heads
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.encoding import encode, take
from adapter_transfer.tasks.formats import EncodedExamples
from adapter_transfer.tasks.task import Split, load_examples
from adapter_transfer.training.loop import FitInputs, FitTask
from adapter_transfer.training.runtime import Runtime, make_accelerator
from adapter_transfer.training.settings import TrainingSettings

CPU = torch.device("cpu")


@dataclass
class Bench:
    """What one training needs, made to order."""

    model: Any
    assembly: Assembly
    runtime: Runtime

    @property
    def parameters(self) -> dict[str, torch.nn.Parameter]:
        return trained_parameters(self.model)

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of every weight."""
        return {name: value.detach().clone() for name, value in self.model.named_parameters()}

    def fit_inputs(
        self, folder: Path, train: EncodedExamples, validation: EncodedExamples, **changes: Any
    ) -> FitInputs:
        folder.mkdir(parents=True, exist_ok=True)
        settings = TrainingSettings(**({"learning_rate": 1e-3, "batch_size": 8, "epochs": 1} | changes))
        return FitInputs(
            model=self.model,
            tasks=(FitTask(self.assembly.head, train, validation),),
            settings=settings,
            seed=1,
            purpose="target/micro-copa",
            runtime=self.runtime,
            progress_dir=folder / "progress",
            history_path=folder / "history.jsonl",
            parameters=self.parameters,
        )


def part_names(composition: str) -> tuple[AdapterPart, ...]:
    """The adapters of a target phase, without weights to start from."""
    lower = AdapterPart("next-event", trains=composition == "stack-tuned")
    target = AdapterPart("micro-copa", trains=True)
    return (target,) if composition in ("none", "sequential") else (lower, target)


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    """Makes a bench: `make_bench("seq_bn", composition="stack", precision="fp32", dropout=0.0)`."""

    def make(
        method: str,
        *,
        composition: str = "none",
        precision: str = "fp32",
        dropout: float = 0.0,
        token_budget: int = 16_384,
        checkpoint_steps: int = 200,
        backbone: str = "nano",
        device: torch.device = CPU,
        master_weights: str = "fp32",
    ) -> Bench:
        declared = METHODS[method]
        is_full = declared.kind == "full"
        tokenizer = load_tokenizer(BACKBONES[backbone])
        body = load_body(
            BACKBONES[backbone],
            precision=precision,
            trains=is_full,
            device=device,
            vocab_size=len(tokenizer),
            dropout=dropout,
            dtype=torch.bfloat16 if is_full and master_weights == "bf16" else None,
        )
        model = with_flexible_heads(body)
        assembly = Assembly(
            method=declared,
            settings=declared.parse_settings({"reduction_factor": 4} if method == "seq_bn" else {}).model_dump(),
            head="micro-copa",
            format=TASKS["micro-copa"].format,
            init_seed=7,
            adapters=() if is_full else part_names(composition),
            composition=composition,
            trains_body=is_full,
        )
        assemble(model, assembly)
        runtime = Runtime(
            make_accelerator(device.type, precision),
            precision=precision,
            token_budget=token_budget,
            checkpoint_steps=checkpoint_steps,
            pad_id=1,
        )
        return Bench(model, assembly, runtime)

    return make


@pytest.fixture(scope="session")
def encoded() -> Callable[..., EncodedExamples]:
    """Encoded sandbox examples: `encoded("train", 32)`."""
    tokenizer = load_tokenizer(BACKBONES["nano"])

    def make(split: Split, count: int, task: str = "micro-copa", language: str = "en") -> EncodedExamples:
        examples = load_examples(TASKS[task], split, language)
        return take(encode(examples, TASKS[task].format, tokenizer, 96), count)

    return make


@pytest.fixture(scope="session")
def first_examples() -> Callable[[int], Any]:
    """Indices of the first examples."""
    return lambda count: np.arange(count)
