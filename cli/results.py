"""`adapter-transfer results`: accuracies, a row for each run and language."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import get_args

import typer

from adapter_transfer.backbones.zoo import BACKBONES, Precision
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.experiment import INTERMEDIATE_TASKS, TARGET_TASKS
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import Result, read_results, result_to_json, without_repeats
from adapter_transfer.experiments.store import Store
from adapter_transfer.languages import expand_languages
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.composition import ResolvedComposition
from adapter_transfer.registry import unknown_name_message
from adapter_transfer.tasks.mixtures import members
from adapter_transfer_cli import options
from adapter_transfer_cli.configs import read_experiment
from adapter_transfer_cli.output import errors, print_json, print_table
from adapter_transfer_cli.sources import open_sources
from adapter_transfer_cli.stores import existing_store

_CHOICES: Mapping[str, Collection[str]] = {
    "backbone": BACKBONES,
    "precision": get_args(Precision),
    "method": METHODS,
    "composition": get_args(ResolvedComposition),
    "intermediate": ("none", *INTERMEDIATE_TASKS),
    "target": TARGET_TASKS,
}
"""Filter → what it may name; languages have sets and are checked by their own."""
_COLUMNS = ("backbone", "precision", "method", "composition", "intermediate", "target", "language")


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer results demo --language qa --json")(results)


def results(
    config: str | None = typer.Argument(None, help="Only the results of this configuration."),
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    data_dir: options.DataDir = None,
    on_bad_row: options.OnBadRow = "fail",
    backbone: list[str] | None = typer.Option(None, help="Only this backbone; like all filters, may be repeated."),
    precision: list[str] | None = typer.Option(None, help="Only this precision."),
    method: list[str] | None = typer.Option(None, help="Only this method."),
    composition: list[str] | None = typer.Option(None, help="Only this composition; none is without intermediate."),
    intermediate: list[str] | None = typer.Option(None, help="Only this intermediate; none is the baseline."),
    target: list[str] | None = typer.Option(None, help="Only this target task."),
    language: list[str] | None = typer.Option(None, help="Only this language or set of languages."),
    seed: list[int] | None = typer.Option(None, min=0, help="Only this seed."),
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Print the accuracy of every evaluated run in every language, with the number of items and chance."""
    named = {
        "backbone": backbone,
        "precision": precision,
        "method": method,
        "composition": composition,
        "intermediate": intermediate,
        "target": target,
    }
    experiment = None if config is None else read_experiment(config, overrides)
    existing = existing_store(store)
    there = read_results(existing) if existing is not None else []
    wanted = {**_checked(named, there), "language": expand_languages(language or ()), "seed": seed}
    opened = Store.open(store, create=False)  # says that there is none, after what is wrong with the call
    found = [r for r in there if all(not v or getattr(r, key) in v for key, v in wanted.items())]
    if config is None or experiment is None:
        found = without_repeats(found)
    else:
        sources = open_sources(config, experiment, store, data_dir, on_bad_row, quiet=quiet or json)
        ids = {run.spec.id for run in make_plan(experiment, opened, sources).runs}
        found = [result for result in found if result.run in ids]
    if json:
        print_json([result_to_json(result) for result in found])
        return
    if not found:
        if not quiet:
            errors().print(f"No results in {store} match.")
        return
    # How `question` was read is told where it tells results apart.
    readings = ("question_field",) if len({result.question_field for result in found}) > 1 else ()
    headers = [*_COLUMNS, *(name.replace("_", " ") for name in readings), "seed", "accuracy", "n", "chance", "run"]
    print_table(headers, [_cells(result, (*_COLUMNS, *readings)) for result in found])


def _checked(
    filters: Mapping[str, Sequence[str] | None], there: Sequence[Result]
) -> Mapping[str, Sequence[str] | None]:
    """`filters` as they are.

    Raises:
        ConfigError: with every name that there is not, and the nearest that there is.
    """
    # Users' own backbones are known by their results alone.
    known = {key: dict.fromkeys((*names, *(getattr(r, key) for r in there))) for key, names in _CHOICES.items()}
    problems = [
        unknown_name_message(key, name, known[key])
        for key, names in filters.items()
        for name in names or ()
        if name not in known[key] and not (key in ("intermediate", "target") and _is_made_of_tasks(name))
    ]
    if problems:
        raise ConfigError(problems)
    return filters


def _is_made_of_tasks(name: str) -> bool:
    """Whether it names a control or a mixture, which nobody lists."""
    try:
        return bool(members(name))
    except ConfigError:
        return False


def _cells(result: Result, columns: Sequence[str]) -> list[str]:
    named = [str(getattr(result, column)) for column in columns]
    numbers = [str(result.seed), f"{result.accuracy:.1%}", str(result.num_items), f"{result.chance:.0%}"]
    return [*named, *numbers, result.run[:12]]
