"""One run out of an experiment's plan, by the names of its cell; what `train` trains."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import ConfigError, ImpossibleError
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.experiment import INTERMEDIATE_TASKS, TARGET_TASKS, Experiment, intermediate_name
from adapter_transfer.experiments.plan import Plan, PlannedRun, make_plan
from adapter_transfer.experiments.store import Store
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.registry import unknown_name_message
from adapter_transfer.training.settings import Phase


@dataclass(frozen=True)
class RunChoice:
    """The names of one training run.

    Attributes:
        precision: None where the experiment leaves only one; likewise `composition`, which only a target run has.
        target: of a target run; None for the experiment's own, else one that a control adds.
    """

    phase: Phase
    backbone: str
    method: str
    intermediate: str
    seed: int
    precision: str | None = None
    composition: str | None = None
    target: str | None = None


def chosen_plan(experiment: Experiment, store: Store | None, sources: Sources, choice: RunChoice) -> Plan:
    """The chosen run, last, and the intermediate run that it stands on.

    The whole experiment is planned and its runs are chosen from: a smaller experiment may have runs of other ids,
    because a tokenizer of our own is trained on the text of all tasks of an experiment.

    Raises:
        ConfigError: if the experiment has no such run, or several; what it has is named.
        ImpossibleError: if the choice is a cell that cannot be run.
    """
    if choice.phase == "intermediate" and choice.intermediate == "none":
        raise ConfigError("--phase intermediate needs a task: give one with --intermediate")
    problems = list(_names_that_are_missing(experiment, choice))
    if problems:
        raise ConfigError(problems)
    own = experiment.evaluated_task.name if choice.phase == "target" and choice.target is None else choice.target
    choice = replace(choice, intermediate=_as_written(choice.intermediate), target=own)
    plan = make_plan(experiment, store, sources)
    run = _only_one([run for run in plan.runs if not run.is_trial and _is_of(run, choice)], plan, choice)
    parents = tuple(other for other in plan.runs if other.spec.id in run.spec.parents.values())
    return Plan(plan.name, (*parents, run), (), notes=plan.notes)


def _names_that_are_missing(experiment: Experiment, choice: RunChoice) -> Iterator[str]:
    methods = [method.name for method in experiment.methods]
    yield from _missing(
        "backbone", choice.backbone, experiment.backbone_names, dict.fromkeys((*BACKBONES, *experiment.backbone_names))
    )
    yield from _missing("method", choice.method, methods, METHODS)
    there = experiment.all_intermediates
    known = dict.fromkeys(["none", *INTERMEDIATE_TASKS, *there])
    yield from _missing("intermediate", _as_written(choice.intermediate), there, known)
    if choice.target is not None and choice.phase == "intermediate":
        yield "--target is for --phase target: an intermediate is trained once for all of them"
    elif choice.target is not None:
        yield from _missing("target", choice.target, [task.name for task in experiment.targets], TARGET_TASKS)
    if choice.seed not in experiment.seeds:
        yield _not_there("seed", str(choice.seed), [str(seed) for seed in experiment.seeds])


def _as_written(intermediate: str) -> str:
    """A name as experiments have it: a mixture's tasks in order, a pulled adapter with its revision."""
    try:
        return intermediate_name(intermediate)
    except ValueError:
        return intermediate  # no such name: told with those that there are


def _missing(kind: str, name: str, there: Sequence[str], known: Collection[str]) -> Iterator[str]:
    if name in there:
        return
    yield _not_there(kind, name, there) if name in known else unknown_name_message(kind, name, known)


def _not_there(kind: str, name: str, there: Sequence[str]) -> str:
    if kind == "target":  # there is one, and controls beside it
        return f"the configuration has no target {name!r}; it has {', '.join(there)}"
    # Methods have settings, which a list of names would take back to their defaults.
    more = "…" if kind == "method" else ",".join(there)
    return f"the configuration has no {kind} {name!r}; it has {', '.join(there)}. Add it: --set {kind}s=[{more},{name}]"


def _is_of(run: PlannedRun, choice: RunChoice) -> bool:
    wanted = {key: value for key, value in vars(choice).items() if value is not None}
    return all(getattr(run.spec, key) == value for key, value in wanted.items())


def _only_one(found: Sequence[PlannedRun], plan: Plan, choice: RunChoice) -> PlannedRun:
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f"{len(found)} runs of the configuration match: {_listed(found)}. "
            "Choose one with --precision or --composition."
        )
    cell = (choice.backbone, choice.method, choice.intermediate)
    reasons = [c.reason for c in plan.impossible if (c.backbone, c.method, c.intermediate) == cell]
    if reasons:
        raise ImpossibleError(dict.fromkeys(reasons))
    if plan.num_pending:
        raise ConfigError("the search of this cell (`tune:`) is not over, so its settings are not known; run `compare`")
    there = [run for run in plan.runs if _is_of(run, replace(choice, precision=None, composition=None))]
    raise ConfigError(
        f"no run of the configuration has this precision and composition; the others of the choice are {_listed(there)}"
    )


def _listed(runs: Sequence[PlannedRun]) -> str:
    return ", ".join(f"{run.spec.precision} {run.spec.composition}" for run in runs)
