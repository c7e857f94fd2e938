"""`adapter-transfer report STORE|CONFIG`: the report from what the store holds, in several formats; trains nothing."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import typer

from adapter_transfer.analysis.claims.schema import gather_claims
from adapter_transfer.durable import make_folders, write_atomic
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.collected import experiment_collection, report_inputs, store_inputs
from adapter_transfer.experiments.collection import collect
from adapter_transfer.experiments.configurations import read_experiment, shipped_configs
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import read_records
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, print_json
from adapter_transfer_cli.sources import open_sources

Format = Literal["html", "csv", "parquet", "json", "latex", "markdown"]
_ENDINGS = {"html": "html", "csv": "csv", "parquet": "parquet", "json": "json", "latex": "tex", "markdown": "md"}
_STANDARD_OUTPUT = Path("-")


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer report demo --output report.html")(report)


def report(
    of: str | None = typer.Argument(
        None,
        metavar="[STORE|CONFIG]",
        help="The folder of a store (everything in it), or a configuration (its runs). [default: the store]",
    ),
    overrides: options.Overrides = None,
    store: options.StoreDir = options.STORE_DEFAULT,
    data_dir: options.DataDir = None,
    on_bad_row: options.OnBadRow = "fail",
    output: Path | None = typer.Option(
        None,
        "--output",
        "-o",
        help="File to write, - is standard output. [default: STORE/report.html, or STORE/NAME/report.html]",
    ),
    form: Format = typer.Option("html", "--format", "-f", help="A page, or its figures for other programs."),
    abscissa: Literal["encoder", "total"] = typer.Option(
        "encoder", help="Parameters that a scale is measured by: of the encoder's layers, or with embeddings."
    ),
    mixed_model: bool = typer.Option(
        False,
        "--mixed-model",
        help="Also fit a mixed logistic model of each way of transferring, as a cross-check.",
    ),
    claims: Path | None = typer.Option(
        None,
        help="Folder of claims of your own, beside the shipped ones. [default: claims/ here, if there is one]",
    ),
    computation: str | None = typer.Option(
        None, help="Of a store: the computation version whose results are reported. [default: the newest]"
    ),
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write the report of a store or an experiment as one self-contained HTML file, or its figures as data.

    Also for experiments that are not finished. Of a store that holds several experiments, what belongs together is
    reported, and what is left out is named.
    """
    folder = _folder(of, store)
    _require_consistent(folder is not None, overrides, output, form, computation, json=json)
    experiment = None if of is None or folder is not None else _named_experiment(of, overrides)
    opened = Store.open(folder or store, create=False)
    if of is None or experiment is None:
        place = opened.root
        found = collect(read_records(opened), computation)
        inputs = store_inputs(opened, found)
    else:
        place = opened.root / experiment.name
        sources = open_sources(of, experiment, store, data_dir, on_bad_row, quiet=quiet or json)
        plan = make_plan(experiment, opened, sources)
        found = experiment_collection(opened, plan)
        inputs = report_inputs(experiment, plan, found.results, found.runs)
    inputs |= {
        "claims": gather_claims(claims),
        "store": opened,
        "other_readings": found.other_readings,
        "abscissa": abscissa,
        "mixed_model": mixed_model,
    }
    with _without_collections():
        content = _render(form, inputs)
    if output == _STANDARD_OUTPUT:
        sys.stdout.write(content.decode())
        return
    path = output or place / f"report.{_ENDINGS[form]}"
    make_folders(path.parent)
    write_atomic(path, content)
    if json:
        print_json({"report": str(path)})
    elif not quiet:
        console().print(f"Report: {path}", soft_wrap=True)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """No search for garbage: a page keeps all it makes, and looking through 5,000 runs takes a sixth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _folder(of: str | None, store: Path) -> Path | None:
    """The folder that is to be reported as a store; None for a configuration.

    Whether it is a store is told when it is opened.
    """
    if of is None:
        return store
    path = Path(of)
    is_meant = path.is_dir() and ((path / "store.json").exists() or of not in shipped_configs())
    return path if is_meant else None


def _named_experiment(of: str, overrides: list[str] | None) -> Experiment:
    """The experiment of a configuration; where there is none so called, a store may have been meant."""
    path = Path(of)
    if not path.exists() and path.suffix not in (".yaml", ".yml") and of not in shipped_configs():
        try:
            return read_experiment(of, overrides)
        except ConfigError as error:
            raise ConfigError(f"{error} A store is named by its folder, and there is none at {of!r}.") from None
    return read_experiment(of, overrides)


def _require_consistent(
    is_store: bool,
    overrides: list[str] | None,
    output: Path | None,
    form: Format,
    computation: str | None,
    *,
    json: bool,
) -> None:
    """Refuses options that cannot go together.

    Raises:
        ConfigError: with every problem.
    """
    problems = []
    if is_store and overrides:
        problems.append(options.SET_NEEDS_CONFIG)
    if not is_store and computation is not None:
        problems.append("--computation is for the report of a store; the runs of a configuration are of one version")
    if output == _STANDARD_OUTPUT and form == "parquet":
        problems.append("--format parquet is no text, so it does not go to standard output; name a file with --output")
    if output == _STANDARD_OUTPUT and json:
        problems.append("--json prints where the report is; with --output - it is on standard output. Leave one out")
    if problems:
        raise ConfigError(problems)


def _render(form: Format, inputs: dict[str, Any]) -> bytes:
    if form == "html":
        from adapter_transfer.analysis.page.report import render_report  # loads SciPy; not for --help

        return render_report(**inputs).encode(errors="replace")
    from adapter_transfer.analysis.exports.rendering import render

    return render(form, inputs)
