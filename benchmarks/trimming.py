"""Full fine-tuning with a trimmed embedding table against a whole one: time of a step, of its update, peak memory.

Both sides are XLM-R at base widths (hidden 768, 3,072 between, 12 heads, the published 250,002 rows; random weights; 6
layers unless told otherwise, of 12) and run the loop's own functions with fused AdamW, clipping by the global norm and
weight decay on the same examples: 8 of 2 rows each of 16 to 32 tokens, as those of XCOPA are, one micro-batch a step.
The trimmed side keeps 30,000 rows, all tokens that occur among them. Each side runs in a process of its own, the sides
by turns; a step's time is that of forward, backward, clipping and update, the first step of each process left out, and
figures are medians over all others; of the processor's own seconds, too, which do not count what other programs took.
Peak memory is VmHWM: in all, and less what is resident before the body is loaded and after a step of a tiny one; once
for training, once with the saving of the whole checkpoint after it. Parity: losses of both sides agree (to the bit with
one thread).

What is kept for the backward pass is as large on both sides, so that the ratio of memory depends on it: each comparison
is made without and with gradient checkpointing (on both sides), as a small card needs it.

Prints a JSON record with the ratios. Takes many minutes and, untrimmed, about 6 GB.

Run: .venv/bin/python benchmarks/trimming.py [--layers 6] [--threads 1] [--repeats 3] [--steps 4]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import XLMRobertaConfig, XLMRobertaModel

from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.checkpoints import LocalFolder
from adapter_transfer.backbones.loading import load_body, trimming_of
from adapter_transfer.backbones.vocabulary import KeptTokens, keep_tokens
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.methods.attach import Assembly, assemble, save_artifact, trained_parameters, with_flexible_heads
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.recomputation import set_gradient_checkpointing
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.formats import EncodedExamples
from adapter_transfer.training.batching import collate
from adapter_transfer.training.optimizers import make_optimizer
from adapter_transfer.training.runtime import Runtime, make_accelerator
from adapter_transfer.training.settings import TrainingSettings
from adapter_transfer.training.steps import accumulate_gradients, apply_gradients

CPU = torch.device("cpu")
TASK = TASKS["xcopa"]
NUM_ROWS, NUM_KEPT, NUM_EXAMPLES, PAD = 250_002, 30_000, 8, 1
SETTINGS = TrainingSettings(learning_rate=1e-5, batch_size=NUM_EXAMPLES, weight_decay=0.01, max_grad_norm=1.0)
SIDES = ("whole", "trimmed")


def save_checkpoint(folder: Path, **fields: int) -> None:
    """A checkpoint with random weights, at base widths but for `fields`."""
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        **{"vocab_size": NUM_ROWS, "max_position_embeddings": 514, "type_vocab_size": 1, **fields}
    )
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)


def kept_tokens() -> KeptTokens:
    some = np.random.default_rng(0).choice(np.arange(4, NUM_ROWS), NUM_KEPT - 4, replace=False)
    return keep_tokens(some, num_rows=NUM_ROWS, padding_id=PAD)


def examples_of_step(step: int, kept: KeptTokens) -> EncodedExamples:
    """The same for both sides, in the full table's numbers."""
    random = np.random.default_rng(step + 1)
    num_rows = NUM_EXAMPLES * TASK.format.rows_per_example
    rows = [np.r_[0, random.choice(kept.ids[4:], random.integers(14, 31)), 2] for _ in range(num_rows)]
    return EncodedExamples(
        tokens=np.concatenate(rows).astype(np.int32),
        offsets=np.cumsum([0, *map(len, rows)]),
        labels=random.integers(0, 2, NUM_EXAMPLES),
        ids=tuple(map(str, range(NUM_EXAMPLES))),
        languages=("en",) * NUM_EXAMPLES,
        format=TASK.format,
    )


