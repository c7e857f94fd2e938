"""The files of adapters and heads. Reading is checked: the library itself accepts missing keys, NaN and pickles.

(See facts K and L in the documentation: `load_adapter` succeeds with every key missing, on a deeper model and with NaN
weights, and falls back to a pickle where no safetensors file is there.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from adapter_transfer.errors import DataError

_ADAPTER_FILES = ("adapter_config.json", "adapter.safetensors")
_HEAD_FILES = ("head_config.json", "model_head.safetensors")
# The containers in which the library keeps modules by adapter name.
_CONTAINERS = r"\w*adapters|loras|refts|prefix_tunings|prefix_gates|prompt_tunings|shared_parameters"


def save_adapter(folder: Path, config: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> None:
    """Writes an adapter as the library does: the same two files, read by its `load_adapter(…, use_safetensors=True)`.

    Args:
        config: all that the library says of the adapter, its name included.
        state: by the library's names, each tensor once; the library finds it by any one of a shared tensor's names.
    """
    text = json.dumps(config, indent=2, sort_keys=True)
    (folder / _ADAPTER_FILES[0]).write_text(text, "utf-8")
    save_file({key: value.detach().contiguous() for key, value in state.items()}, folder / _ADAPTER_FILES[1])


def load_adapter(folder: Path, name: str, state: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> None:
    """Copies a saved adapter into one that has just been added as `name`, whatever it was saved as.

    Args:
        state: of the new adapter, by the library's names; written to.
        config: of the new adapter. What it shares with the saved one must be equal: not all of it shows in shapes
            (LoRA's alpha, activations).

    Raises:
        DataError: if a file is missing or damaged, a setting, key or shape differs, or a value is not finite.
    """
    saved_name = _saved_name(folder, _ADAPTER_FILES)
    _require_config(folder, config)
    tensors = _read(folder / _ADAPTER_FILES[1])
    _copy(
        folder,
        {_without_name(key, saved_name): value for key, value in tensors.items()},
        {_without_name(key, name): value for key, value in state.items()},
    )


def load_head(folder: Path, parameters: Mapping[str, torch.Tensor]) -> None:
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
    return str(_field(folder / names[0], "name"))


def _field(path: Path, key: str) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error!r})") from None


def _require_config(folder: Path, config: Mapping[str, Any]) -> None:
    path = folder / _ADAPTER_FILES[0]
    saved = _field(path, "config")
    if not isinstance(saved, dict):
        raise DataError(f"{path}: its config is not a mapping")
    own = json.loads(json.dumps(dict(config)))  # a file has no tuples
    # Another version of the library may know other fields; those that both know decide.
    different = [key for key in sorted(saved.keys() & own.keys()) if saved[key] != own[key]]
    if different:
        told = ", ".join(f"{key} {saved[key]!r} instead of {own[key]!r}" for key in different)
        raise DataError(f"{folder}: this adapter was made with other settings: {told}")


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: damaged ({error})") from None


def _without_name(key: str, name: str) -> str:
    return re.sub(rf"\.({_CONTAINERS})\.{re.escape(name)}\.", r".\1.*.", key)


def _copy(folder: Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> None:
    missing, unknown = sorted(state.keys() - tensors.keys()), sorted(tensors.keys() - state.keys())
    if missing or unknown:
        raise DataError(
            f"{folder}: does not fit: {len(missing)} weights missing, {len(unknown)} unknown "
            f"(for example {(missing or unknown)[0]})"
        )
    for key, own in state.items():
        value = tensors[key]
        if value.shape != own.shape:
            raise DataError(f"{folder}: {key} has shape {tuple(value.shape)}, expected {tuple(own.shape)}")
        if not torch.isfinite(value).all():
            raise DataError(f"{folder}: {key} has values that are not finite")
    with torch.no_grad():
        for key, own in state.items():
            own.copy_(tensors[key])
