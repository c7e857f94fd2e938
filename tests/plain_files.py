"""Folders as plain adapters writes them, without a model: configurations, and weights of one key a layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import adapters
import torch
from safetensors.torch import save_file

from adapter_transfer.sharing.package import ADAPTER_FILES, FUSION_FILES, HEAD_FILES

SEQ_BN = adapters.SeqBnConfig().to_dict()
LORA = adapters.LoRAConfig().to_dict()


def put_adapter(
    folder: Path, name: str, config: Any = SEQ_BN, *, head: bool = True, num_layers: int = 3, **fields: Any
) -> Path:
    """An adapter as plain adapters saves it, the weights of one key a layer."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"model_type": "xlm-roberta", "model_name": "xlm-roberta-base", "hidden_size": 32, "name": name}
    content |= {"config": config, "version": "adapters.1.3.0", "model_class": "XLMRobertaAdapterModel", **fields}
    (folder / ADAPTER_FILES[0]).write_text(json.dumps(content))
    keys = [f"roberta.encoder.layer.{n}.output.adapters.{name}.adapter_up.bias" for n in range(num_layers)]
    save_file({key: torch.zeros(2) for key in keys}, folder / ADAPTER_FILES[1])
    if head:
        put_head(folder, name)
    return folder


def put_head(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HEAD_FILES[0]).write_text(json.dumps({"name": name, "config": {"head_type": "multiple_choice"}}))
    save_file({f"heads.{name}.1.bias": torch.zeros(2)}, folder / HEAD_FILES[1])


def put_fusion(folder: Path, *names: str) -> None:
    place = folder / ",".join(names)
    place.mkdir(parents=True)
    (place / FUSION_FILES[0]).write_text(json.dumps({"name": ",".join(names), "adapter_names": list(names)}))
    save_file({"x": torch.zeros(2)}, place / FUSION_FILES[1])


def block(kind: str, *children: Any, **kwargs: Any) -> dict[str, Any]:
    nodes = [child if isinstance(child, Mapping) else {"type": "single", "children": [child]} for child in children]
    return {"type": kind, "children": nodes, **({"kwargs": kwargs} if kwargs else {})}


def put_setup(folder: Path, setup: Any, head: Any = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"adapter_setup": setup, "head_setup": head, "version": "adapters.1.3.0"}
    (folder / "adapter_setup.json").write_text(json.dumps(content))
    return folder


def put_members(folder: Path, config: Any = SEQ_BN) -> Path:
    """Adapters a, b, i without and t with a head, fusion a,b and head h."""
    for name in "abit":
        put_adapter(folder / name, name, config, head=name == "t")
    put_fusion(folder, "a", "b")
    put_head(folder / "h", "h")
    return folder
