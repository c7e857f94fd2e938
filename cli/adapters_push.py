"""`adapter-transfer adapters push SOURCE … --to org/name`: trained adapters to the Hub, private unless asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from adapter_transfer.durable import MANIFEST_NAME, sha256_file
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.stored_runs import find_run
from adapter_transfer.hub import hide_progress
from adapter_transfer.sharing.references import parse_hub_adapter
from adapter_transfer.sharing.secrets import secrets_in
from adapter_transfer.sharing.sources import RunPrefix, parse_source
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, errors, print_json, print_table, tell_wait
from adapter_transfer_cli.quantities import disk

if TYPE_CHECKING:
    from adapter_transfer.sharing.hub import Uploaded
    from adapter_transfer.sharing.package import Package

EXAMPLE = """Example: adapter-transfer adapters push 1f0c3a --all-seeds --to org/name --dry-run

A target run brings the intermediate adapter that it stands on; several runs must be seeds of one cell. A folder that
plain adapters wrote is shared, too: name its --backbone. What is pushed is private unless you say --public, holds no
path of this machine, and is refused if a secret is found in it."""


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLE)(push)


def push(
    source: list[str] = typer.Argument(help="Ids of target or intermediate runs (or their beginnings), or one folder."),
    to: str | None = typer.Option(None, "--to", metavar="ORG/NAME", help="Repository on the Hub; made if need be."),
    output: Path | None = typer.Option(None, "--output", "-o", help="Write the package to this folder; send nothing."),
    public: bool = typer.Option(False, "--public", help="Everybody may see and load it."),
    all_seeds: bool = typer.Option(False, "--all-seeds", help="The other seeds of the same cell, too."),
    licence: str | None = typer.Option(None, "--licence", help="As the Hub names it, for example cc-by-4.0."),
    message: str | None = typer.Option(None, "--message", "-m", help="Of the commit."),
    branch: str = typer.Option("main", help="Of the repository."),
    backbone: str | None = typer.Option(None, help="Of a folder without manifest: a name, a folder or a Hub id."),
    task: str | None = typer.Option(None, help="Of a folder without manifest: what it was trained on."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show every file that would be sent, and send nothing."),
    store: options.StoreDir = options.STORE_DEFAULT,
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Share trained adapters on the Hugging Face Hub, with a manifest, scores and a model card; private by default."""
    repo = None if to is None else _repo(to)
    if repo is None and output is None and not dry_run:
        raise ConfigError("say where to push: --to org/name (or --output FOLDER to write the package here)")
    if repo is not None and output is not None and not dry_run:
        raise ConfigError("--output writes the package and sends nothing; leave --to or --output out")
    _require_no_secret("--message", message)
    _require_no_secret("--branch", branch)
    if quiet or json or not errors().is_terminal:
        hide_progress()
    tell_wait("packing and checking the adapters", quiet=quiet or json)
    with TemporaryDirectory(prefix="adapter-transfer-") as scratch:
        folder = Path(scratch) / "package" if output is None else output
        package = _package(source, folder, store, repo, licence, all_seeds, backbone, task)
        uploaded = (
            None if repo is None or dry_run or output is not None else _upload(folder, repo, public, message, branch)
        )
        told = _told(folder, package, repo, output, public, uploaded)
    if json:
        print_json(told)
    else:
        _print(told, quiet=quiet)


def _repo(text: str) -> str:
    named = parse_hub_adapter(text if text.startswith("hub:") else f"hub:{text}")
    if "@" in text or "#" in text:
        raise ConfigError(f"--to {text!r}: name the repository alone, org/name; --branch names a branch")
    return named.repo


def _require_no_secret(option: str, text: str | None) -> None:
    """Everybody who sees the repository sees its commits, too."""
    if found := secrets_in(text or "", environment=os.environ):
        raise ConfigError(f"{option} holds {', '.join(found)}, which would be shared. Say it without.")


def _package(
    sources: Sequence[str],
    destination: Path,
    store: Path,
    repo: str | None,
    licence: str | None,
    all_seeds: bool,
    backbone: str | None,
    task: str | None,
) -> Package:
    """Writes what is to be shared to `destination`."""
    parsed = [parse_source(text) for text in sources]
    prefixes = [each.text for each in parsed if isinstance(each, RunPrefix)]
    are_runs = len(prefixes) == len(parsed)
    if are_runs and (backbone is not None or task is not None):
        raise ConfigError("--backbone and --task are for folders; a run knows its own")
    if not are_runs and not (len(parsed) == 1 and isinstance(parsed[0], Path)):
        raise ConfigError("push runs of the store (several seeds of one cell), or one folder; what is on the Hub stays")
    opened = Store.open(store, create=False) if are_runs else None
    runs = [find_run(opened, prefix) for prefix in prefixes] if opened is not None else []
    # Packages are made and checked with torch, several seconds that `--help` does without.
    from adapter_transfer.publishing.bundle import choose_bundle
    from adapter_transfer.publishing.contents import write_package
    from adapter_transfer.sharing.inspection import inspect_package

    if opened is not None:
        bundle = choose_bundle(opened, runs, all_seeds=all_seeds)
        package = write_package(opened, bundle, destination, repo=repo, licence=licence)
    else:
        (folder,) = (each for each in parsed if isinstance(each, Path))
        package = _of_folder(folder, destination, repo, licence, backbone, task)
    inspect_package(destination)
    return package


def _of_folder(
    folder: Path, destination: Path, repo: str | None, licence: str | None, backbone: str | None, task: str | None
) -> Package:
    from adapter_transfer.publishing.repackaging import repackage

    if (folder / MANIFEST_NAME).is_file() and task is not None:
        raise ConfigError("--task is for a folder without a manifest; this one says what it was trained on")
    return repackage(folder, destination, backbone=backbone, task=task, repo=repo, licence=licence)


def _upload(folder: Path, repo: str, public: bool, message: str | None, branch: str) -> Uploaded:
    from adapter_transfer.sharing.hub import upload

    return upload(folder, repo, public=public, message=message or "Adapters by adapter-transfer", branch=branch)


def _told(
    folder: Path, package: Package, repo: str | None, output: Path | None, public: bool, uploaded: Uploaded | None
) -> dict[str, Any]:
    files = [
        {"name": path.relative_to(folder).as_posix(), "size_bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return {
        "repo": repo,
        "public": public,
        "output": None if output is None else str(output),
        "url": None if uploaded is None else uploaded.url,
        "commit": None if uploaded is None else uploaded.commit,
        "is_private": None if uploaded is None else uploaded.is_private,
        "files": files,
        "package": package.model_dump(mode="json"),
    }


def _print(told: dict[str, Any], *, quiet: bool) -> None:
    if not quiet:
        rows = [[file["name"], disk(file["size_bytes"]), file["sha256"][:16]] for file in told["files"]]
        print_table(["file", "size", "sha256"], rows)
        console().print()
    if told["commit"] is not None:
        visible = "private" if told["is_private"] else "public"
        lines = [f"{told['url']} ({visible}), commit {told['commit']}", f"hub:{told['repo']}@{told['commit']}"]
    elif told["output"] is not None:
        lines = [f"written to {told['output']}; nothing was sent"]
    else:
        where = told["repo"] or "a repository that --to names"
        lines = [f"dry run: these files would go to {where} ({'public' if told['public'] else 'private'})"]
    for line in lines:
        console().print(line, markup=False, soft_wrap=True)
    if told["package"]["licence"] is None and not quiet:
        errors().print("No licence is stated; --licence says what others may do with it.", style="dim")
