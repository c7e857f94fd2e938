"""Evaluating a target run that is already trained, in other languages than its experiment asked for. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.adoption import require_no_adopted_leak
from adapter_transfer.experiments.data import Sources, SplitRef, data_notes, make_ref, require_no_leak
from adapter_transfer.experiments.plan import Plan, planned_run
from adapter_transfer.experiments.pulling import pull_into
from adapter_transfer.experiments.runs import RunSpec, evaluation_of
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.stored_runs import read_spec
from adapter_transfer.hub import HubError, RepoKind
from adapter_transfer.hub_lock import Resolver
from adapter_transfer.languages import expand_languages
from adapter_transfer.tasks.catalog import TASKS


def evaluation_plan(store: Store, run_id: str, languages: Sequence[str] = (), sources: Sources | None = None) -> Plan:
    """A plan of one run: the evaluation of a trained target run on its task's test items.

    Args:
        languages: codes or names of sets; empty for every language of the test split.

    Raises:
        ConfigError: if the run is no target run, is not done, a language is unknown or has no test items, or a
            pulled adapter that it stands on was trained on some of them.
        StoreError: if there is no such run.
    """
    stored, trained = store.read(run_id), read_spec(store, run_id)
    if trained.phase != "target":
        hint = " An intermediate alone is evaluated by a configuration with `target: none`."
        raise ConfigError(f"run {run_id} is of phase {trained.phase!r}; only target runs are evaluated.{hint}")
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
    seen = [*trained.data, *_data_of_parents(store, trained)]
    reading = trained.data[0].reading
    question_field = reading.question_field if reading is not None else "repaired"
    found = _pinned(sources or Sources(), seen)
    refs = [make_ref(task, "test", code, task.splits["test"], question_field, found) for code in codes]
    require_no_leak(seen, refs, found.data_dir, found.cache)
    warnings = tuple(_require_no_adopted_leak(store, trained, refs))
    spec = evaluation_of(trained, refs)
    notes = data_notes(refs)
    return Plan(f"evaluation of {run_id[:12]}", (planned_run(store, spec),), (), notes=notes, warnings=warnings)


def _data_of_parents(store: Store, trained: RunSpec) -> Iterator[SplitRef]:
    for parent in trained.parents.values():
        yield from read_spec(store, parent).data


def _require_no_adopted_leak(store: Store, trained: RunSpec, refs: Sequence[SplitRef]) -> Iterator[str]:
    """Looks again at what a pulled adapter was trained on, and tells where nobody can know.

    The experiment looked at the languages that it asked for alone.
    """
    adopted = trained.adopted
    if adopted is None:
        return
    package = None
    with suppress(HubError):  # it may be gone from the store, and not to be had now
        package = pull_into(store.root, adopted.reference).package
    if package is not None:
        require_no_adopted_leak({(trained.intermediate, adopted.path): package.adapter(adopted.path)}, refs)
    if package is None or not adopted.is_data_known:
        yield (
            f"{trained.intermediate}: all that it was trained on cannot be looked up, so that a leak cannot be "
            "excluded: evaluated items may have been among it."
        )


def _pinned(sources: Sources, seen: Sequence[SplitRef]) -> Sources:
    """The same sources, but what the run read from the Hub is read at the commits that it read."""
    commits = {repo: commit for ref in seen if ref.reading is not None for repo, commit in ref.reading.revisions}

    def resolve(kind: RepoKind, repo: str, revision: str) -> str:
        return commits[repo] if repo in commits else sources.resolver.commit(kind, repo, revision)

    return replace(sources, resolver=Resolver(resolve=resolve))
