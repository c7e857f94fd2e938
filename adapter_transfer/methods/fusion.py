"""Fusion layers (AdapterFusion, Pfeiffer et al. 2021, arXiv 2005.00247): put on a model from their files, checked.

A fusion attends over what several adapters make of the same states. Here one is loaded and answers; none is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from adapters import StaticAdapterFusionConfig
from adapters.loading import AdapterFusionLoader

from adapter_transfer.durable import read_json
from adapter_transfer.errors import DataError, StoreError
from adapter_transfer.methods import weights

_FIELDS = tuple(StaticAdapterFusionConfig().to_dict())


def fused_names(folder: Path) -> tuple[str, ...]:
    """The adapters that a saved fusion layer was trained on, by the names they had, in their order.

    Raises:
        DataError: if its configuration is missing, damaged or names no two adapters.
    """
    content = _read(folder)
    names = content.get("adapter_names")
    if names is None and isinstance(content.get("name"), str):  # as earlier versions of the library wrote it
        names = content["name"].split(",")
    if not (isinstance(names, list) and len(names) > 1 and all(isinstance(name, str) for name in names)):
        raise DataError(f"{folder}: its configuration names no two adapters that are fused")
    return tuple(names)


def add_fusion(model: Any, folder: Path, names: Sequence[str]) -> str:
    """Puts a saved fusion layer over adapters that are on a model, in fp32, and returns its name there.

    Args:
        model: with flexible heads.
        names: of the adapters, as they are called on this model, in the order of `fused_names`.

    Raises:
        DataError: if a file is missing or damaged, its settings are none that can be used, a key or shape differs, or a
            value is not finite.
    """
    name = ",".join(names)
    reference = next(model.base_model.parameters())
    model.add_adapter_fusion(list(names), config=fusion_config(folder), name=name)
    model.adapter_fusion_to(name, device=reference.device, dtype=torch.float32)
    weights.load_fusion(folder, name, fusion_state(model, name))
    return name


def remove_fusion(model: Any, name: str) -> None:
    """Takes a fusion layer off a model again."""
    model.delete_adapter_fusion(name)
    model.adapters_config.fusion_name_map.pop(name, None)


def fusion_state(model: Any, name: str) -> dict[str, torch.Tensor]:
    """The weights of a fusion layer on a model, by the library's names for them (as in its saved files)."""
    belongs = AdapterFusionLoader(model).filter_func(f"{name}.")
    return {key: parameter for key, parameter in model.named_parameters() if belongs(key)}


def fusion_config(folder: Path) -> dict[str, Any]:
    """The settings of a saved fusion layer, each of them what the library takes it for.

    Raises:
        DataError: if it has none, or some that cannot be used.
    """
    saved = _read(folder).get("config")
    if not isinstance(saved, Mapping):
        raise DataError(f"{folder}: the config of its fusion is not a mapping")
    wrong = [field for field in _FIELDS if not _is_usable(field, saved.get(field, ...))]
    if wrong:
        told = ", ".join(f"{field} {repr(saved[field])[:40] if field in saved else 'missing'}" for field in wrong)
        raise DataError(f"{folder}: the config of its fusion cannot be used: {told}. Save the fusion again.")
    if saved["temperature"]:
        # The library lowers it a little at every forward, training or not, and does not save how far it has come.
        raise DataError(
            f"{folder}: a fusion with a temperature gives other answers each time it is asked. Train one without."
        )
    return {field: saved[field] for field in _FIELDS}


def _is_usable(field: str, value: object) -> bool:
    if field == "dropout_prob":
        return value is None or (type(value) in (int, float) and 0 <= float(str(value)) < 1)
    return type(value) is bool


def _read(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / weights.FUSION_FILES[0])
    except StoreError as error:
        raise DataError(str(error)) from None
