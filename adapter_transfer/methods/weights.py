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
from adapter_transfer.methods.recognition import differing_fields
from adapter_transfer.methods.tensor_names import model_names, without_name

_ADAPTER_FILES = ("adapter_config.json", "adapter.safetensors")
_HEAD_FILES = ("head_config.json", "model_head.safetensors")
FUSION_FILES = ("adapter_fusion_config.json", "model_adapter_fusion.safetensors")
_FUSION = "adapter_fusion_layer"
# Of one task, of a mixture (mnli+squad1) or of fused adapters (a,b).
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+,-]{0,254}")
TAKEN_NAMES = frozenset((*dir(torch.nn.ModuleDict()), *dir(torch.nn.ParameterDict())))
"""No adapter can have these: the library keeps adapters as modules under their names, beside torch's own methods."""
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


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
    places = model_names(tensors, saved_name, state)
    if len(set(places.values())) < len(tensors):
        raise DataError(f"{folder}: does not fit: two of its weights stand for the same one")
    _copy(
        folder,
        {places[key]: value for key, value in tensors.items()},
        {without_name(key, name): value for key, value in state.items()},
    )


def load_fusion(folder: Path, name: str, state: Mapping[str, torch.Tensor]) -> None:
    """Copies a saved fusion layer into one that has just been added as `name`, whatever it was saved as.

    Args:
        state: of the new fusion, by the library's names; written to.

    Raises:
        DataError: as `load_adapter`; the fusion's own settings are what it was made with (`fusion`).
    """
    saved_name = _saved_name(folder, FUSION_FILES)
    tensors = _read(folder / FUSION_FILES[1])
    _copy(
        folder,
        {key.replace(f".{_FUSION}.{saved_name}.", f".{_FUSION}.*."): value for key, value in tensors.items()},
        {key.replace(f".{_FUSION}.{name}.", f".{_FUSION}.*."): value for key, value in state.items()},
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
    name = _field(folder / names[0], "name")
    # The library makes paths and module names of it.
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise DataError(
            f"{folder / names[0]}: its name {repr(name)[:80]} is none that can be used: letters, digits, - and _"
        )
    return name


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
    if different := differing_fields(saved, config):
        raise DataError(f"{folder}: this adapter was made with other settings: {', '.join(different)}")


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: damaged ({error})") from None


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
        if value.dtype not in _DTYPES:
            raise DataError(f"{folder}: {key} is of {value.dtype}; weights are float32, float16 or bfloat16")
        if not torch.isfinite(value).all():
            raise DataError(f"{folder}: {key} has values that are not finite")
    with torch.no_grad():
        for key, own in state.items():
            own.copy_(tensors[key])
