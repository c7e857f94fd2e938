"""Folders laid out as packages of adapters, with a few numbers in them: for checks that know nothing of encoders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

CONFIG: dict[str, Any] = {
    "config": {"architecture": None, "reduction_factor": 4},
    "hidden_size": 16,
    "model_class": "XLMRobertaAdapterModel",
    "model_name": "nano",
    "model_type": "xlm-roberta",
    "name": "copa",
    "version": "adapters.1.3.0",
}
TENSORS = {"roberta.encoder.layer.0.output.adapters.copa.adapter_down.0.weight": np.ones((4, 16), np.float32)}
HEAD = {"heads.copa.1.weight": np.ones((2, 16), np.float32)}


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), "utf-8")


def write_member(folder: Path, config: Mapping[str, Any] = CONFIG, *, has_head: bool = True) -> Path:
    """The files of one adapter, as plain adapters writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "adapter_config.json", config)
    save_file(TENSORS, folder / "adapter.safetensors")
    if has_head:
        write_json(folder / "head_config.json", {**config, "config": {"head_type": "multiple_choice"}})
        save_file(HEAD, folder / "model_head.safetensors")
    return folder


def write_package(folder: Path) -> Path:
    """A package with one adapter, its head and a card, as it may come from the Hub."""
    write_member(folder)
    (folder / "README.md").write_text("---\nlibrary_name: adapter-transformers\n---\n# An adapter\n", "utf-8")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs\n", "utf-8")
    return folder


def sizes(folder: Path) -> dict[str, int]:
    """The folder as a listing of the Hub."""
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
