"""Evaluation: all languages pooled and rows sorted by length, against a language at a time in published order.

Both sides score the same items of micro-copa's test split with the same model (mini), in one process, interleaved; the
plain side takes batches of 32 whole examples, padded to the longest of each, as a data loader gives them. Parity: every
logit agrees to 1e-5. Prints a JSON record with the ratio of medians.

Run: .venv/bin/python benchmarks/bench_evaluation.py
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.methods.attach import AdapterPart, Assembly, assemble, with_flexible_heads
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.heads import row_logits
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.encoding import concatenate, encode
from adapter_transfer.tasks.formats import EncodedExamples
from adapter_transfer.tasks.task import load_examples
from adapter_transfer.training.batching import pad_rows
from adapter_transfer.training.evaluate import predict
from adapter_transfer.training.runtime import Runtime, make_accelerator

REPEATS = 7
PLAIN_BATCH = 32
TASK = TASKS["micro-copa"]


def plain(model: object, languages: Sequence[EncodedExamples], runtime: Runtime) -> np.ndarray:
    """A language at a time, 32 whole examples a batch, in published order."""
    parts = []
    with torch.no_grad():
        for encoded in languages:
            rows = np.arange(len(encoded.row_lengths))
            for start in range(0, len(rows), PLAIN_BATCH * encoded.format.rows_per_example):
                batch = rows[start : start + PLAIN_BATCH * encoded.format.rows_per_example]
                ids, mask = pad_rows(encoded, batch, runtime.pad_id, runtime.device)
                parts.append(row_logits(model, TASK.name, ids, mask).numpy())
    return np.concatenate(parts).reshape(-1, TASK.format.num_answers)


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main() -> None:
    torch.set_num_threads(1)
    backbone = BACKBONES["mini"]
    tokenizer = load_tokenizer(backbone)
    body = load_body(backbone, dtype=torch.float32, device=torch.device("cpu"), vocab_size=len(tokenizer))
    model = with_flexible_heads(body)
    settings = {"reduction_factor": 2, "non_linearity": "relu"}
    part = AdapterPart(TASK.name, trains=True)
    assemble(model, Assembly(METHODS["seq_bn"], settings, TASK.name, TASK.format, init_seed=0, adapters=(part,)))
    model.eval()
    languages = [
        encode(load_examples(TASK, "test", code), TASK.format, tokenizer, 96) for code in TASK.languages["test"]
    ]
    runtime = Runtime(make_accelerator("cpu", "fp32"), pad_id=tokenizer.pad_token_id)
    pooled = concatenate(languages)
    sides = {
        "plain": lambda: plain(model, languages, runtime),
        "pooled": lambda: predict(model, TASK.name, pooled, runtime),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    logits: dict[str, np.ndarray] = {}
    for _ in range(REPEATS):
        for name, work in sides.items():
            spent, logits[name] = timed(work)
            seconds[name].append(spent)
    np.testing.assert_allclose(logits["plain"], logits["pooled"], atol=1e-5)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        json.dumps(
            {
                "benchmark": "evaluation",
                "items": len(pooled),
                "rows": len(pooled.row_lengths),
                "threads": 1,
                "repeats": REPEATS,
                "median_seconds": {name: round(value, 3) for name, value in medians.items()},
                "plain_over_pooled": round(medians["plain"] / medians["pooled"], 2),
                "largest_logit_difference": float(np.abs(logits["plain"] - logits["pooled"]).max()),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
