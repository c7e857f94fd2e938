"""`adapter-transfer cp CONFIG`: a copy of a shipped configuration to start from."""

from __future__ import annotations

from pathlib import Path

import typer

from adapter_transfer.durable import write_atomic
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.configurations import find_config
from adapter_transfer_cli import options
from adapter_transfer_cli.configs import named_after
from adapter_transfer_cli.output import console


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer cp demo my-experiment.yaml")(cp)


def cp(
    config: options.Config,
    destination: Path = typer.Argument(Path("."), help="File or folder to copy to."),
    force: bool = typer.Option(False, "--force", help="Replace a file that is there."),
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Copy a shipped configuration, to change it and run it with `compare`."""
    source = find_config(config)
    path = destination / source.name if destination.is_dir() else destination
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already; give another name, or --force to replace it")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent}: no such folder")
    write_atomic(path, named_after(path, source.read_text("utf-8")).encode())
    if not quiet:
        console().print(f"{path} (run it: adapter-transfer compare {path})", soft_wrap=True)
