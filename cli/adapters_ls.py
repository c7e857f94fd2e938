"""`adapter-transfer adapters ls`: what was trained here, what was pulled, and what an organisation has on the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from adapter_transfer.errors import AdapterTransferError
from adapter_transfer.experiments.opening import existing_store
from adapter_transfer.experiments.pulling import adapters_dir
from adapter_transfer.experiments.results import read_runs
from adapter_transfer.experiments.store import Store
from adapter_transfer.hub import is_commit
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, errors, print_json, print_table, printable

_SHOWN_ID = 12


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer adapters ls --pulled")(ls)


def ls(
    hub: str | None = typer.Option(
        None, "--hub", metavar="ORG", help="Adapters of an organisation or a user on the Hub, in place of the store's."
    ),
    pulled: bool = typer.Option(False, "--pulled", help="Only what was pulled, not what was trained here."),
    store: options.StoreDir = options.STORE_DEFAULT,
    json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """List adapters: those of finished runs and those that were pulled, or those of an organisation on the Hub."""
    if hub is not None:
        _show(list(_on_hub(hub)), json, empty=f"{hub} shows no adapters on the Hub.")
        return
    opened = existing_store(store)
    rows = [] if opened is None else list(_pulled(store))
    rows += [] if opened is None or pulled else list(_trained(opened))
    none = f"There are no adapters in {store}; `compare` trains some, `adapters pull` fetches them."
    none_pulled = f"No adapters were pulled into {store}; `adapters pull hub:org/name` fetches one."
    _show(rows, json, empty=none_pulled if pulled else none)


def _trained(store: Store) -> Iterator[dict[str, Any]]:
    for run in read_runs(store):
        if run.status == "done" and run.phase != "evaluation" and METHODS[run.method].kind == "adapter":
            yield {
                "adapter": run.id,
                "from": "run",
                "backbone": run.backbone,
                "precision": run.precision,
                "method": run.method,
                "intermediate": run.intermediate,
                "target": run.task if run.phase == "target" else None,
                "composition": run.composition,
                "seeds": [run.seed],
            }


def _pulled(store: Path) -> Iterator[dict[str, Any]]:
    if not adapters_dir(store).is_dir():
        return
    # Loads torch, several seconds that a store without pulled adapters does without.
    from adapter_transfer.sharing.pull import all_pulled

    for found in all_pulled(adapters_dir(store)):
        if isinstance(found, AdapterTransferError):
            errors().print(f"damaged: {printable(str(found))}", style="red", markup=False, soft_wrap=True)
            continue
        package = found.package
        yield {
            "adapter": str(found.reference),
            "from": "hub",
            "backbone": package.backbone.name,
            "precision": package.precision,
            "method": package.method,
            "intermediate": package.intermediate,
            "target": package.target,
            "composition": package.composition,
            "seeds": sorted({adapter.seed for adapter in package.adapters if adapter.seed is not None}),
        }


def _on_hub(author: str) -> Iterator[dict[str, Any]]:
    from adapter_transfer.sharing.hub import list_adapters

    for found in list_adapters(author):
        yield {
            "adapter": f"hub:{found.repo}@{found.commit}" if found.commit else f"hub:{found.repo}",
            "private": found.is_private,
            "changed": found.last_modified,
            "downloads": found.downloads,
        }


def _show(rows: list[dict[str, Any]], json: bool, *, empty: str) -> None:
    if json:
        print_json(rows)
    elif not rows:
        console().print(empty, markup=False, soft_wrap=True)
    else:
        headers = list(rows[0])
        print_table(headers, [[_cell(key, row[key]) for key in headers] for row in rows], droppable=("from",))


def _cell(key: str, value: Any) -> str:
    if value is None or value == "none":
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    text = printable(str(value))
    if key != "adapter":
        return text
    # `show`, `verify` and `use` take the beginning of a commit; --json gives all of it, as experiments need it.
    name, at, commit = text.partition("@")
    return f"{name}@{commit[:_SHOWN_ID]}" if at and is_commit(commit) else text if at else text[:_SHOWN_ID]
