"""What is known of how well a served model answers: a run's evaluation in the store, or what its package declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adapter_transfer.errors import AdapterTransferError
from adapter_transfer.experiments.pulling import adapters_dir
from adapter_transfer.experiments.results import read_results, without_repeats
from adapter_transfer.experiments.store import Store
from adapter_transfer.prediction.predictor import Predictor
from adapter_transfer.sharing.package import Package
from adapter_transfer.sharing.pull import find_pulled
from adapter_transfer.sharing.reading import read_package
from adapter_transfer.sharing.references import is_hub_adapter, parse_hub_adapter

_RUN = "run "


def known_scores(predictor: Predictor, source: str, store_dir: Path) -> list[dict[str, Any]]:
    """Accuracy by language, `{"language", "accuracy", "num_items", "num_seeds", "is_declared"}`; empty if unknown.

    What is declared is what a package's author says; the rest was measured in this store.

    Args:
        source: what the predictor was loaded from, as it was named.
    """
    try:
        if predictor.name.startswith(_RUN):
            return _of_run(predictor.name.removeprefix(_RUN), store_dir)
        return _of_package(predictor, source, store_dir)
    except AdapterTransferError:
        return []  # a page that lacks them serves as well


def _of_run(prefix: str, store_dir: Path) -> list[dict[str, Any]]:
    results = without_repeats(read_results(Store.open(store_dir, create=False)))
    found = {each.language: each for each in results if each.target_run.startswith(prefix)}
    return [
        {
            "language": each.language,
            "accuracy": each.accuracy,
            "num_items": each.num_items,
            "num_seeds": 1,
            "is_declared": False,
        }
        for each in found.values()
    ]


def _of_package(predictor: Predictor, source: str, store_dir: Path) -> list[dict[str, Any]]:
    package: Package | None
    if is_hub_adapter(predictor.name):
        pulled = find_pulled(parse_hub_adapter(predictor.name), adapters_dir(store_dir))
        package = None if pulled is None else pulled.package
    else:
        package = read_package(Path(source).expanduser())
    scores = () if package is None else package.scores
    return [
        {
            "language": score.language,
            "accuracy": score.value,
            "num_items": score.num_items,
            "num_seeds": score.num_seeds,
            "is_declared": True,
        }
        for score in scores
        if score.task == predictor.task and score.metric == "accuracy"
    ]
