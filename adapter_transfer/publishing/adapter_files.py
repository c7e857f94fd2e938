"""The files of one adapter, copied out of a store's artifact under the name that a package gives it.

Tensors are copied byte by byte; where an adapter is called otherwise, their names in the header of the safetensors file
change, and nothing else does. No torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from adapter_transfer.durable import parse_json, storage_errors
from adapter_transfer.errors import DataError
from adapter_transfer.methods.tensor_names import CONTAINERS
from adapter_transfer.sharing.package import ADAPTER_FILES, HEAD_FILES
from adapter_transfer.sharing.references import is_safe_name

_ALIGNMENT = 8
"""Of a header's length, as the safetensors library pads it."""


def safe_name(name: str, taken: Collection[str] = ()) -> str:
    """A name that is allowed in a package: `name` where it is (and free), else the nearest one that is.

    A mixture's `mnli+squad1` becomes `mnli-squad1`.
    """
    plain = name if is_safe_name(name) else re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:64] or "adapter"
    number, found = 2, plain
    while found in taken:
        found, number = f"{plain[:60]}-{number}", number + 1
    return found


def copy_adapter(source: Path, destination: Path, *, name: str | None = None, model_name: str) -> bool:
    """Copies an adapter, and its head where it has one; whether it has.

    Args:
        source: folder of an artifact's adapter.
        destination: new folder; folders above it are made.
        name: what adapter and head are called in the copy; None leaves them their own names.
        model_name: what their configurations call the backbone.

    Raises:
        DataError: if a file is damaged.
        StoreError: if a file cannot be read or written.
    """
    copy_pair(source, destination, ADAPTER_FILES, name=name, model_name=model_name)
    has_head = (source / HEAD_FILES[0]).is_file()
    if has_head:
        copy_pair(source, destination, HEAD_FILES, name=name, model_name=model_name)
    return has_head


def copy_pair(
    source: Path, destination: Path, files: tuple[str, str], *, name: str | None = None, model_name: str
) -> None:
    """Copies a configuration and the weights that it is of; arguments as of `copy_adapter`.

    Raises:
        StoreError, DataError: as `copy_adapter`.
    """
    config_name, weights_name = files
    with storage_errors("copy", source):
        config = parse_json((source / config_name).read_bytes(), source / config_name)
        weights = (source / weights_name).read_bytes()
    if name is not None:
        saved = config.get("name")
        if not isinstance(saved, str):
            raise DataError(f"{source / config_name} does not say what its adapter is called")
        weights = weights if saved == name else _renamed(weights, saved, name, source / weights_name)
        config = {**config, "name": name}
    # A path of the trainer's would say more than which encoder it is; plain adapters writes a Hub id here, too.
    config = {**config, "model_name": model_name}
    with storage_errors("write", destination):
        destination.mkdir(parents=True, exist_ok=True)
        (destination / config_name).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
        (destination / weights_name).write_bytes(weights)


def _renamed(data: bytes, old: str, new: str, path: Path) -> bytes:
    """A safetensors file in which one part of the tensors' names, between dots, is another."""
    length = int.from_bytes(data[:8], "little")
    try:
        header: dict[str, Any] = json.loads(data[8 : 8 + length])
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error})") from None
    keys = {key: key if key == "__metadata__" else _with_name(key, old, new) for key in header}
    text = json.dumps({keys[key]: value for key, value in header.items()}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _with_name(key: str, old: str, new: str) -> str:
    return re.sub(rf"(^|\.)({CONTAINERS}|heads)\.{re.escape(old)}\.", rf"\1\2.{new}.", key, count=1)
