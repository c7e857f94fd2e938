"""`adapter-transfer adapters pull hub:org/name`: an adapter from the Hub, checked, into the store."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer

from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.pulling import adapters_dir
from adapter_transfer.experiments.store import Store
from adapter_transfer.hub import hide_progress
from adapter_transfer.sharing.references import HubAdapter, is_hub_adapter, parse_hub_adapter
from adapter_transfer.sharing.sources import is_plain_hub_name
from adapter_transfer_cli import options
from adapter_transfer_cli.adapters_show import describe_package, print_package
from adapter_transfer_cli.output import console, errors, print_json
from adapter_transfer_cli.quantities import parse_bytes

EXAMPLE = """Example: adapter-transfer adapters pull hub:org/name@main

The revision becomes a commit, which is recorded. Only safetensors and small texts are taken, and every file is checked
before it counts; what is broken off goes on. AdapterHub's older adapters hold pickles: --convert reads one in a process
of its own, without a network, and keeps only the numbers. Use it for sources that you trust."""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLE)(pull)


def pull(
    name: str = typer.Argument(help="hub:org/name, or hub:org/name@revision (branch, tag or commit)."),
    convert: bool = typer.Option(False, "--convert", help="Turn a pickle, from a source you trust, into safetensors."),
    leave_out_unknown: bool = typer.Option(
        False, "--leave-out-unknown", help="Take the known files and leave others on the Hub, in place of refusing."
    ),
    max_size: str = typer.Option("4GiB", help="Largest file of weights that is taken."),
    store: options.StoreDir = options.STORE_DEFAULT,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Fetch an adapter from the Hugging Face Hub at a commit, check it, and keep it in the store."""
    wanted = _hub_name(name)
    max_bytes = parse_bytes(max_size, "--max-size")
    Store.open(store)  # somebody's folder is told before anything is downloaded
    # Loads torch, several seconds that `--help` does without.
    from adapter_transfer.sharing.pull import pull as fetch

    if quiet or json or not errors().is_terminal:
        hide_progress()

    pulled = fetch(
        wanted, adapters_dir(store), convert=convert, leave_out_unknown=leave_out_unknown, max_bytes=max_bytes
    )
    told = {
        "reference": str(pulled.reference),
        "asked": pulled.asked,
        **describe_package(pulled.package, pulled.folder),
    }
    if json:
        print_json(told)
        return
    print_package(told)
    if not quiet:
        _print_next(pulled.reference, store)


def _hub_name(text: str) -> HubAdapter:
    if is_hub_adapter(text):
        return parse_hub_adapter(text)
    if is_plain_hub_name(text):
        return parse_hub_adapter(f"hub:{text}")
    raise ConfigError(f"{text!r} is no name on the Hub; write hub:organisation/name@revision")


def _print_next(reference: HubAdapter, store: Path) -> None:
    line = f"How to use it: adapter-transfer adapters use {shlex.quote(str(reference))}{options.store_option(store)}"
    console().print(line, style="dim", markup=False, soft_wrap=True)
