"""Finding and reading configurations: files of the user, or those that travel with the package. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from adapter_transfer.config import Document, apply_overrides, parse, read_document
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.registry import unknown_name_message


def shipped_configs() -> dict[str, Path]:
    """Name → file of every configuration that travels with the package."""
    folder = Path(str(files("adapter_transfer_configs")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_config(name: str) -> Path:
    """The file that a user means: one that is there, or a shipped one by its name.

    Raises:
        ConfigError: if it is neither, with the names there are.
    """
    path = Path(name)
    shipped = shipped_configs()
    if path.is_file():
        return path
    if name in shipped:
        return shipped[name]
    if path.exists():
        return path  # reading it says what is wrong with it
    if path.suffix in (".yaml", ".yml") or "/" in name:
        raise ConfigError(f"{name}: no such file. Shipped configurations: {', '.join(shipped)} (`ls configs`).")
    raise ConfigError(unknown_name_message("configuration", name, shipped))


def read_experiment(name: str, overrides: Sequence[str] | None = None) -> Experiment:
    """The experiment in a configuration, with `--set` changes.

    Raises:
        ConfigError: with every problem and its place.
    """
    return parse(Experiment, apply_overrides(read_document(find_config(name)), overrides or ()))


def experiment_of(config: Mapping[str, Any], overrides: Sequence[str] | None = None) -> Experiment:
    """The experiment in a mapping with the keys of a configuration, with `--set` changes.

    Raises:
        ConfigError: with every problem.
    """
    return parse(Experiment, apply_overrides(Document(dict(config), "configuration"), overrides or ()))
