"""`adapter-transfer adapters verify [SOURCE …]`: is what lies here what was made, is it safe, does it fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import typer

from adapter_transfer.durable import MANIFEST_NAME
from adapter_transfer.errors import AdapterTransferError, ConfigError
from adapter_transfer.experiments.pulling import adapters_dir
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.stored_runs import find_run
from adapter_transfer.sharing.sources import RunPrefix, parse_source
from adapter_transfer_cli import options
from adapter_transfer_cli.adapters_show import find_in_store
from adapter_transfer_cli.output import console, errors, print_json, printable, tell_wait

_ADAPTERS = "artifact/adapters"
Check = Callable[[], str]
"""Looks at one adapter and says what was checked; raises what is wrong."""


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer adapters verify hub:org/name")(verify)


def verify(
    source: list[str] | None = typer.Argument(
        None, help="Runs, folders, or names on the Hub that were pulled; without any, everything in the store."
    ),
    backbone: str | None = typer.Option(
        None, help="Check against this backbone, in place of the package's own: a name, a folder or a Hub id."
    ),
    store: options.StoreDir = options.STORE_DEFAULT,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Check adapters: digests, names, sizes, every value finite, every key and shape against the backbone."""
    results = []
    tell_wait("checking", quiet=quiet or json)
    for name, check in _checks(source or [], store, backbone):
        try:
            results.append({"adapter": name, "sound": True, "checked": check(), "problem": None})
        except AdapterTransferError as error:
            results.append({"adapter": name, "sound": False, "checked": None, "problem": str(error)})
        if not json:
            _print_line(results[-1], quiet=quiet)
    if json:
        print_json(results)
    wrong = [result for result in results if not result["sound"]]
    if wrong:
        raise typer.Exit(4)
    if not json and not quiet:
        told = f"{len(results)} sound" if results else f"there are no adapters in {store}"
        errors().print(told, style="dim", markup=False)


def _print_line(result: dict[str, object], *, quiet: bool) -> None:
    if not result["sound"]:
        # Some problems begin with the name already.
        problem = str(result["problem"]).removeprefix(f"{result['adapter']}: ")
        console().print(f"{result['adapter']}: {printable(problem)}", markup=False, soft_wrap=True)
    elif not quiet:
        console().print(f"{result['adapter']}: sound ({result['checked']})", markup=False, soft_wrap=True)


def _checks(sources: list[str], store: Path, backbone: str | None) -> Iterator[tuple[str, Check]]:
    if not sources:
        yield from _everything(store, backbone)
    for text in sources:
        parsed = parse_source(text)
        if isinstance(parsed, RunPrefix):
            opened = Store.open(store, create=False)
            run_id = find_run(opened, parsed.text)
            yield run_id, partial(_check_run, opened, run_id)
        else:
            folder = parsed if isinstance(parsed, Path) else find_in_store(parsed, store).folder
            yield text, partial(_check_folder, folder, backbone)


def _everything(store: Path, backbone: str | None) -> Iterator[tuple[str, Check]]:
    opened = Store.open(store, create=False)
    for run_id in opened.run_ids():
        manifest = opened.read(run_id).manifest
        if manifest is not None and any(name.startswith(f"{_ADAPTERS}/") for name in manifest.files):
            yield run_id, partial(_check_run, opened, run_id)
    if not adapters_dir(store).is_dir():
        return
    from adapter_transfer.sharing.pull import Pulled, all_pulled

    for found in all_pulled(adapters_dir(store)):
        if isinstance(found, Pulled):
            yield str(found.reference), partial(_check_folder, found.folder, backbone)
        else:
            yield "a pulled adapter", partial(_fail, found)


def _fail(error: AdapterTransferError) -> str:
    raise error


def _check_run(store: Store, run_id: str) -> str:
    # What a run trained was checked against its backbone when it was made: that it is unchanged is what can be asked.
    manifest = store.verify(run_id)
    folders = sorted({name.split("/")[2] for name in manifest.files if name.startswith(f"{_ADAPTERS}/")})
    if not folders:
        raise ConfigError(f"run {run_id} made no adapter; give a target or intermediate run of an adapter method")
    from adapter_transfer.sharing.inspection import inspect_package

    for name in folders:
        inspect_package(store.run_dir(run_id) / _ADAPTERS / name)
    return f"{len(manifest.files)} digests, every value finite"


def _check_folder(folder: Path, backbone: str | None) -> str:
    from adapter_transfer.sharing.opening import open_package

    _, declared = open_package(folder, backbone)
    digests = "digests, " if (folder / MANIFEST_NAME).is_file() else "no manifest, "
    return f"{digests}every value finite, every key and shape fits {declared.name} ({declared.source})"
