"""`adapter-transfer prepare BACKBONE`: a local copy of a checkpoint that loads faster and in less memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from adapter_transfer.backbones.named import named_backbone
from adapter_transfer.backbones.zoo import Backbone
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.configurations import read_experiment
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.opening import existing_store
from adapter_transfer.experiments.store import Store
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, errors, print_json
from adapter_transfer_cli.quantities import disk, duration
from adapter_transfer_cli.sources import keep_lock, open_sources

if TYPE_CHECKING:
    from adapter_transfer.backbones.copy_plans import CopyPlan
    from adapter_transfer.backbones.prepared import PreparedCopy

CopyType = Literal["as-published", "bf16"]

EXAMPLE = """Example: adapter-transfer prepare xl --dtype bf16 --trim-for xcopa

A copy is used wherever it gives exactly the weights that the original would: as published for every run, bf16 for runs
whose frozen weights are bf16 (precision bf16; nf4 and int8 on a card with bf16), trimmed for runs of experiments that
read no other tokens."""


@dataclass(frozen=True)
class _Asked:
    """What a call is about.

    Attributes:
        config, experiment: whose tokens are kept, if any.
    """

    backbone: Backbone
    sources: Sources
    config: str | None
    experiment: Experiment | None


def register(app: typer.Typer) -> None:
    app.command(epilog=EXAMPLE)(prepare)


def prepare(
    backbone: str = typer.Argument(help="A name (ls backbones, or one of --trim-for), a folder or a Hub id."),
    trim_for: str | None = typer.Option(
        None, metavar="CONFIG", help="Keep only the embedding rows of the tokens that this configuration reads."
    ),
    dtype: CopyType = typer.Option("as-published", help="Weights as they are published, or rounded to bf16."),
    revision: str | None = typer.Option(None, help="Branch, tag or commit on the Hub."),
    store: options.StoreDir = options.STORE_DEFAULT,
    data_dir: options.DataDir = None,
    on_bad_row: options.OnBadRow = "fail",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Copy a checkpoint to safetensors, tensor by tensor, for runs of this store; resumes where it was cut off."""
    existing_store(store)  # somebody's folder is told before 14 GB are downloaded
    asked = _asked(backbone, trim_for, revision, store, data_dir, on_bad_row)
    # Loads torch, several seconds that `--help` does without.
    from adapter_transfer.backbones.copy_plans import plan_copy
    from adapter_transfer.backbones.preparing import write_copy

    started = time.monotonic()
    cache_dir = store / "cache"
    plan = plan_copy(asked.backbone, cache_dir / "backbones", dtype=_rounded(dtype))
    Store.open(store)  # before anything lies in its folder
    if asked.config is not None and asked.experiment is not None:
        from adapter_transfer.experiments.kept import kept_for_experiment

        _require_tokenizer(asked.backbone)
        plan = plan.trimmed(kept_for_experiment(asked.experiment, asked.backbone, asked.sources, cache_dir=cache_dir))
        keep_lock(asked.sources, asked.config, asked.experiment, store, quiet=quiet)
    with _progress(plan, quiet=quiet) as tell:
        copy = write_copy(plan, tell)
    made = _as_json(plan, copy, time.monotonic() - started)
    if json:
        print_json(made)
    else:
        _print(made)


def _asked(
    text: str, trim_for: str | None, revision: str | None, store: Path, data_dir: Path | None, on_bad_row: Any
) -> _Asked:
    """What is to be copied, at the commit that a lock pins or the Hub names now.

    Raises:
        ConfigError: if a name is unknown, or the configuration is wrong.
        DataError: if a folder has no checkpoint.
        HubError: if a revision cannot be resolved.
    """
    if trim_for is None:
        sources = Sources(data_dir, on_bad_row)
        return _Asked(named_backbone(text, revision).pinned(sources.resolver.commit), sources, None, None)
    experiment = read_experiment(trim_for)
    sources = open_sources(trim_for, experiment, store, data_dir, on_bad_row)
    choice = next((choice for choice in experiment.backbones if choice.name == text), None)
    if choice is None:
        declared = named_backbone(text, revision)
    else:
        declared = choice.declaration() if revision is None else choice.declaration().at_revision(revision)
    return _Asked(declared.pinned(sources.resolver.commit), sources, trim_for, experiment)


def _require_tokenizer(backbone: Backbone) -> None:
    if backbone.trains_tokenizer:
        raise ConfigError(f"backbone {backbone.name!r} trains its tokenizer on each experiment's text: nothing to trim")


def _rounded(dtype: CopyType) -> Any:
    import torch

    return torch.bfloat16 if dtype == "bf16" else None


@contextmanager
def _progress(plan: CopyPlan, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Gives what is told of the bytes that are written; on standard error."""
    name = plan.backbone.name
    if quiet:
        yield lambda done, total: None
        return
    if not errors().is_terminal:
        what = f"{name}: {disk(plan.num_bytes)} to {plan.final}"
        errors().print(what, markup=False, soft_wrap=True)
        yield lambda done, total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors(), transient=True) as bars:
        task = bars.add_task(name, total=plan.num_bytes)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _as_json(plan: CopyPlan, copy: PreparedCopy, seconds: float) -> dict[str, Any]:
    published = sorted({str(plan.files.infos[name].dtype).removeprefix("torch.") for name in plan.names.values()})
    return {
        "backbone": plan.backbone.name,
        "source": plan.backbone.source,
        "folder": str(copy.folder),
        "size_bytes": copy.num_bytes,
        "dtypes": published if plan.dtype is None else [str(plan.dtype).removeprefix("torch.")],
        "num_rows": plan.infos[plan.table].shape[0],
        "num_published_rows": plan.files.infos[plan.names[plan.table]].shape[0],
        "seconds": round(seconds, 3),
    }


def _print(made: dict[str, Any]) -> None:
    rows, published = made["num_rows"], made["num_published_rows"]
    table = f"all {rows:,} embedding rows" if rows == published else f"{rows:,} of {published:,} embedding rows"
    console().print(
        f"{made['backbone']} ({made['source']}): {disk(made['size_bytes'])} in {made['folder']}, "
        f"{'/'.join(made['dtypes'])}, {table}, {duration(made['seconds'])}",
        markup=False,
        soft_wrap=True,
    )
