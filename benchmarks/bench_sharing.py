"""What checking a stranger's adapter costs, beside plain adapters' unchecked loading of the same files.

A bottleneck adapter and a LoRA with XLM-R base's layers and widths (random weights, a vocabulary of 1,000 rows, which
adapters do not touch) are saved, with a head. Ours: names, sizes, headers, every value finite (`inspect`), what the
files say (`read`), every key, shape and type against a model on the meta device (`fit`), then loading into a model
with the checks of `methods.weights` (`load`). Theirs: `load_adapter(folder, use_safetensors=True)` into the same model,
which checks nothing (docs/sharing.md). Medians over rounds in one process, one thread, files in the page cache. Parity:
the loaded weights are equal to the bit. Prints a JSON record.

Run: .venv/bin/python benchmarks/bench_sharing.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapters
import torch
from transformers import XLMRobertaConfig, XLMRobertaModel

from adapter_transfer.backbones.zoo import own_backbone
from adapter_transfer.methods.attach import (
    AdapterPart,
    Assembly,
    adapter_state,
    assemble,
    disassemble,
    save_artifact,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.sandbox.files import TOKENIZER_FOLDER, sandbox_dir
from adapter_transfer.sharing.fit import require_fit
from adapter_transfer.sharing.inspection import inspect_package
from adapter_transfer.sharing.reading import read_package
from adapter_transfer.tasks.choice_formats import MultipleChoice

NAME, ROWS = "copa", 1_000


def save_encoder(folder: Path) -> Any:
    """An encoder of base's layers and widths with the sandbox's tokenizer; saved, and with adapters and heads."""
    tokenizer = sandbox_dir() / TOKENIZER_FOLDER
    shutil.copytree(tokenizer, folder)
    config = XLMRobertaConfig(
        vocab_size=ROWS,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=514,
        type_vocab_size=1,
    )
    config._name_or_path = str(folder)
    body = XLMRobertaModel(config, add_pooling_layer=False)
    body.save_pretrained(folder)
    return with_flexible_heads(body)


def assembly(method: str, source: Path | None = None) -> Assembly:
    return Assembly(
        method=METHODS[method],
        settings=METHODS[method].parse_settings({}).model_dump(mode="json"),
        head=NAME,
        format=MultipleChoice(2),
        init_seed=1,
        adapters=(AdapterPart(NAME, trains=source is None, source=source),),
        head_source=source,
    )


def timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure(model: Any, encoder: Path, folder: Path, method: str, num_rounds: int) -> dict[str, Any]:
    """Seconds of each stage, and whether both ways load the same weights."""
    assemble(model, assembly(method))
    save_artifact(model, assembly(method), folder)
    disassemble(model, assembly(method))
    place, backbone = folder / "adapters" / NAME, own_backbone(str(encoder))
    rounds = []
    for _ in range(num_rounds):
        one = {"inspect": timed(lambda: inspect_package(place))}
        one["read"] = timed(lambda: read_package(place))
        package = read_package(place)
        one["fit"] = timed(lambda: require_fit(place, package, backbone))  # noqa: B023  # called at once
        one["load"] = timed(lambda: assemble(model, assembly(method, place)))
        ours = {key: value.clone() for key, value in adapter_state(model, NAME).items()}
        disassemble(model, assembly(method))
        one["ours"] = sum(one.values())
        one["theirs"] = timed(lambda: model.load_adapter(str(place), use_safetensors=True))
        theirs = adapter_state(model, NAME)
        is_equal = ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
        if not is_equal:
            raise SystemExit(f"{method}: the two loaded different weights")
        model.delete_adapter(NAME)
        model.delete_head(NAME)
        rounds.append(one)
    medians = {name: round(statistics.median(one[name] for one in rounds), 4) for name in rounds[0]}
    num_bytes = sum(path.stat().st_size for path in place.iterdir())
    return {"bytes": num_bytes, "seconds": medians, "all_ours": [round(one["ours"], 4) for one in rounds]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        encoder = Path(scratch) / "encoder"
        model = save_encoder(encoder)
        methods = {
            method: measure(model, encoder, Path(scratch) / method, method, arguments.rounds)
            for method in ("seq_bn", "lora")
        }
    record = {
        "machine": platform.processor() or platform.machine(),
        "versions": {"torch": torch.__version__, "adapters": adapters.__version__},
        "rounds": arguments.rounds,
        "methods": methods,
    }
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
