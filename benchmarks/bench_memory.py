"""Peak memory of training, measured against what `training.memory` says it is, at the widths of published encoders.

Each case trains by the real loop (`training.loop.fit`) in a process of its own: random weights of the real class,
250,002 rows in the embedding table or the 30,000 that trimming leaves, rows of 128 tokens that are all full. Measured
is the most that training takes, the model included: on the CPU resident memory (VmHWM, from when the model is there)
beyond that of the process before the model was made; on an NVIDIA card `torch.cuda.max_memory_allocated`, which leaves
out what every process takes there. On the CPU, blocks from 1 MiB on are mapped one by one (MALLOC_MMAP_THRESHOLD_), so
that memory which is free does not count; without that, holes in the C library's heap come on top, which the estimate
has under headroom (`--plain-heap` measures them). Layers are cut where a case would not fit into 10 GiB or some minutes
on the CPU, and the record says so; a card gets them all. Prints a JSON record and a table. The target: within 15 % in
each case.

Run: .venv/bin/python benchmarks/bench_memory.py [--device cuda] [--case NAME …]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from adapter_transfer.backbones.encoder_tape import HeadShape
from adapter_transfer.backbones.zoo import BACKBONES, QUANTIZED
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.formats import EncodedExamples, Format
from adapter_transfer.tasks.span_format import SpanExtraction
from adapter_transfer.tasks.tagging_format import Tagging
from adapter_transfer.training.memory import Workload, estimate_memory
from adapter_transfer.training.settings import TrainingSettings

TARGET = 0.15
LENGTH = 128
TWO_CHOICES = MultipleChoice(2)
SPANS = SpanExtraction()
SUPERTAGS = Tagging(tuple(map(str, range(1_000))))
"""About as many as there are of words in CCG: more than the hidden size."""
TRIMMED = 30_000
NUM_STEPS = 2
HEAD = "target"


@dataclass(frozen=True)
class Case:
    """One training.

    Attributes:
        examples: of one micro-batch.
        vocab_size: rows of the embedding table; None is as published.
        layers: None is as published.
        training: what differs from the defaults.
        micro_batches: in one step.
        format: of the task; where an example may have several rows, it has one.
    """

    name: str
    scale: str
    method: str
    examples: int = 8
    precision: str = "fp32"
    vocab_size: int | None = None
    layers: int | None = None
    training: dict[str, Any] = field(default_factory=dict)
    micro_batches: int = 1
    format: Format = TWO_CHOICES

    @property
    def rows_each(self) -> int:
        return self.format.rows_per_example or 1

    def fields(self) -> dict[str, Any]:
        known = BACKBONES[self.scale].known_fields()
        return {
            **known,
            "vocab_size": self.vocab_size or known["vocab_size"],
            "num_hidden_layers": self.layers or known["num_hidden_layers"],
        }

    def settings(self) -> TrainingSettings:
        return TrainingSettings(
            learning_rate=1e-5,
            batch_size=self.examples * self.micro_batches,
            max_steps=NUM_STEPS,
            epochs=NUM_STEPS,
            select="last",
            **self.training,
        )

    def method_settings(self) -> dict[str, Any]:
        return METHODS[self.method].parse_settings({}).model_dump(mode="json")

    def workload(self, device: str) -> Workload:
        return Workload(
            fields=self.fields(),
            precision=self.precision,  # type: ignore[arg-type]  # the cases below hold no other
            method=self.method,
            method_settings=self.method_settings(),
            training=self.settings(),
            rows=self.rows_each * self.examples,
            length=LENGTH,
            accumulates=self.micro_batches > 1,
            device=device,  # type: ignore[arg-type]
            head=HeadShape(self.format.logits_per_row, self.format.label_level),
        )


FITS = {
    "optimizer": "adamw-8bit",
    "update": "backward",
    "master_weights": "bf16",
    "max_grad_norm": None,
    "gradient_checkpointing": True,
}
trimmed_full = partial(Case, scale="base", method="full", vocab_size=TRIMMED)

ON_CPU = (
    Case("base full", "base", "full"),
    trimmed_full("base full trimmed"),
    trimmed_full("base full trimmed, no dropout", training={"dropout": 0.0}),
    trimmed_full("base full trimmed, checkpointing", training={"gradient_checkpointing": True}),
    trimmed_full("base full trimmed, 2 micro-batches", micro_batches=2),
    trimmed_full("base full trimmed, adamw-8bit", training={"optimizer": "adamw-8bit"}),
    trimmed_full("base full trimmed, update backward", training={"update": "backward", "max_grad_norm": None}),
    Case("base seq_bn", "base", "seq_bn"),
    Case("base seq_bn trimmed", "base", "seq_bn", vocab_size=TRIMMED),
    Case("base lora", "base", "lora"),
    Case("base lora trimmed", "base", "lora", vocab_size=TRIMMED),
    Case("base lora trimmed, nf4", "base", "lora", vocab_size=TRIMMED, precision="nf4"),
    *(
        Case(f"base {method} trimmed, {name}", "base", method, 16, vocab_size=TRIMMED, layers=4, format=task_format)
        for name, task_format in (("spans", SPANS), ("1,000 tags", SUPERTAGS))
        for method in ("full", "seq_bn")
    ),
    Case("large full", "large", "full", examples=4, layers=8),
    Case("large full trimmed", "large", "full", examples=4, layers=8, vocab_size=TRIMMED),
    Case("large seq_bn", "large", "seq_bn", examples=4),
    Case("large seq_bn trimmed", "large", "seq_bn", examples=4, vocab_size=TRIMMED),
    Case("large lora", "large", "lora", examples=4),
    Case("large lora trimmed", "large", "lora", examples=4, vocab_size=TRIMMED),
)

ON_CUDA = (
    *(
        Case(f"{scale} {method} {precision}{', trimmed' if rows else ''}", scale, method, 16, precision, rows)
        for scale in ("base", "large")
        for method, precision in (
            ("full", "fp32"),
            ("full", "bf16"),
            ("seq_bn", "fp32"),
            ("seq_bn", "bf16"),
            ("lora", "bf16"),
            ("lora", "nf4"),
        )
        for rows in (None, TRIMMED)
    ),
    Case("large full bf16, checkpointing", "large", "full", 16, "bf16", training={"gradient_checkpointing": True}),
    Case("large full bf16, adamw-8bit", "large", "full", 16, "bf16", training={"optimizer": "adamw-8bit"}),
    Case("large full bf16, all that fits, trimmed", "large", "full", 16, "bf16", TRIMMED, training=FITS),
    Case("large lora int8, trimmed", "large", "lora", 16, "int8", TRIMMED),
    Case("xl seq_bn bf16, trimmed", "xl", "seq_bn", 16, "bf16", TRIMMED),
    Case("xl lora nf4, trimmed", "xl", "lora", 16, "nf4", TRIMMED),
    Case("xl full bf16, all that fits, trimmed", "xl", "full", 16, "bf16", TRIMMED, training=FITS),
)


def resident_bytes(name: str) -> int:
    """`VmRSS` (now) or `VmHWM` (the most since it was cleared) of this process."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"), re.MULTILINE)
    assert found is not None, name
    return int(found[1]) * 1024


