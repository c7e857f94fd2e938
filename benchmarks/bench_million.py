"""A task of 1.1 million examples (ANLI+): what planning and the start of training take, the first time and after that.

The files are made here, with the columns, numbers of rows and about the lengths of the published ones (parses of SNLI
and MNLI included: they are read over), of words that the backbone's tokenizer knows, drawn at random. Each stage is a
process of its own:

- `plan`: `adapter-transfer plan`, costs included. The first one reads and checks every row and keeps the examples, the
  second finds them by the files' bytes.
- `start`: a worker's session, from the first import to the first optimizer step of the intermediate training. The first
  one tokenizes everything and keeps the tokens, the second maps them.

Told of each are seconds and peak resident memory, pages of mapped files included, and those of a session that does the
same with a thousandth of the rows ("model": imports, model, optimizer, a step). What a stage has above it is to be at
most 2 GiB, and the second start a matter of seconds. Parity: examples that are read from the cache have the digest of
those that were checked. Takes up to a quarter of an hour on two cores and 4 GB of disk. Prints a JSON record.

Run: .venv/bin/python benchmarks/bench_million.py [--scale 0.01]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.nli import LABELS
from adapter_transfer.tasks.stored_examples import ExampleCache
from adapter_transfer.tasks.task import examples_digest, load_examples

LIMIT_BYTES = 2 << 30
FEW = 0.001
ROUNDS = {"R1": 16_946, "R2": 45_460, "R3": 100_459}
NUM_DEV, NUM_MNLI, NUM_SNLI = 1_000, 392_702, 550_152
VOCABULARY = 30_000
CONFIG = """
name: million
backbones: [{backbone}]
methods: [{{name: seq_bn, settings: {{reduction_factor: 4}}}}]
intermediates: [anli]
target: micro-copa
languages: [en]
seeds: [1]
training:
  - {{learning_rate: 1e-3, batch_size: 32, epochs: 1, max_length: 128}}
"""


def words(generator: random.Random) -> Callable[[float], str]:
    """Gives texts of about so many words, a frequent one most often, as in language."""
    known = sorted(word[1:] for word in load_tokenizer(BACKBONES["nano"]).get_vocab() if word[1:].isascii())
    stems = [word for word in known if len(word) > 1 and word.isalpha()]
    # About every third word is more than one token, as in language.
    lexicon = [generator.choice(stems) + generator.choice(("", "", "n")) for _ in range(VOCABULARY)]

    def text(mean: float) -> str:
        count = max(3, round(generator.gauss(mean, mean / 3)))
        return " ".join(lexicon[int(generator.paretovariate(0.7)) % VOCABULARY] for _ in range(count))

    return text


def write_files(folder: Path, scale: float) -> int:
    """ANLI's three rounds, MNLI as in GLUE and SNLI; returns the number of training examples."""
    generator = random.Random(0)
    text = words(generator)
    total = 0
    for round_, full in ROUNDS.items():
        for split, count in (("train", round(full * scale)), ("dev", NUM_DEV)):
            rows = (
                {
                    "uid": f"{generator.getrandbits(96):024x}-{number}",
                    "context": text(54),
                    "hypothesis": text(10),
                    "label": generator.choice("enc"),
                    "model_label": generator.choice("enc"),
                    "emturk": True,
                    "genre": "wiki",
                    "reason": text(20),
                    "tag": f"{round_.lower()}:{split}",
                }
                for number in range(count)
            )
            write_lines(folder / f"anli_v1.0/{round_}/{split}.jsonl", map(json.dumps, rows))
            total += count if split == "train" else 0
    count = round(NUM_MNLI * scale)
    names = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse"
    header = f"{names} sentence1 sentence2 label1 gold_label".replace(" ", "\t")
    write_lines(folder / "MNLI/train.tsv", (line for part in ([header], mnli(generator, text, count)) for line in part))
    total += count
    count = round(NUM_SNLI * scale)
    write_lines(folder / "snli_1.0/snli_1.0_train.jsonl", snli(generator, text, count))
    return total + count


def mnli(generator: random.Random, text: Callable[[float], str], count: int) -> Iterator[str]:
    for number in range(count):
        one, other, label = text(20), text(10), generator.choice(LABELS)
        parses = [f"( {one} )", f"( {other} )", f"(ROOT (S {one} ))", f"(ROOT (S {other} ))"]
        fields = [str(number), f"{number // 3}", f"{number}{label[0]}", "slate", *parses, one, other, label, label]
        yield "\t".join(fields)


