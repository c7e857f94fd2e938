"""Reading saved adapters and heads into modules, checked: the library itself accepts missing keys, NaN and pickles.

(See facts K and L in the documentation: `load_adapter` succeeds with every key missing, on a deeper model and with NaN
weights, and falls back to a pickle where no safetensors file is there.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from adapter_transfer.errors import DataError

_ADAPTER_FILES = ("adapter_config.json", "adapter.safetensors")
_HEAD_FILES = ("head_config.json", "model_head.safetensors")
# The containers in which the library keeps modules by adapter name.
_CONTAINERS = r"\w*adapters|loras|refts|prefix_tunings|prefix_gates|prompt_tunings|shared_parameters"


def load_adapter(folder: Path, name: str, parameters: Mapping[str, torch.nn.Parameter]) -> None:
    """Copies a saved adapter into the parameters of one that has just been added as `name`, whatever it was saved as.

    Raises:
        DataError: if a file is missing or damaged, a key or shape differs, or a value is not finite.
    """
    saved_name = _saved_name(folder, _ADAPTER_FILES)
    tensors = _read(folder / _ADAPTER_FILES[1])
    _copy(
        folder,
        {_without_name(key, saved_name): value for key, value in tensors.items()},
        {_without_name(key, name): value for key, value in parameters.items()},
    )


def load_head(folder: Path, parameters: Mapping[str, torch.nn.Parameter]) -> None:
    """Copies a saved head into a new one of the same shape; the number of choices may differ (it has no weights).

    Args:
        parameters: of the head module, named relative to it.

    Raises:
        DataError: as `load_adapter`.
    """
    saved_name = _saved_name(folder, _HEAD_FILES)
    prefix = f"heads.{saved_name}."
    tensors = {key.removeprefix(prefix): value for key, value in _read(folder / _HEAD_FILES[1]).items()}
    _copy(folder, tensors, dict(parameters))


def _saved_name(folder: Path, names: tuple[str, str]) -> str:
    for name in names:
        if not (folder / name).is_file():
            raise DataError(f"{folder}: {name} is missing")
    try:
        return str(json.loads((folder / names[0]).read_text("utf-8"))["name"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder / names[0]}: cannot be read ({error})") from None


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: damaged ({error})") from None


def _without_name(key: str, name: str) -> str:
    return re.sub(rf"\.({_CONTAINERS})\.{re.escape(name)}\.", r".\1.*.", key)


def _copy(folder: Path, tensors: Mapping[str, torch.Tensor], parameters: Mapping[str, torch.nn.Parameter]) -> None:
    missing, unknown = sorted(parameters.keys() - tensors.keys()), sorted(tensors.keys() - parameters.keys())
    if missing or unknown:
        raise DataError(
            f"{folder}: does not fit: {len(missing)} weights missing, {len(unknown)} unknown "
            f"(for example {(missing or unknown)[0]})"
        )
    for key, parameter in parameters.items():
        value = tensors[key]
        if value.shape != parameter.shape:
            raise DataError(f"{folder}: {key} has shape {tuple(value.shape)}, expected {tuple(parameter.shape)}")
        if not torch.isfinite(value).all():
            raise DataError(f"{folder}: {key} has values that are not finite")
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(tensors[key])