def measure(case: Case, device_name: str) -> tuple[int, float]:
    """Bytes that training takes at its most, the model included, and seconds of a step."""
    import torch

    from adapter_transfer.backbones.backbone import Backbone
    from adapter_transfer.backbones.loading import load_body
    from adapter_transfer.methods.attach import (
        AdapterPart,
        Assembly,
        assemble,
        trained_parameters,
        with_flexible_heads,
    )
    from adapter_transfer.training.loop import FitInputs, FitTask, fit
    from adapter_transfer.training.runtime import Runtime, make_accelerator

    def encoded(count: int) -> EncodedExamples:
        rows = count * case.rows_each
        tokens = np.random.default_rng(0).integers(4, fields["vocab_size"], rows * LENGTH).astype(np.int32)
        names = tuple(map(str, range(count)))
        shape = {"example": (count,), "row": (rows, 2), "token": (len(tokens),)}[case.format.label_level]
        return EncodedExamples(
            tokens,
            offsets=np.arange(rows + 1) * LENGTH,
            first_rows=np.arange(count + 1) * case.rows_each,
            labels=np.zeros(shape, np.int64),
            ids=names,
            languages=names,
            format=case.format,
            places=np.tile(np.arange(LENGTH, dtype=np.int32), rows)[:, None].repeat(2, axis=1),
            references=[("x" * LENGTH, (("x", 0),))] * count
            if case.format.label_level == "row"
            else [("0",) * LENGTH] * count,
        )

    if case.precision in QUANTIZED:
        import bitsandbytes  # noqa: F401  # as large as a small encoder, and no part of one
    fields, settings, method = case.fields(), case.settings(), METHODS[case.method]
    device, is_full = torch.device(device_name), method.kind == "full"
    if device_name == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = 0 if device_name == "cuda" else resident_bytes("VmRSS")
    body = load_body(
        Backbone("random", "", "", weights="random", config=fields, vocab_size=fields["vocab_size"]),
        precision=case.precision,  # type: ignore[arg-type]
        trains=is_full,
        device=device,
        vocab_size=fields["vocab_size"],
        dtype=torch.bfloat16 if settings.master_weights == "bf16" else None,
        dropout=settings.dropout,
    )
    model = with_flexible_heads(body)
    assembly = Assembly(
        method=method,
        settings=case.method_settings(),
        head=HEAD,
        format=case.format,
        init_seed=0,
        adapters=() if is_full else (AdapterPart(HEAD, trains=True),),
        trains_body=is_full,
    )
    assemble(model, assembly)
    with tempfile.TemporaryDirectory() as folder:
        inputs = FitInputs(
            model=model,
            tasks=(FitTask(HEAD, encoded(settings.batch_size), encoded(1)),),
            settings=settings,
            seed=0,
            purpose="benchmark",
            runtime=Runtime(
                make_accelerator(device_name, case.precision),  # type: ignore[arg-type]
                precision=case.precision,  # type: ignore[arg-type]
                token_budget=case.examples * case.rows_each * LENGTH,
                checkpoint_seconds=1e9,
            ),
            progress_dir=Path(folder) / "progress",
            history_path=Path(folder) / "history.jsonl",
            parameters=trained_parameters(model),
        )
        if device_name == "cpu":
            Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
        else:
            torch.cuda.reset_peak_memory_stats()
        started = time.monotonic()
        fit(inputs)
    peak = torch.cuda.max_memory_allocated() if device_name == "cuda" else resident_bytes("VmHWM")
    return peak - before, (time.monotonic() - started) / NUM_STEPS


