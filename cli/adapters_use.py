"""`adapter-transfer adapters use SOURCE`: checked against its backbone, and the lines that use it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from adapter_transfer.config import parse
from adapter_transfer.documents import append_item, read_text
from adapter_transfer.durable import write_atomic
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.configurations import find_config
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.sharing.references import HubAdapter
from adapter_transfer.sharing.sources import RunPrefix, parse_source
from adapter_transfer_cli import options
from adapter_transfer_cli.adapters_show import find_in_store
from adapter_transfer_cli.configs import named_after
from adapter_transfer_cli.output import console, print_json, tell_wait

if TYPE_CHECKING:
    from adapter_transfer.sharing.package import Package

EXAMPLE = """Example: adapter-transfer adapters use hub:org/name --in demo --output my-experiment.yaml

Checks every key and shape against the backbone, then prints what to paste: the line of an experiment, the command that
predicts, the Python. With --in it writes a copy of a configuration that has the adapter among its intermediates."""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLE)(use)


def use(
    source: options.AdapterSource,
    config: str | None = typer.Option(None, "--in", metavar="CONFIG", help="A configuration to put it into."),
    output: Path | None = typer.Option(None, "--output", "-o", help="File for the changed copy."),
    force: bool = typer.Option(False, "--force", help="Replace a file that is there."),
    backbone: str | None = typer.Option(None, help="A name, a folder or a Hub id, where the package does not tell."),
    store: options.StoreDir = options.STORE_DEFAULT,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Check an adapter against its backbone and show how to use it: in an experiment, to predict, in Python."""
    if (config is None) != (output is None):
        raise ConfigError("--in and --output go together: the configuration, and the file for its changed copy")
    parsed = parse_source(source)
    if isinstance(parsed, RunPrefix):
        raise ConfigError("a run of this store is used by its experiment; `predict` answers with it")
    if config is not None and output is not None:
        _require_writable(config, output, parsed, force=force)
    if isinstance(parsed, HubAdapter):
        pulled = find_in_store(parsed, store)
        folder, reference = pulled.folder, str(pulled.reference)
    else:
        folder, reference = parsed, None  # an experiment names what lies on the Hub, at its commit
    tell_wait("checking every key and shape", quiet=json)
    package, fits = _checked(folder, backbone)
    written = None
    if config is not None and output is not None and reference is not None:
        written = _write(config, output, reference, store)
    told = {
        "folder": str(folder),
        "fits": fits,
        **_lines(package, reference, source, store, backbone),
        "written": written,
    }
    if json:
        print_json(told)
        return
    for name in ("fits", "experiment", "predict", "python", "written"):
        if told[name]:
            console().print(f"{name:<12}{told[name]}", markup=False, soft_wrap=True)


def _checked(folder: Path, backbone: str | None) -> tuple[Package, str]:
    # Loads torch, several seconds that `--help` does without.
    from adapter_transfer.sharing.opening import open_package

    package, declared = open_package(folder, backbone)
    return package, f"{declared.name} ({declared.source})"


def _lines(package: Package, reference: str | None, source: str, store: Path, backbone: str | None) -> dict[str, Any]:
    name = reference or source
    in_store = "" if store == options.STORE_DEFAULT else f", store={str(store)!r}"
    if backbone is not None:
        in_store = f", backbone={backbone!r}{in_store}"
    quoted = f'"{reference}"' if reference and "#" in reference else reference
    ask = f"--premise '…' --question cause --choice '…' --choice '…'{options.store_option(store)}"
    if backbone is not None:
        ask = f"{ask} --backbone {shlex.quote(backbone)}"
    answers = bool(package.compositions)
    return {
        "experiment": quoted and f"intermediates: [none, {quoted}]",
        "predict": f"adapter-transfer predict {shlex.quote(name)} {ask}" if answers else None,
        "python": f"from adapter_transfer import load; predictor = load({name!r}{in_store})" if answers else None,
    }


def _require_writable(config: str, output: Path, parsed: Path | HubAdapter, *, force: bool) -> None:
    """Tells what cannot be written before anything is loaded."""
    if isinstance(parsed, Path):
        raise ConfigError("an experiment names an adapter on the Hub; push this folder first, or use it to predict")
    if output.exists() and not force:
        raise ConfigError(f"{output} is there already; give another name, or --force to replace it")
    find_config(config)


def _write(config: str, output: Path, reference: str, store: Path) -> str:
    """Writes a copy of a configuration whose intermediates have the adapter, too."""
    source = find_config(config).read_text("utf-8")
    read_text(source, config)  # strictly, before it is read so that comments stay
    text = named_after(output, append_item(source, "intermediates", reference))
    parse(Experiment, read_text(text, str(output)))
    write_atomic(output, text.encode())
    command = f"adapter-transfer compare {shlex.quote(str(output))}{options.store_option(store)}"
    return f"{output} (run it: {command})"
