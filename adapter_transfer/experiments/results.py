"""The records that analysis and the CLI read: one for each run, one for each evaluated language of a run. No torch.

Only what has a manifest is a result. A run that cannot be read is passed over with a warning here and stands among the
runs with its reason, so that one damaged folder neither hides the others nor disappears.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from adapter_transfer.errors import StoreError
from adapter_transfer.experiments.data import SplitRef, refs_from_json
from adapter_transfer.experiments.store import Store, StoredRun

RecordStatus: TypeAlias = Literal["done", "partial", "todo", "failed", "damaged", "impossible"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """The accuracy of one evaluation run in one language, with what its target run cost.

    Attributes:
        run: id of the evaluation run.
        target_run: id of the run that was evaluated (of the intermediate run where there is no target phase).
        data: SHA-256 of the test items as the model saw them.
        question_field: how XCOPA's `question` was read; empty where that is not recorded.
        composition: "none" where `intermediate` is "none": that cell is the baseline of every composition.
        accuracy: 0 to 1, as are `chance` and `validation_accuracy` (English).
        constant_predictions: every item of this language got the same answer.
        trained_parameters: of the target phase, its head included.
        train_loss_first: mean loss of the target phase's first logged steps, in nats; `train_loss_last` of its last.
        train_seconds: of the target phase alone, without the intermediate.
    """

    run: str
    target_run: str
    backbone: str
    precision: str
    method: str
    composition: str
    intermediate: str
    target: str
    language: str
    seed: int
    accuracy: float
    num_items: int
    num_correct: int
    chance: float
    constant_predictions: bool
    trained_parameters: int
    total_parameters: int
    encoder_parameters: int
    validation_accuracy: float
    train_loss_first: float
    train_loss_last: float
    train_seconds: float
    data: str = ""
    question_field: str = ""


@dataclass(frozen=True)
class SplitRecord:
    """A split that a run read.

    Attributes:
        source: the files, or the Hub's repository and commit; empty in records of the first version.
        published: the published split's name.
        num_repaired, num_skipped: rows whose `question` was mended; rows that could not be read.
    """

    digest: str
    source: str = ""
    published: str = ""
    num_examples: int = 0
    num_repaired: int = 0
    num_skipped: int = 0


def split_record(ref: SplitRef) -> SplitRecord:
    """A reference as a record."""
    published = ref.reading.published if ref.reading is not None else ""
    return SplitRecord(ref.digest, ref.source, published, ref.num_examples, ref.num_repaired, ref.num_skipped)


@dataclass(frozen=True)
class RunRecord:
    """What became of one run.

    Attributes:
        status: "damaged" where the run's files cannot be read; every name that they held is empty then.
        reason: why it failed, is damaged or impossible; empty otherwise.
        parents: ids of the runs that it stands on.
        seconds: wall clock, of a done run.
        metrics: `metrics.json` of a done run.
        versions: of everything that computed it.
        data: split ("task/split/language") → what was read.
    """

    id: str
    phase: str
    status: RecordStatus
    backbone: str
    precision: str
    method: str
    composition: str
    intermediate: str
    task: str
    seed: int
    reason: str
    parents: tuple[str, ...]
    seconds: float | None
    metrics: Mapping[str, Any]
    versions: Mapping[str, str]
    data: Mapping[str, SplitRecord]


def read_results(store: Store) -> list[Result]:
    """Every result in the store, ordered by cell, seed and language.

    An evaluation whose target run is missing or damaged, or that is damaged itself, is passed over with a warning.

    Raises:
        StoreError: if the store's folder cannot be read.
    """
    stored: dict[str, StoredRun] = {}
    for run_id, found in _read_all(store):
        if isinstance(found, StoredRun):
            stored[run_id] = found
        else:
            logger.warning("run %s cannot be read: %s", run_id, found)
    results: list[Result] = []
    for run in stored.values():
        if run.manifest is None:
            continue
        try:
            if _description(run)["phase"] == "evaluation":
                results += _results_of(run, stored)
        except StoreError as error:
            logger.warning("run %s is not counted: %s", run.id, error)
    return sorted(results, key=_order)


def read_runs(store: Store) -> list[RunRecord]:
    """Every run that was begun, done or not, ordered by phase and cell.

    Raises:
        StoreError: if the store's folder cannot be read.
    """
    records = []
    for run_id, run in _read_all(store):
        try:
            records.append(_unreadable(run_id, run) if isinstance(run, StoreError) else _record_of(run))
        except StoreError as error:
            records.append(_unreadable(run_id, error))
    return sorted(records, key=_run_order)


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
    return dataclasses.asdict(result)


def _order(result: Result) -> tuple[str, str, str, str, str, str, int, str, str]:
    cell = (result.target, result.backbone, result.precision, result.method, result.intermediate, result.composition)
    return (*cell, result.seed, result.language, result.run)


def _run_order(run: RunRecord) -> tuple[int, str, str, str, str, str, str, int, str]:
    phases = ("intermediate", "target", "evaluation", "")
    cell = (run.task, run.backbone, run.precision, run.method, run.intermediate, run.composition)
    return (phases.index(run.phase), *cell, run.seed, run.id)


def _read_all(store: Store) -> Iterator[tuple[str, StoredRun | StoreError]]:
    for run_id in store.run_ids():
        try:
            yield run_id, store.read(run_id)
        except StoreError as error:
            yield run_id, error


def _results_of(run: StoredRun, stored: Mapping[str, StoredRun]) -> Iterator[Result]:
    with_fields = _description(run)
    metrics = _require(run.metrics, run, "metrics.json")
    parents = _field(with_fields, "parents", run)
    # An intermediate that was evaluated alone has no target run.
    target_id = _field(parents, "target" if "target" in parents else "intermediate", run)
    trained = stored.get(target_id)
    if trained is None or trained.metrics is None:
        raise StoreError(f"its target run {target_id} is not in the store, or not done. Start the experiment again.")
    cost = trained.metrics
    items = {ref.language: ref for ref in _refs(with_fields.get("data"), run)}
    for language, score in _field(metrics, "languages", run).items():
        ref = items.get(language)
        yield Result(
            data=ref.digest if ref is not None else "",
            question_field=ref.reading.question_field if ref is not None and ref.reading is not None else "",
            run=run.id,
            target_run=target_id,
            language=language,
            chance=float(_field(metrics, "chance", run)),
            **{name: _field(with_fields, name, run) for name in _CELL},
            **{name: _field(score, name, run) for name in _SCORE},
            **{name: _field(cost, name, trained) for name in _COST},
            train_seconds=float(_field(cost, "seconds", trained)),
        )


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


def _record_of(run: StoredRun) -> RunRecord:
    what = _description(run)
    reason = str(run.failure.get("error", "it failed")) if run.failure else ""
    metrics: Mapping[str, Any] = run.metrics or {}
    status: RecordStatus = "done" if run.manifest is not None else "failed" if run.failure else "partial"
    return RunRecord(
        id=run.id,
        status=status,
        reason=reason,
        parents=tuple(_field(what, "parents", run).values()),
        seconds=metrics.get("seconds"),
        metrics=metrics,
        versions=_mapping(run.run.get("versions")),
        data=_splits(what.get("data"), run),
        **{name: _field(what, name, run) for name in _RUN},
    )


_RUN = ("phase", "backbone", "precision", "method", "composition", "intermediate", "task", "seed")


def _unreadable(run_id: str, error: StoreError) -> RunRecord:
    # Nothing is known of it, so every name stays empty; -1 is no seed that an experiment may have.
    names = dict.fromkeys(("phase", "backbone", "precision", "method", "composition", "intermediate", "task"), "")
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


def _splits(recorded: object, run: StoredRun) -> dict[str, SplitRecord]:
    return {ref.name: split_record(ref) for ref in _refs(recorded, run)}


def _refs(recorded: object, run: StoredRun) -> tuple[SplitRef, ...]:
    try:
        return refs_from_json(recorded if isinstance(recorded, Mapping) else {})
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{run.path / 'run.json'} describes its data in a way that cannot be read ({error}). "
            "Remove the folder to have the run done again."
        ) from None


def _require(value: Mapping[str, Any] | None, run: StoredRun, name: str) -> Mapping[str, Any]:
    if value is None:
        raise StoreError(f"{run.path / name} is missing. Remove {run.path} to have the run done again.")
    return value


def _field(mapping: object, name: str, run: StoredRun) -> Any:
    """`mapping[name]`; untyped as JSON is, `Result` gives it its type."""
    if not isinstance(mapping, Mapping) or name not in mapping:
        raise StoreError(f"the files of run {run.path} lack {name!r}. Remove the folder to have the run done again.")
    return mapping[name]