def run_case(case: Case, device: str, *, is_heap_plain: bool) -> dict[str, Any]:
    """Measures a case in a process of its own, beside its estimate."""
    command = [sys.executable, __file__, "--device", device, "--measure", case.name]
    allocation = {} if is_heap_plain else {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **allocation})
    if done.returncode:
        return {"case": case.name, "error": done.stderr.strip().splitlines()[-1:]}
    measured, seconds = json.loads(done.stdout.splitlines()[-1])
    estimate = estimate_memory(case.workload(device))
    return {
        "case": case.name,
        "layers": case.fields()["num_hidden_layers"],
        "is_cut": case.layers is not None,
        "rows_in_table": case.fields()["vocab_size"],
        "tokens": case.rows_each * case.examples * LENGTH,
        "measured_bytes": measured,
        "estimated_bytes": estimate.peak,
        "ratio": round(estimate.peak / measured, 3),
        "step_seconds": round(seconds, 2),
        "estimate": {key: value for key, value in asdict(estimate).items() if isinstance(value, int)},
    }


def table(records: list[dict[str, Any]]) -> str:
    """The records as a table in markdown."""
    lines = ["| case | layers | measured | estimated | estimate / measured |", "|---|--:|--:|--:|--:|"]
    for record in records:
        if "error" in record:
            lines.append(f"| {record['case']} | | failed: {record['error']} | | |")
            continue
        sizes = [f"{record[key] / 2**30:.2f} GiB" for key in ("measured_bytes", "estimated_bytes")]
        layers = f"{record['layers']}{' (cut)' if record['is_cut'] else ''}"
        lines.append(f"| {record['case']} | {layers} | {sizes[0]} | {sizes[1]} | {record['ratio']:.2f} |")
    return "\n".join(lines)


def has_card() -> bool:
    """Whether torch can use an NVIDIA card (asked in another process, so that this one takes nothing there)."""
    asked = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)"
    return subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--case", nargs="*", help="only these")
    parser.add_argument("--plain-heap", action="store_true", help="count holes in the C library's heap, too")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases = {case.name: case for case in (ON_CUDA if options.device == "cuda" else ON_CPU)}
    if options.measure:
        print(json.dumps(measure(cases[options.measure], options.device)))
        return
    if options.device == "cuda" and not has_card():
        print("skipped: torch finds no NVIDIA card here")
        return
    records = []
    for name in options.case or cases:
        records.append(run_case(cases[name], options.device, is_heap_plain=options.plain_heap))
        print(json.dumps(records[-1]), file=sys.stderr, flush=True)
    good = [record for record in records if "ratio" in record]
    print(
        json.dumps(
            {
                "benchmark": "memory",
                "device": options.device,
                "target": TARGET,
                "worst": max((abs(record["ratio"] - 1) for record in good), default=None),
                "failed": len(records) - len(good),
                "cases": records,
            },
            indent=1,
        )
    )
    print(table(records))


if __name__ == "__main__":
    main()
