"""Packages of one adapter with weights of some kilobytes, sealed as this toolkit shares them, made without a model.

They are whole and pass every look at them; that they suit a backbone is not claimed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from loopback_hub import LoopbackHub
from safetensors.numpy import save_file

from adapter_transfer import durable
from adapter_transfer.sharing.package import CARD, Package

NAME = "copa"
SETTINGS = {
    "adapter_residual_before_ln": False,
    "cross_adapter": False,
    "dropout": 0.0,
    "factorized_phm_W": True,
    "factorized_phm_rule": False,
    "hypercomplex_nonlinearity": "glorot-uniform",
    "init_weights": "bert",
    "inv_adapter": None,
    "inv_adapter_reduction_factor": None,
    "is_parallel": False,
    "learn_phm": True,
    "leave_out": [],
    "ln_after": False,
    "ln_before": False,
    "mh_adapter": False,
    "non_linearity": "relu",
    "original_ln_after": True,
    "original_ln_before": True,
    "output_adapter": True,
    "phm_bias": True,
    "phm_c_init": "normal",
    "phm_dim": 4,
    "phm_init_range": 0.0001,
    "phm_layer": False,
    "phm_rank": 1,
    "reduction_factor": 16,
    "residual_before_ln": True,
    "scaling": 1.0,
    "shared_W_phm": False,
    "shared_phm_rule": True,
    "stochastic_depth": 0.0,
    "use_gating": False,
}
"""As plain adapters writes those of `seq_bn`."""
_CONFIG = {
    "name": NAME,
    "config": SETTINGS,
    "hidden_size": 64,
    "model_class": "XLMRobertaAdapterModel",
    "model_name": "nano",
    "model_type": "xlm-roberta",
}


def write_sealed_package(
    folder: Path, *, value: float = 1.0, rows: int = 8, adapters: tuple[str, ...] = (".",)
) -> Path:
    """A package in a new folder, with `value` in every weight; returns the folder."""
    for path in adapters:
        place = folder / path
        place.mkdir(parents=True)
        (place / "adapter_config.json").write_text(json.dumps(_CONFIG, indent=2))
        key = f"roberta.encoder.layer.0.output.adapters.{NAME}.adapter_down.0.weight"
        save_file({key: np.full((rows, 64), value, np.float32)}, place / "adapter.safetensors")
    (folder / CARD).write_text(f"---\nlibrary_name: adapter-transformers\n---\n# Of value {value}\n")
    declared = {"name": NAME, "role": "intermediate", "task": "copa", "has_head": False}
    content = {
        "backbone": {"name": "nano", "architecture": "xlm-roberta", "hidden_size": 64},
        "method": "seq_bn",
        "adapters": [{**declared, "path": path} for path in adapters],
    }
    package = Package.model_validate_json(json.dumps(content))
    durable.seal(folder, exclude=(CARD, ".gitattributes"), package=package.model_dump(mode="json"))
    return folder


def names_below(folder: Path) -> list[str]:
    """Paths of every file and folder below a folder; none where it is not there."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) if folder.exists() else []


def publish(hub: LoopbackHub, repo: str, folder: Path, more: Mapping[str, bytes] | None = None) -> str:
    """Puts the files of a folder, and more, on the Hub as they are, whoever made them; returns the commit."""
    return hub.store.commit("model", repo, {**contents(folder), **(more or {})}, "main")


def contents(folder: Path) -> dict[str, bytes]:
    """Path → bytes of every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
