"""`adapter-transfer sandbox build|verify`: remaking and checking the embedded data and checkpoints."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.progress import Progress, TaskID

from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, errors

app = typer.Typer(
    help="The embedded sandbox: rebuild it, or check its files.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: adapter-transfer sandbox verify",
)


@app.command(epilog="Example: adapter-transfer sandbox build rebuilt/")
def build(
    destination: Path = typer.Argument(..., help="New folder to build into."),
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Make data, tokenizer and checkpoints anew (about an hour), with a record of every candidate tried."""
    from adapter_transfer.sandbox.build import build_sandbox

    if destination.exists() and any(destination.iterdir()):
        raise ConfigError(f"{destination} is not empty; give a new folder")
    with Progress(console=errors(), transient=True, disable=quiet) as display:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: float, loss: float | None) -> None:
            if what not in tasks:
                tasks[what] = display.add_task(what, total=1.0)
            display.update(tasks[what], completed=done)

        build_sandbox(destination, progress=show)
    if not quiet:
        console().print(f"built in {destination}", soft_wrap=True)


@app.command(epilog="Example: adapter-transfer sandbox verify")
def verify(quiet: options.Quiet = False, debug: options.Debug = False) -> None:
    """Compare every shipped sandbox file with its recorded digest."""
    from adapter_transfer.sandbox.files import verify_sandbox

    problems = verify_sandbox()
    if problems:
        raise DataError("sandbox files differ from their record: " + "; ".join(problems))
    if not quiet:
        console().print("all sandbox files are as recorded")
