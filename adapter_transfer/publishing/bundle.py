"""Which runs of a store are shared together: seeds of one cell, each with the frozen adapter that it stands on.

Owns the reasons why something is not shared. How a bundle becomes files is in `contents`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapter_transfer.backbones.checkpoints import PackageFolder
from adapter_transfer.backbones.zoo import Backbone
from adapter_transfer.canonical import digest
from adapter_transfer.errors import AdapterTransferError, ConfigError, StoreError
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store, StoredRun
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.composition import COMPOSITIONS


@dataclass(frozen=True)
class SharedRun:
    """A run with what it was asked to do."""

    stored: StoredRun
    spec: RunSpec

    @property
    def id(self) -> str:
        return self.stored.id


@dataclass(frozen=True)
class Seed:
    """What one seed of a cell gives.

    Attributes:
        run: the target run, or the intermediate run where that is what is shared.
        below: the intermediate run whose frozen adapter the target stands on; None where there is none, or where the
            target's own artifact holds all that answers.
        intermediate: how the intermediate was trained, where the target started from one that the store has.
    """

    run: SharedRun
    below: SharedRun | None = None
    intermediate: RunSpec | None = None

    @property
    def runs(self) -> tuple[SharedRun, ...]:
        """Every run that it takes files from, lowest first."""
        return (self.run,) if self.below is None else (self.below, self.run)


@dataclass(frozen=True)
class Bundle:
    """What is shared together.

    Attributes:
        seeds: of one cell with one set of settings, ordered by seed; at least one.
    """

    seeds: tuple[Seed, ...]

    @property
    def spec(self) -> RunSpec:
        """Of the first seed: everything but the seed and what follows from it holds for all."""
        return self.seeds[0].run.spec

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The target runs, or the intermediate runs where these are what is shared."""
        return tuple(seed.run.id for seed in self.seeds)


def choose_bundle(store: Store, run_ids: Sequence[str], *, all_seeds: bool = False) -> Bundle:
    """Target runs of one cell, or intermediate runs, with the intermediate runs that they stand on.

    Args:
        run_ids: in any order; one that is named twice counts once.
        all_seeds: takes every other done run of the store, too, that differs in nothing but its seed.

    Raises:
        ConfigError: if the runs cannot be shared (together); with every reason, and what to do instead.
        StoreError: if there is no such run, or its files are damaged.
    """
    if not run_ids:
        raise ConfigError("nothing to share: name a target run or an intermediate run; `status --json` lists their ids")
    found: dict[str, SharedRun] = {}
    problems: list[str] = []
    for run_id in dict.fromkeys(run_ids):
        run = store.read(run_id)
        spec = _spec(run)
        if reason := _refusal(run, spec):
            problems.append(f"run {run_id} {reason}")
        else:
            found[run_id] = SharedRun(run, spec)
    if problems:
        raise ConfigError(problems)
    seeds = [_with_below(store, run) for run in found.values()]
    _require_one_cell(seeds)
    if all_seeds:
        seeds += _other_seeds(store, seeds)
    return Bundle(tuple(sorted(seeds, key=lambda seed: (seed.run.spec.seed, seed.run.id))))


def _spec(run: StoredRun) -> RunSpec:
    try:
        return RunSpec.from_description(run.run["description"])
    except (AdapterTransferError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"{run.path / 'run.json'} does not describe its run in a way that this version knows ({error}). Share it "
            "with the version that made it."
        ) from None


def _refusal(run: StoredRun, spec: RunSpec) -> str | None:
    """Why a run cannot be shared, as the end of a sentence; None where it can."""
    if spec.phase == "evaluation":
        trained = spec.parents.get("target") or spec.parents.get("intermediate")
        return f"is an evaluation, which has no weights; share the run that it evaluated, {trained}"
    if spec.is_adoption:
        return f"trained nothing: it took over {spec.intermediate}, which is on the Hub already"
    if METHODS[spec.method].kind == "full":
        return (
            "is full fine-tuning, a whole model and no adapter; share it with transformers' push_to_hub from "
            "artifact/model in its folder"
        )
    if run.manifest is None:
        state = "failed" if run.failure is not None else "not finished"
        return f"is {state}; what is not done cannot be shared. Start its experiment again"
    return unrebuildable_reason(spec.declaration)


