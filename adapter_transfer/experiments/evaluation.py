"""Evaluating a target run that is already trained, in other languages than its experiment asked for. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.data import Sources, make_ref
from adapter_transfer.experiments.plan import Plan, planned_run
from adapter_transfer.experiments.runs import RunSpec, evaluation_of
from adapter_transfer.experiments.store import Store
from adapter_transfer.languages import expand_languages
from adapter_transfer.tasks.catalog import TASKS


def evaluation_plan(store: Store, run_id: str, languages: Sequence[str] = (), sources: Sources | None = None) -> Plan:
    """A plan of one run: the evaluation of a trained target run on its task's test items.

    Args:
        languages: codes or names of sets; empty for every language of the test split.

    Raises:
        ConfigError: if the run is no target run, is not done, or a language is unknown or has no test items.
        StoreError: if there is no such run.
    """
    stored = store.read(run_id)
    trained = RunSpec.from_description(stored.run["description"])
    if trained.phase != "target":
        raise ConfigError(f"run {run_id} is of phase {trained.phase!r}; only target runs are evaluated")
    if stored.manifest is None:
        raise ConfigError(f"run {run_id} is not done; train it to its end first")
    if trained.id != run_id:
        raise ConfigError(
            f"run {run_id} was trained by another version of this program, which computes otherwise; "
            "train it again with this one, or evaluate it with that one"
        )
    task = TASKS[trained.task]
    codes = expand_languages(languages) or task.languages["test"]
    missing = [code for code in codes if code not in task.languages["test"]]
    if missing:
        have = ", ".join(task.languages["test"])
        raise ConfigError(f"{task.name!r} has no test items in {', '.join(missing)}; it has {have}")
    reading = trained.data[0].reading
    question_field = reading.question_field if reading is not None else "repaired"
    found = sources or Sources()
    refs = [make_ref(task, "test", code, task.splits["test"], question_field, found) for code in codes]
    spec = evaluation_of(trained, refs)
    return Plan(f"evaluation of {run_id[:12]}", (planned_run(store, spec),), ())
