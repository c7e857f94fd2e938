"""`adapter-transfer adapters show SOURCE`: what a package is, says of itself, and scored."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from adapter_transfer.errors import AdapterTransferError, ConfigError
from adapter_transfer.experiments.pulling import adapters_dir
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.stored_runs import find_run
from adapter_transfer.sharing.package import Package
from adapter_transfer.sharing.references import HubAdapter
from adapter_transfer.sharing.sources import RunPrefix, parse_source
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, print_json, print_table, printable, tell_wait
from adapter_transfer_cli.quantities import disk

if TYPE_CHECKING:
    from adapter_transfer.sharing.pull import Pulled

_COMMIT_BEGINNING = re.compile(r"[0-9a-f]{7,40}")


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer adapters show hub:org/name")(show)


def show(
    source: options.AdapterSource,
    store: options.StoreDir = options.STORE_DEFAULT,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Show what an adapter was trained on, from what, and how it scored; of a run, what `push` would share."""
    parsed = parse_source(source)
    if isinstance(parsed, RunPrefix):
        opened = Store.open(store, create=False)
        run_id = find_run(opened, parsed.text)
        tell_wait("packing the run's adapters", quiet=json)
        # Packages are read, checked and made with torch, several seconds that `--help` does without.
        from adapter_transfer.publishing.bundle import choose_bundle
        from adapter_transfer.publishing.contents import write_package

        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / "package"
            package = write_package(opened, choose_bundle(opened, [run_id]), folder)
            told = describe_package(package, folder)
        told = {**told, "folder": None}
    else:
        folder = parsed if isinstance(parsed, Path) else find_in_store(parsed, store).folder
        from adapter_transfer.sharing.opening import look_into

        told = describe_package(look_into(folder), folder)
    if json:
        print_json(told)
    else:
        print_package(told)


def find_in_store(wanted: HubAdapter, store: Path) -> Pulled:
    """A package that was pulled; the newest one where no commit is named.

    Raises:
        ConfigError: if it was not pulled into this store, with the command that does.
        DataError, StoreError: if it is damaged.
    """
    from adapter_transfer.sharing.pull import all_pulled

    for found in all_pulled(adapters_dir(store)):
        if isinstance(found, AdapterTransferError) or found.reference.repo != wanted.repo:
            continue
        is_begun = _COMMIT_BEGINNING.fullmatch(wanted.revision) and found.reference.revision.startswith(wanted.revision)
        is_revision = is_begun or wanted.revision in (found.asked, found.reference.revision)
        if is_revision and wanted.digest in (None, found.reference.digest):
            return found
    command = f"adapter-transfer adapters pull {shlex.quote(str(wanted))}{options.store_option(store)}"
    raise ConfigError(f"{wanted} is not in the store {store}. Pull it first: {command}")


def describe_package(package: Package, folder: Path) -> dict[str, Any]:
    """A package as JSON, with where it lies and the bytes of its files."""
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return {"folder": str(folder), "files": dict(sorted(sizes.items())), **package.model_dump(mode="json")}


def print_package(told: Mapping[str, Any]) -> None:
    """A described package for people."""
    for name, value in _facts(told):
        console().print(f"{name:<13}{printable(value)}", markup=False, soft_wrap=True)
    rows = [
        [
            adapter["path"],
            printable(adapter["name"]),
            adapter["role"],
            printable(adapter["task"]),
            "–" if adapter["seed"] is None else str(adapter["seed"]),
            "yes" if adapter["has_head"] else "no",
        ]
        for adapter in told["adapters"]
    ]
    console().print()
    print_table(["folder", "adapter", "role", "task", "seed", "head"], rows)
    if told["scores"]:
        console().print()
        scores = [
            [
                printable(score["language"]),
                printable(score["metric"]),
                f"{score['value']:.1%}",
                "–" if score["low"] is None else f"{score['low']:.1%} to {score['high']:.1%}",
                str(score["num_items"]),
                str(score["num_seeds"]),
                "–" if score["chance"] is None else f"{score['chance']:.0%}",
            ]
            for score in told["scores"]
        ]
        notes = [] if all(score["low"] is not None for score in told["scores"]) else ["no interval below three seeds"]
        if told["folder"] is not None:
            notes.append("scores are what the package's author says of it; they were not measured here")
        headers = ["language", "metric", "score", "95 % interval", "items", "seeds", "chance"]
        print_table(headers, scores, notes=notes)


def _facts(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    backbone = told["backbone"]
    place = [backbone["repo"] and f"{backbone['repo']}@{backbone['commit'] or 'unknown commit'}"]
    place += ["the sandbox's: no evidence about published models" if backbone["is_sandbox"] else None]
    layers = "" if backbone["num_hidden_layers"] is None else f", {backbone['num_hidden_layers']} layers"
    shape = f"{backbone['architecture']}{layers} of {backbone['hidden_size']}"
    settings = ", ".join(f"{key} {value}" for key, value in told["method_settings"].items())
    facts = [
        ("reference", told.get("reference") or ""),
        ("folder", told["folder"] or ""),
        ("files", f"{len(told['files'])}, {disk(sum(told['files'].values()))}"),
        ("backbone", "; ".join(filter(None, [f"{backbone['name']} ({shape})", *place]))),
        ("precision", told["precision"] or "not known"),
        ("method", f"{told['method']}{f' ({settings})' if settings else ''}"),
        ("intermediate", told["intermediate"]),
        ("target", f"{told['target']}, composition {told['composition']}" if told["target"] else "none"),
        ("licence", told["licence"] or "not stated"),
    ]
    return [(name, value) for name, value in facts if value]
