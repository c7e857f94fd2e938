"""What the command line does, in a few lines of Python: run an experiment, read what it found. No torch to read.

`adapter_transfer` itself offers these names, with `load` of `prediction`, and imports this module when one is used.
Owns pandas: everything below it works on records.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from adapter_transfer.analysis.answer import Answer, find_answer
from adapter_transfer.analysis.answers import read_answer_table
from adapter_transfer.analysis.claims.schema import gather_claims
from adapter_transfer.analysis.page.report import write_report
from adapter_transfer.analysis.summaries import summarise
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.collected import experiment_collection, report_inputs, store_inputs
from adapter_transfer.experiments.collection import Collection, collect
from adapter_transfer.experiments.configurations import experiment_of, read_experiment, shipped_configs
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.events import Event
from adapter_transfer.experiments.execute import Outcome, execute
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.filters import chosen_results
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.opening import existing_lock, existing_store, lock_path, write_lock
from adapter_transfer.experiments.outcomes import require_success, require_undamaged, run_stages
from adapter_transfer.experiments.plan import Plan, make_plan
from adapter_transfer.experiments.pulling import pull_into
from adapter_transfer.experiments.records import Result
from adapter_transfer.experiments.results import read_records, read_results, result_to_json, without_repeats
from adapter_transfer.experiments.store import Store
from adapter_transfer.hub_lock import Resolver
from adapter_transfer.registry import unknown_name_message
from adapter_transfer.tasks.stored_examples import ExampleCache
from adapter_transfer.training.settings import DeviceRequest

if TYPE_CHECKING:
    import pandas

Config: TypeAlias = "str | Path | Mapping[str, Any] | Experiment"
"""A YAML file, the name of a shipped configuration, its keys in a mapping, or an experiment that was made in Python."""

Names: TypeAlias = "str | Sequence[str] | None"
"""One name, several, or None for all."""


@dataclass(frozen=True)
class CompletedExperiment:
    """An experiment of which every run is done.

    Attributes:
        store: folder of the store that holds its runs.
        outcome: what this call did: ids of runs that it finished. Runs that were done before are not among them.
    """

    experiment: Experiment
    store: Path
    outcome: Outcome
    _opened: _Opened = dataclasses.field(repr=False)

    def results(self, **filters: Any) -> pandas.DataFrame:
        """Its accuracies, as `adapter_transfer.results` gives them; `filters` are those of that function."""
        return results(self.experiment, store=self.store, data_dir=self._opened.sources.data_dir, **filters)

    def answer(self) -> Answer:
        """What it found: gains, slopes over scales, and the sentences that they make."""
        return _answer_of(self._opened, None)

    def report(self, path: str | Path | None = None) -> Path:
        """Writes the HTML report, one file that opens offline, and returns where.

        Args:
            path: `<store>/<experiment>/report.html` where it is not given, as `compare` writes it.

        Raises:
            StoreError: if it cannot be written.
        """
        return _write_report(self._opened, path)


@dataclass(frozen=True)
class _Opened:
    """A store, or an experiment's part of it.

    Attributes:
        experiment: None for the whole store.
    """

    store: Store
    sources: Sources
    experiment: Experiment | None

    def plan(self) -> Plan:
        assert self.experiment is not None
        return make_plan(self.experiment, self.store, self.sources)

    def found(self) -> tuple[Collection, dict[str, Any]]:
        """What may be compared, and the report's inputs about it."""
        if self.experiment is None:
            collected = collect(read_records(self.store))
            return collected, store_inputs(self.store, collected)
        plan = self.plan()
        collected = experiment_collection(self.store, plan)
        return collected, report_inputs(self.experiment, plan, collected.results, collected.runs)


