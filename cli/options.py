"""Options that several verbs share, declared once."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.tasks.reading import BadRows
from adapter_transfer.training.settings import DEFAULT_TOKEN_BUDGET, DeviceRequest
from adapter_transfer_cli.output import configure_logs


def _debug(context: typer.Context, value: bool) -> bool:
    configure_logs(value)
    if value and context.obj is not None:
        context.obj.debug = True
    return value


StoreDir = Annotated[
    Path, typer.Option("--store", envvar="ADAPTER_TRANSFER_STORE", help="Folder of the store: runs and their results.")
]
STORE_DEFAULT = Path("runs")
Config = Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped configuration (ls configs).")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the configuration, for example --set seeds=[1,2,3]."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(envvar="ADAPTER_TRANSFER_DATA", help="Folder of published data files, in place of the Hub."),
]
OnBadRow = Annotated[
    BadRows, typer.Option(help="A row of data that cannot be read: fail before anything starts, or skip and count it.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]
Debug = Annotated[bool, typer.Option("--debug", callback=_debug, help="Show the trace of an error, and the logs.")]
Device = Annotated[DeviceRequest, typer.Option(help="Where to compute; auto takes an NVIDIA card where there is one.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that run side by side; on one GPU, 1.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads of each worker. [default: cores / workers]")]
TokenBudget = Annotated[
    int | None,
    typer.Option(
        min=64,
        help="Padded tokens in one micro-batch; less needs less memory and changes no result. "
        f"[default: the configuration's, else {DEFAULT_TOKEN_BUDGET}]",
    ),
]
AdapterSource = Annotated[
    str, typer.Argument(help="A run's id (or its beginning), a folder, or a name on the Hub: hub:org/name@revision.")
]
Trained = Annotated[str, typer.Argument(help="A run's id (or its beginning), a folder, or hub:org/name@revision.")]
SeedOfSeveral = Annotated[
    int | None, typer.Option("--seed", help="Which of a package with several. [default: the lowest]")
]
Encoder = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="The encoder of adapters whose files do not tell it: a name (ls backbones), a folder or a Hub id.",
    ),
]
EncoderPrecision = Annotated[
    Precision | None,
    typer.Option(
        "--precision", help="Of the encoder's weights, for adapters of a folder or the Hub. [default: as in training]"
    ),
]
CheckpointSteps = Annotated[int, typer.Option(min=1, help="Optimizer steps between two checkpoints.")]
Trackers = Annotated[
    list[str] | None,
    typer.Option("--tracker", help="Also log to a tracker that accelerate knows, such as tensorboard."),
]
MACHINE = MachineSettings()
"""The defaults of the options above."""


SET_NEEDS_CONFIG = "--set changes a configuration, and a store has none; name the configuration"


def require_config(config: str | None, overrides: Sequence[str] | None) -> None:
    """Refuses `--set` where no configuration is named: it would change nothing.

    Raises:
        ConfigError: if that is so.
    """
    if config is None and overrides:
        raise ConfigError(SET_NEEDS_CONFIG)


def store_option(store: Path) -> str:
    """How a command line that is shown to people names this store; nothing for the default one."""
    return "" if store == STORE_DEFAULT else f" --store {shlex.quote(str(store))}"


def log_level(debug: bool) -> int:
    """What worker processes log, by `--debug`."""
    return logging.DEBUG if debug else logging.WARNING