def resident_bytes(name: str) -> int:
    """A figure of this process: VmRSS now, VmHWM since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def train_one_side(side: str, folder: Path, num_steps: int, num_threads: int, recomputes: bool) -> dict[str, object]:
    """Loads, trains and saves one side; what it took."""
    torch.set_num_threads(num_threads)
    kept = kept_tokens()
    cut = kept if side == "trimmed" else None
    with tempfile.TemporaryDirectory() as tiny:  # whatever is imported late is there afterwards
        save_checkpoint(Path(tiny), num_hidden_layers=1, hidden_size=24, intermediate_size=24)
        steps_of(Path(tiny), kept, kept, 1, recomputes)
    forget_peak()
    before = resident_bytes("VmRSS")
    return {"resident_before": before, **steps_of(folder, kept, cut, num_steps, recomputes)}


def steps_of(
    folder: Path, kept: KeptTokens, cut: KeptTokens | None, num_steps: int, recomputes: bool
) -> dict[str, object]:
    """Loads a body, trains it for some steps, and saves it."""
    backbone = replace(BACKBONES["nano"], name="own", model=LocalFolder(str(folder)), shape=None)
    runtime = Runtime(make_accelerator("cpu", "fp32"), pad_id=PAD)
    model, assembly = _model(backbone, cut)
    parameters = trained_parameters(model)
    optimizer = make_optimizer(parameters, SETTINGS, CPU)
    model.train()
    set_gradient_checkpointing(model, recomputes)
    seconds: dict[str, list[float]] = {"step": [], "update": [], "cpu_step": []}
    losses = []
    for step in range(num_steps):
        encoded = examples_of_step(step, kept)
        if cut is not None:
            encoded = replace(encoded, tokens=cut.renumber(encoded.tokens))
        batch = collate(encoded, np.arange(NUM_EXAMPLES), PAD, CPU)
        torch.manual_seed(step)  # dropout draws the same on both sides
        started, cpu_started = time.perf_counter(), time.process_time()
        loss = accumulate_gradients(model, TASK.name, [batch], NUM_EXAMPLES, runtime)
        has_gradients = time.perf_counter()
        apply_gradients(optimizer, list(parameters.values()), SETTINGS.learning_rate, SETTINGS.max_grad_norm)
        losses.append(float(loss))
        if step:  # the first one makes the optimizer's state and warms caches
            seconds["step"].append(time.perf_counter() - started)
            seconds["update"].append(time.perf_counter() - has_gradients)
            seconds["cpu_step"].append(time.process_time() - cpu_started)
    peak = resident_bytes("VmHWM")
    del optimizer
    with tempfile.TemporaryDirectory() as saved:
        trimming = None if cut is None else trimming_of(backbone, cut, vocab_size=NUM_ROWS)
        save_artifact(model, assembly, Path(saved), trimming)
    return {"losses": losses, "seconds": seconds, "peak": peak, "peak_with_saving": resident_bytes("VmHWM")}


def _model(backbone: Backbone, kept: KeptTokens | None) -> tuple[object, Assembly]:
    body = load_body(backbone, trains=True, device=CPU, vocab_size=NUM_ROWS, keep=kept)
    model = with_flexible_heads(body)
    assembly = Assembly(METHODS["full"], {}, TASK.name, TASK.format, init_seed=0, trains_body=True)
    assemble(model, assembly)
    return model, assembly


def compare(folder: Path, num_threads: int, num_repeats: int, num_steps: int, recomputes: bool) -> dict[str, object]:
    """Both sides by turns, each time in a new process."""
    runs: dict[str, list[dict]] = {side: [] for side in SIDES}
    how = ["--steps", str(num_steps), "--threads", str(num_threads), *(["--recomputes"] if recomputes else [])]
    for _ in range(num_repeats):
        for side in SIDES:
            answer = _in_process("--side", side, "--folder", str(folder), *how)
            runs[side].append(json.loads(answer.splitlines()[-1]))
    figures = {side: _medians(runs[side]) for side in SIDES}
    losses = [np.array([run["losses"] for run in runs[side]]) for side in SIDES]
    return {
        "gradient_checkpointing": recomputes,
        **figures,
        "ratios": {
            what: round(figures["whole"][what] / figures["trimmed"][what], 2)
            for what in figures["whole"]
            if what != "gib_resident_before"
        },
        "largest_loss_difference": float(np.abs(losses[0] - losses[1]).max()),
    }


def compare_all(num_layers: int, num_threads: int, num_repeats: int, num_steps: int) -> dict[str, object]:
    """The comparisons, and what both sides have in common."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "checkpoint"
        _in_process("--save", str(folder), "--layers", str(num_layers))
        found = [compare(folder, num_threads, num_repeats, num_steps, recomputes) for recomputes in (False, True)]
    return {
        "benchmark": "trimming",
        "widths": "base: hidden 768, intermediate 3072, 12 heads",
        "layers": num_layers,
        "rows": {"whole": NUM_ROWS, "trimmed": NUM_KEPT},
        "optimizer": "fused AdamW, fp32, clipped at global norm 1",
        "examples_per_step": NUM_EXAMPLES,
        "tokens_per_row": "16 to 32",
        "threads": num_threads,
        "processes_each": num_repeats,
        "steps_each": num_repeats * (num_steps - 1),
        "comparisons": found,
    }


def _medians(runs: list[dict]) -> dict[str, float]:
    def gib(values: list[int]) -> float:
        return round(statistics.median(values) / 2**30, 3)

    pooled = {name: [value for run in runs for value in run["seconds"][name]] for name in runs[0]["seconds"]}
    return {
        "seconds_per_step": round(statistics.median(pooled["step"]), 3),
        "processor_seconds_per_step": round(statistics.median(pooled["cpu_step"]), 3),
        "seconds_per_update": round(statistics.median(pooled["update"]), 3),
        "gib_resident_before": gib([run["resident_before"] for run in runs]),
        "gib_peak_in_all": gib([run["peak"] for run in runs]),
        "gib_peak_less_before": gib([run["peak"] - run["resident_before"] for run in runs]),
        "gib_peak_with_saving_less_before": gib([run["peak_with_saving"] - run["resident_before"] for run in runs]),
    }


def _in_process(*arguments: str) -> str:
    result = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(result.stderr)
    return result.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--recomputes", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--save", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.save is not None:
        save_checkpoint(asked.save, num_hidden_layers=asked.layers)
    elif asked.side is not None:
        answer = train_one_side(asked.side, asked.folder, asked.steps, asked.threads, asked.recomputes)
        print(json.dumps(answer))
    else:
        print(json.dumps(compare_all(asked.layers, asked.threads, asked.repeats, asked.steps), indent=1))


if __name__ == "__main__":
    main()