def snli(generator: random.Random, text: Callable[[float], str], count: int) -> Iterator[str]:
    for number in range(count):
        if number % 3 == 0:  # three hypotheses of each picture's description
            one = text(14)
        other, label = text(8), generator.choice(LABELS)
        yield json.dumps(
            {
                "annotator_labels": [label],
                "captionID": f"{number // 3}.jpg#0",
                "gold_label": label,
                "pairID": f"{number // 3}.jpg#0r{number % 3}{label[0]}",
                "sentence1": one,
                "sentence1_binary_parse": f"( {one} )",
                "sentence1_parse": f"(ROOT (S {one} ))",
                "sentence2": other,
                "sentence2_binary_parse": f"( {other} )",
                "sentence2_parse": f"(ROOT (S {other} ))",
            }
        )


def write_lines(path: Path, lines: Iterator[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


class _Started(Exception):
    """The first optimizer step is done."""


def start(config: Path, folder: Path, data_dir: Path) -> None:
    """A session up to the first step of its first training, as a worker has it; the process ends there."""
    from adapter_transfer.config import parse, read_text
    from adapter_transfer.experiments.data import Sources
    from adapter_transfer.experiments.experiment import Experiment
    from adapter_transfer.experiments.machine import MachineSettings
    from adapter_transfer.experiments.plan import make_plan
    from adapter_transfer.experiments.session import Session
    from adapter_transfer.experiments.store import Store
    from adapter_transfer.training import loop

    store = Store.open(folder)
    cache = ExampleCache(store.root / "cache" / "examples")
    experiment = parse(Experiment, read_text(config.read_text(), config.name))
    plan = make_plan(experiment, store, Sources(data_dir, cache=cache))
    spec = next(run.spec for run in plan.runs if run.spec.phase != "evaluation")
    count_step = loop._count_step

    def stop(*arguments: Any) -> Any:
        count_step(*arguments)
        raise _Started

    loop._count_step = stop
    try:
        Session(store, MachineSettings(device="cpu", threads=1, data_dir=data_dir)).execute(spec)
    except _Started:
        return


def measured(*arguments: object) -> dict[str, float]:
    """Seconds (by the clock and of the CPU) and peak resident memory of a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.DEVNULL, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(map(str, arguments))}")
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_bytes": used.ru_maxrss * kilobyte,
    }


def measure(folder: Path, scale: float, backbone: str) -> dict[str, Any]:
    data_dir, store = folder / "data", folder / "store"
    num_examples = write_files(data_dir, scale)
    write_files(folder / "few", FEW)
    config = folder / "million.yaml"
    config.write_text(CONFIG.format(backbone=backbone))
    call = "from adapter_transfer_cli.main import main; main()"
    plan = ("-c", call, "plan", config, "--data-dir", data_dir, "--store", store)
    own = (__file__, "--start", config, store, data_dir)
    stages = {
        "model": measured(__file__, "--start", config, folder / "model", folder / "few"),
        "first plan": measured(*plan),
        "second plan": measured(*plan),
        "first start": measured(*own),
        "second start": measured(*own),
    }
    above = {name: stage["peak_bytes"] - stages["model"]["peak_bytes"] for name, stage in stages.items()}
    return {
        "num_examples": num_examples,
        "scale": scale,
        "backbone": backbone,
        "files_bytes": size(data_dir),
        "cache_bytes": {part.name: size(part) for part in sorted((store / "cache").iterdir())},
        "stages": stages,
        "above_the_model_bytes": above,
        "within_limit": max(above.values()) <= LIMIT_BYTES,
        "parity": parity(data_dir, store),
    }


def parity(data_dir: Path, store: Path) -> bool:
    """Whether the examples of the cache are those that were checked."""
    found = load_examples(
        TASKS["anli"], "train", "en", data_dir=data_dir, cache=ExampleCache(store / "cache" / "examples")
    )
    return not isinstance(found.examples, tuple) and examples_digest(found.examples) == found.digest


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the published numbers of rows")
    parser.add_argument("--backbone", default="nano")
    parser.add_argument("--start", nargs=3, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.start is not None:
        start(*arguments.start)
        # At once: ending in order would count for the measurement.
        os._exit(0)
    with tempfile.TemporaryDirectory(prefix="bench-million-") as folder:
        record = measure(Path(folder), arguments.scale, arguments.backbone)
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
