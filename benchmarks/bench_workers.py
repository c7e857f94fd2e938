"""Workers: two processes of one thread against one process of two threads, on a part of the demo.

Both sides do the same 10 runs (micro, seq_bn, with and without next-event, two seeds) into fresh stores, interleaved.
The two processes load the libraries within their time and the single one has them loaded: the ratio is on the low side.
Parity: both end with the same run ids; the largest difference of an accuracy is printed (one and two threads round
differently, and short trainings amplify that). Prints a JSON record with the ratio of medians.

Run: .venv/bin/python benchmarks/bench_workers.py
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from importlib.resources import files
from pathlib import Path

from adapter_transfer.config import apply_overrides, parse, read_document
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import read_results
from adapter_transfer.experiments.store import Store

REPEATS = 3
OVERRIDES = ["backbones=[micro]", "methods=[{name: seq_bn, settings: {reduction_factor: 2}}]"]
# (workers, threads of each)
SIDES = {"2 workers x 1 thread": (2, 1), "1 worker x 2 threads": (1, 2)}


def run(workers: int, threads: int) -> tuple[float, dict[tuple[str, str], float]]:
    """Seconds, and accuracy by run and language."""
    experiment = parse(
        Experiment,
        apply_overrides(read_document(Path(str(files("adapter_transfer_configs"))) / "demo.yaml"), OVERRIDES),
    )
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store")
        plan = make_plan(experiment, store)
        started = time.perf_counter()
        outcome = execute(plan, store, MachineSettings("cpu", threads=threads), num_workers=workers)
        seconds = time.perf_counter() - started
        assert not outcome.failed, outcome.failed
        return seconds, {(result.run, result.language): result.accuracy for result in read_results(store)}


def main() -> None:
    # Once unmeasured, so that neither side pays for the first loading of the libraries in this process.
    run(1, 1)
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    accuracies: dict[str, dict[tuple[str, str], float]] = {}
    for _ in range(REPEATS):
        for name, (workers, threads) in SIDES.items():
            spent, accuracies[name] = run(workers, threads)
            seconds[name].append(spent)
    one, other = accuracies.values()
    assert one.keys() == other.keys()
    difference = max(abs(one[key] - other[key]) for key in one)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        json.dumps(
            {
                "benchmark": "workers",
                "runs": 10,
                "repeats": REPEATS,
                "median_seconds": {name: round(value, 1) for name, value in medians.items()},
                "threads_over_workers": round(medians["1 worker x 2 threads"] / medians["2 workers x 1 thread"], 2),
                "largest_accuracy_difference": round(difference, 4),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
