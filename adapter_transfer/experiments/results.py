"""From a store to its records, in one pass. No torch.

Only what has a manifest is a result. A run that cannot be read is passed over with a warning here and stands among the
runs with its reason, so that one damaged folder neither hides the others nor disappears.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter_transfer.durable import MANIFEST_NAME
from adapter_transfer.errors import StoreError
from adapter_transfer.experiments.data import SplitRef, refs_from_json
from adapter_transfer.experiments.records import Records, RecordStatus, Result, RunRecord, SplitRecord, split_record
from adapter_transfer.experiments.store import Store, StoredRun

__all__ = [
    "RecordStatus",
    "Records",
    "Result",
    "RunRecord",
    "SplitRecord",
    "read_records",
    "read_results",
    "read_runs",
    "result_to_json",
    "split_record",
    "without_repeats",
]

logger = logging.getLogger(__name__)


def read_records(store: Store) -> Records:
    """Every result and every run in a store; each file is read once.

    An evaluation whose target run is missing or damaged, or that is damaged itself, gives no result, with a warning.

    Raises:
        StoreError: if the store's folder cannot be read.
    """
    told = _Told()
    runs: list[RunRecord] = []
    scores: list[_Scores] = []
    costs: dict[str, Mapping[str, Any]] = {}
    for run_id, run in store.read_all():
        if isinstance(run, StoreError):
            logger.warning("run %s cannot be read: %s", run_id, run)
            runs.append(_unreadable(run_id, run))
            continue
        if run.metrics is not None:
            costs[run_id] = run.metrics
        try:
            if run.manifest is not None and _description(run)["phase"] == "evaluation":
                scores.append(_scores_of(run, told))
        except StoreError as error:
            logger.warning("run %s is not counted: %s", run_id, error)
        try:
            runs.append(_record_of(run, told))
        except StoreError as error:
            runs.append(_unreadable(run_id, error))
    results: list[Result] = []
    for found in scores:
        try:
            results += _results_of(found, costs)
        except StoreError as error:
            logger.warning("run %s is not counted: %s", found.run, error)
    return Records(sorted(results, key=_order), sorted(runs, key=_run_order))


def read_results(store: Store) -> list[Result]:
    """The results of `read_records`."""
    return read_records(store).results


def read_runs(store: Store) -> list[RunRecord]:
    """The runs of `read_records`."""
    return read_records(store).runs


def without_repeats(results: Iterable[Result]) -> list[Result]:
    """One result for each target run, language and set of items, in the order of `read_results`: the first run id's.

    A target run may be evaluated more than once, on sets of languages that overlap; there they say one thing twice.
    On other items (repaired, say, and as published) they say two things, and both are kept.
    """
    kept: dict[tuple[str, str, str], Result] = {}
    for result in sorted(results, key=lambda result: result.run):
        kept.setdefault((result.target_run, result.language, result.data), result)
    return sorted(kept.values(), key=_order)


def result_to_json(result: Result) -> dict[str, Any]:
    """A result as `results --json` prints it: the fields of `Result` under their own names."""
    # Its fields are plain values; `dataclasses.asdict` copies each of them, which takes seconds for 20,000 results.
    return dict(vars(result))


def _order(result: Result) -> tuple[str, str, str, str, str, str, int, str, str]:
    cell = (result.target, result.backbone, result.precision, result.method, result.intermediate, result.composition)
    return (*cell, result.seed, result.language, result.run)


def _run_order(run: RunRecord) -> tuple[int, str, str, str, str, str, str, int, str]:
    phases = ("intermediate", "target", "evaluation", "")
    cell = (run.task, run.backbone, run.precision, run.method, run.intermediate, run.composition)
    return (phases.index(run.phase), *cell, run.seed, run.id)


@dataclass(frozen=True)
class _Scores:
    """An evaluation as far as its own files tell.

    Attributes:
        same: what is the same in all its results.
        by_language: what is not.
    """

    run: str
    path: Path
    target_run: str
    same: Mapping[str, Any]
    by_language: Mapping[str, Mapping[str, Any]]


def _scores_of(run: StoredRun, told: _Told) -> _Scores:
    described = _description(run)
    metrics = _require(run.metrics, run.path, "metrics.json")
    parents = _field(described, "parents", run.path)
    # An intermediate that was evaluated alone has no target run.
    target_id = _field(parents, "target" if "target" in parents else "intermediate", run.path)
    items = {name.split("/")[2]: split for name, split in told.splits(described.get("data"), run).items()}
    unknown = SplitRecord("")
    same = {name: _field(described, name, run.path) for name in _CELL}
    same["chance"] = float(_field(metrics, "chance", run.path))
    same["computation"] = _mapping(run.run.get("versions")).get("computation", "")
    by_language = {
        language: {
            **{name: _field(score, name, run.path) for name in _SCORE},
            "data": items.get(language, unknown).digest,
            "question_field": items.get(language, unknown).question_field,
        }
        for language, score in _field(metrics, "languages", run.path).items()
    }
    return _Scores(run.id, run.path, target_id, same, by_language)


def _results_of(found: _Scores, costs: Mapping[str, Mapping[str, Any]]) -> list[Result]:
    cost = costs.get(found.target_run)
    if cost is None:
        raise StoreError(
            f"its target run {found.target_run} is not in the store, or not done. Start the experiment again."
        )
    path = found.path.parent / found.target_run
    same = {**found.same, **{name: _field(cost, name, path) for name in _COST}}
    seconds = float(_field(cost, "seconds", path))
    return [
        Result(
            run=found.run,
            target_run=found.target_run,
            language=language,
            train_seconds=seconds,
            **same,
            **score,
        )
        for language, score in found.by_language.items()
    ]


_CELL = ("backbone", "precision", "method", "composition", "intermediate", "target", "seed")
_SCORE = ("accuracy", "num_items", "num_correct", "constant_predictions")
_COST = (
    "trained_parameters",
    "total_parameters",
    "encoder_parameters",
    "validation_accuracy",
    "train_loss_first",
    "train_loss_last",
)


def _record_of(run: StoredRun, told: _Told) -> RunRecord:
    what = _description(run)
    reason = str(run.failure.get("error", "it failed")) if run.failure else ""
    # What finished it is nearly always what began it, and twice the size of the rest.
    metrics = {name: value for name, value in (run.metrics or {}).items() if name != "finished_by"}
    status: RecordStatus = "done" if run.manifest is not None else "failed" if run.failure else "partial"
    declared = what.get("declaration")
    backbone = declared if isinstance(declared, Mapping) else {}
    return RunRecord(
        id=run.id,
        status=status,
        reason=reason,
        parents=tuple(_field(what, "parents", run.path).values()),
        seconds=metrics.get("seconds"),
        metrics=metrics,
        versions=told.once(_mapping(run.run.get("versions"))),
        data=told.splits(what.get("data"), run),
        settings={} if what["phase"] == "evaluation" else told.once(_settings(run.run.get("identity"))),
        finished=_finished(run.path) if status == "done" else 0.0,
        is_sandbox=bool(backbone.get("is_sandbox", False)),
        is_random=backbone.get("weights") == "random",
        is_distilled=backbone.get("distilled_from") is not None,
        **{name: _field(what, name, run.path) for name in _RUN},
    )


class _Told:
    """What was told before: the same versions, settings and data stand in thousands of runs, and are kept once."""

    def __init__(self) -> None:
        self._mappings: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        self._splits: dict[str, Mapping[str, SplitRecord]] = {}

    def once(self, mapping: Mapping[str, str]) -> Mapping[str, str]:
        """`mapping`, or an equal one from before."""
        return self._mappings.setdefault(tuple(mapping.items()), mapping)

    def splits(self, recorded: object, run: StoredRun) -> Mapping[str, SplitRecord]:
        """The splits that a description names; those that were read before are not read again."""
        key = str(recorded)
        if key not in self._splits:
            self._splits[key] = {ref.name: split_record(ref) for ref in _refs(recorded, run)}
        return self._splits[key]


def _settings(identity: object) -> dict[str, str]:
    """What is in the identity of a training run beside cell, seed and parents, flat and as text."""
    if not isinstance(identity, Mapping):
        return {}
    method, training, data = identity.get("method"), identity.get("training"), identity.get("data")
    found = {name: identity.get(name) for name in ("head", "backbone", "adopted")}
    if isinstance(training, Mapping):
        found |= training
    if isinstance(method, Mapping) and isinstance(method.get("settings"), Mapping):
        found |= {f"{method.get('name')} {name}": value for name, value in method["settings"].items()}
    if isinstance(data, list):
        found |= {f"data of {'/'.join(map(str, split[:-1]))}": split[-1] for split in data if isinstance(split, list)}
    return {str(name): str(value) for name, value in found.items() if value is not None}


def _finished(path: Path) -> float:
    try:
        return (path / MANIFEST_NAME).stat().st_mtime
    except OSError:  # removed a moment ago
        return 0.0


_RUN = ("phase", "backbone", "precision", "method", "composition", "intermediate", "task", "seed")


def _unreadable(run_id: str, error: StoreError) -> RunRecord:
    # Nothing is known of it, so every name stays empty; -1 is no seed that an experiment may have.
    names: dict[str, Any] = dict.fromkeys((name for name in _RUN if name != "seed"), "")
    return RunRecord(
        id=run_id,
        status="damaged",
        reason=str(error),
        seed=-1,
        parents=(),
        seconds=None,
        metrics={},
        versions={},
        data={},
        **names,
    )


def _description(run: StoredRun) -> Mapping[str, Any]:
    what = run.run.get("description")
    if not isinstance(what, Mapping) or what.get("phase") not in ("intermediate", "target", "evaluation"):
        raise StoreError(f"{run.path / 'run.json'} has no description. Remove {run.path} to have the run done again.")
    return what


def _mapping(value: object) -> dict[str, str]:
    return {str(key): str(item) for key, item in value.items()} if isinstance(value, Mapping) else {}


def _refs(recorded: object, run: StoredRun) -> tuple[SplitRef, ...]:
    try:
        return refs_from_json(recorded if isinstance(recorded, Mapping) else {})
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{run.path / 'run.json'} describes its data in a way that cannot be read ({error}). "
            "Remove the folder to have the run done again."
        ) from None


def _require(value: Mapping[str, Any] | None, path: Path, name: str) -> Mapping[str, Any]:
    if value is None:
        raise StoreError(f"{path / name} is missing. Remove {path} to have the run done again.")
    return value


def _field(mapping: object, name: str, path: Path) -> Any:
    """`mapping[name]`; untyped as JSON is, `Result` gives it its type."""
    if not isinstance(mapping, Mapping) or name not in mapping:
        raise StoreError(f"the files of run {path} lack {name!r}. Remove the folder to have the run done again.")
    return mapping[name]