def unrebuildable_reason(backbone: Backbone) -> str | None:
    """Why adapters for a backbone are of no use to others, as the end of a sentence; None where they are."""
    if backbone.trains_tokenizer:
        return (
            f"stands on backbone {backbone.name!r}, whose tokenizer was trained here on the experiment's own text, so "
            "that nobody else could use its adapter. Train on a backbone that has its own"
        )
    is_ours = backbone.is_sandbox and isinstance(backbone.model, PackageFolder)
    if backbone.weights == "random" and not is_ours:
        return (
            f"stands on backbone {backbone.name!r}, whose random weights were made here, so that nobody else could use "
            "its adapter. Train on a pretrained backbone"
        )
    return None


def _with_below(store: Store, run: SharedRun) -> Seed:
    composition = COMPOSITIONS[run.spec.composition]
    if run.spec.phase != "target" or not composition.keeps_lower or composition.trains_lower:
        return Seed(run, intermediate=_if_there(store, run.spec.parents.get("intermediate")))
    if run.spec.adopted is not None:
        raise ConfigError(
            f"run {run.id} stands on an adapter of somebody else's, {run.spec.intermediate}, which is theirs to share. "
            "Share the results instead, or train the target with composition 'sequential', whose adapter holds both"
        )
    parent = run.spec.parents.get("intermediate")
    if parent is None:
        raise StoreError(f"run {run.id} does not say which intermediate run it stands on. It has to be done again.")
    stored = store.read(parent)
    if stored.manifest is None:
        raise StoreError(
            f"run {run.id} stands on the intermediate run {parent}, which is not done. Restore it from a copy."
        )
    below = SharedRun(stored, _spec(stored))
    return Seed(run, below, below.spec)


def _if_there(store: Store, run_id: str | None) -> RunSpec | None:
    """How a run was made whose files are not shared: a store may hold targets without what they started from."""
    try:
        return None if run_id is None else _spec(store.read(run_id))
    except StoreError:
        return None


def _require_one_cell(seeds: Sequence[Seed]) -> None:
    first = _settings(seeds[0])
    problems = []
    for seed in seeds[1:]:
        different = [name for name, value in _settings(seed).items() if digest(value) != digest(first.get(name))]
        if different:
            problems.append(
                f"runs {seeds[0].run.id} and {seed.run.id} differ in {', '.join(different)}; only seeds of one cell "
                "with the same settings are shared together. Share them one by one"
            )
    if problems:
        raise ConfigError(problems)
    by_seed: dict[int, list[str]] = {}
    for seed in seeds:
        by_seed.setdefault(seed.run.spec.seed, []).append(seed.run.id)
    if twice := [ids for ids in by_seed.values() if len(ids) > 1]:
        raise ConfigError(f"runs {' and '.join(twice[0])} are of one seed. Name one of them")


def _settings(seed: Seed) -> Mapping[str, Any]:
    """What the runs of one bundle have in common, by the name that a message gives it."""
    spec = seed.run.spec
    identity = spec.identity()
    below = {} if seed.intermediate is None else {**seed.intermediate.identity(), "seed": None}
    return {
        "phase": spec.phase,
        "backbone": [spec.backbone, spec.backbone_digest],
        "precision": spec.precision,
        "method": identity["method"],
        "intermediate": spec.intermediate,
        "composition": spec.composition,
        "task": spec.task,
        "data": identity["data"],
        "training": [identity["training"], identity["head"], identity["computation"]],
        "intermediate training": below,
    }


def _other_seeds(store: Store, seeds: Sequence[Seed]) -> Iterator[Seed]:
    """Other done runs that differ from these in their seed alone; of two of one seed, the first id's."""
    wanted = digest(_settings(seeds[0]))
    taken = {seed.run.spec.seed for seed in seeds}
    like = seeds[0].run.spec
    for _, run in store.read_all():
        if isinstance(run, StoreError) or run.manifest is None or not _is_like(run, like):
            continue
        try:
            seed = _with_below(store, SharedRun(run, _spec(run)))
        except AdapterTransferError:  # of this one nothing was asked
            continue
        if seed.run.spec.seed not in taken and digest(_settings(seed)) == wanted:
            taken.add(seed.run.spec.seed)
            yield seed


def _is_like(run: StoredRun, like: RunSpec) -> bool:
    """Whether a look at a run's description is worth it: its cell is the same."""
    described = run.run.get("description")
    if not isinstance(described, Mapping):
        return False
    names = ("phase", "backbone", "precision", "method", "composition", "intermediate", "task")
    return all(described.get(name) == getattr(like, name) for name in names)