def run(
    config: Config,
    *,
    store: str | Path = "runs",
    overrides: Sequence[str] | None = None,
    data_dir: str | Path | None = None,
    workers: int = 1,
    device: DeviceRequest = "auto",
    threads: int | None = None,
    progress: Callable[[Event], None] | None = None,
) -> CompletedExperiment:
    """Runs what is not done yet of an experiment, to its end, as `adapter-transfer compare` does.

    Interrupted, or called again after a failure, it goes on where it stopped.

    Args:
        config: a YAML file, the name of a shipped configuration, a mapping with a configuration's keys, or an
            `Experiment`.
        store: folder of the store; made where there is none.
        overrides: changes of the configuration, as `--set` takes them: `["seeds=[1,2]"]`.
        data_dir: folder of published data files, in place of the Hub.
        workers: processes side by side. More than one start Python anew, so that a script must call this below
            `if __name__ == "__main__":`.
        threads: CPU threads of each worker; None shares the cores out.
        progress: told every event (`adapter_transfer.experiments.events`), in this process.

    Raises:
        ConfigError: with every problem of the configuration.
        DataError: if data or a checkpoint is missing or faulty.
        StoreError: if the store cannot be used, runs are damaged, or another process works on some of them.
        DeviceError: if the device cannot be had.
        RunFailedError: if runs failed; the others are kept.
    """
    if workers < 1:
        raise ConfigError(f"workers={workers}: at least 1")
    experiment, name = _experiment(config, overrides), _written_name(config)
    folder, data = Path(store), None if data_dir is None else Path(data_dir)
    sources = _sources(name, experiment, folder, data)
    plan = make_plan(experiment, existing_store(folder), sources)
    opened = _Opened(Store.open(folder), sources, experiment)
    if sources.resolver.has_new:
        write_lock(sources.resolver.lock, lock_path(name, experiment, folder))
    settings = MachineSettings(device, threads, data_dir=data)
    total = Outcome()

    def run_stage(stage: Plan) -> None:
        outcome = execute(stage, opened.store, settings, num_workers=workers, tell=progress or (lambda event: None))
        total.done.extend(outcome.done)
        total.failed.update(outcome.failed)
        total.skipped.update(outcome.skipped)
        require_success(outcome, stage)
        require_undamaged(stage, opened.store)

    run_stages(plan, run_stage, opened.plan)
    return CompletedExperiment(experiment, opened.store.root, total, opened)


def results(
    of: Config | None = None,
    *,
    store: str | Path = "runs",
    overrides: Sequence[str] | None = None,
    data_dir: str | Path | None = None,
    backbone: Names = None,
    precision: Names = None,
    method: Names = None,
    composition: Names = None,
    intermediate: Names = None,
    target: Names = None,
    language: Names = None,
    seed: int | Sequence[int] | None = None,
) -> pandas.DataFrame:
    """The accuracy of every evaluated run in every language: a row for each, the columns of `results --json`.

    Args:
        of: the folder of a store, or an experiment as `run` takes it; None for everything in `store`.
        store: that holds the runs of an experiment.
        language: codes, or names of sets of languages (`sandbox`, `unseen`, …).

    Raises:
        ConfigError: if a name is unknown, with the nearest that there is.
        StoreError: if there is no store.
    """
    opened = _open(of, store, overrides, data_dir)
    named = {
        "backbone": _names(backbone),
        "precision": _names(precision),
        "method": _names(method),
        "composition": _names(composition),
        "intermediate": _names(intermediate),
        "target": _names(target),
    }
    seeds = (seed,) if isinstance(seed, int) else tuple(seed or ())
    found = chosen_results(read_results(opened.store), named, _names(language), seeds)
    if opened.experiment is not None:
        ids = {run.spec.id for run in opened.plan().runs}
        found = [result for result in found if result.run in ids]
    return _frame(without_repeats(found))


def answer(
    of: Config | None = None,
    *,
    store: str | Path = "runs",
    overrides: Sequence[str] | None = None,
    data_dir: str | Path | None = None,
    target: str | None = None,
) -> Answer:
    """What the runs of a store or an experiment say: gains with intervals, slopes over scales, and sentences.

    Args:
        of: the folder of a store, or an experiment as `run` takes it; None for everything in `store`.
        target: the task that is asked about, where there are several.

    Raises:
        ConfigError: if `target` is not among the targets, or is left out where there are several.
        StoreError: if there is no store.
    """
    return _answer_of(_open(of, store, overrides, data_dir), target)


def report(
    of: Config | None = None,
    path: str | Path | None = None,
    *,
    store: str | Path = "runs",
    overrides: Sequence[str] | None = None,
    data_dir: str | Path | None = None,
) -> Path:
    """Writes the HTML report of a store or an experiment, as `adapter-transfer report` does, and returns where.

    Args:
        of: the folder of a store, or an experiment as `run` takes it; None for everything in `store`.
        path: `report.html` in the store, or in the experiment's folder there, where it is not given.

    Raises:
        ConfigError: if the configuration has problems.
        StoreError: if there is no store, or the page cannot be written.
    """
    return _write_report(_open(of, store, overrides, data_dir), path)


def _answer_of(opened: _Opened, target: str | None) -> Answer:
    collected, inputs = opened.found()
    summary = summarise(collected.results, collected.runs)
    asked = target
    if asked is None and opened.experiment is not None:
        asked = opened.experiment.evaluated_task.name
    if asked is None:
        if len(summary.targets) != 1:
            raise ConfigError(f"{opened.store.root} has results on {_listed(summary.targets)}; say which: target=…")
        (asked,) = summary.targets
    elif asked not in summary.targets and (target is not None):
        raise ConfigError(unknown_name_message("target", asked, summary.targets))
    table = read_answer_table(opened.store, summary, asked)
    return find_answer(
        summary, table, asked, random_backbones=inputs["random_backbones"], distilled=inputs["distilled"]
    )


def _write_report(opened: _Opened, path: str | Path | None) -> Path:
    collected, inputs = opened.found()
    folder = opened.store.root if opened.experiment is None else opened.store.root / opened.experiment.name
    place = Path(path) if path is not None else folder / "report.html"
    write_report(
        place, **inputs, claims=gather_claims(None), store=opened.store, other_readings=collected.other_readings
    )
    return place


def _open(
    of: Config | None, store: str | Path, overrides: Sequence[str] | None, data_dir: str | Path | None
) -> _Opened:
    folder, data = Path(store), None if data_dir is None else Path(data_dir)
    if of is None or _is_store(of):
        if overrides:
            raise ConfigError("overrides change a configuration, and a store has none; name the configuration")
        root = folder if of is None else Path(str(of))
        return _Opened(Store.open(root, create=False), Sources(data), None)
    experiment = _experiment(of, overrides)
    return _Opened(Store.open(folder, create=False), _sources(_written_name(of), experiment, folder, data), experiment)


def _is_store(of: Config) -> bool:
    """Whether a folder is named; if it is no store, opening it says so."""
    if not isinstance(of, str | Path):
        return False
    path = Path(of)
    return path.is_dir() and ((path / "store.json").exists() or str(of) not in shipped_configs())


def _experiment(config: Config, overrides: Sequence[str] | None) -> Experiment:
    if isinstance(config, str | Path):
        return read_experiment(str(config), overrides)
    if isinstance(config, Mapping):
        return experiment_of(config, overrides)
    if overrides:
        return experiment_of(config.model_dump(mode="json"), overrides)
    return config


def _written_name(config: Config) -> str | None:
    return str(config) if isinstance(config, str | Path) else None


def _sources(name: str | None, experiment: Experiment, store_dir: Path, data_dir: Path | None) -> Sources:
    if data_dir is not None and not data_dir.is_dir():
        raise ConfigError(f"data_dir {data_dir}: no such folder; it is to hold the published files of the tasks")
    cache = ExampleCache(store_dir / "cache" / "examples", make_ready=lambda: Store.open(store_dir))
    resolver = Resolver(existing_lock(name, experiment, store_dir))
    return Sources(data_dir, resolver=resolver, cache=cache, pull=partial(pull_into, store_dir))


def _names(given: Names) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "no target"


def _frame(found: Sequence[Result]) -> pandas.DataFrame:
    import pandas

    columns = [field.name for field in dataclasses.fields(Result)]
    return pandas.DataFrame([result_to_json(result) for result in found], columns=columns)
