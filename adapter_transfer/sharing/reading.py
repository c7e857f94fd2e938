"""What a folder of adapters holds: as its manifest says, or as far as the files of plain adapters tell. No torch.

Whoever reads a stranger's folder has it looked at first (`inspection`); what is declared is checked against a backbone
before use (`fit`). Nothing here trusts a value: what is odd is refused in words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adapter_transfer.durable import MANIFEST_NAME, Manifest, verify
from adapter_transfer.errors import DataError, StoreError
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.sharing.package import (
    ADAPTER_FILES,
    FUSION_FILES,
    HEAD_FILES,
    PACKAGE_FORMAT,
    ROOT,
    Package,
    SharedComposition,
)
from adapter_transfer.sharing.plain_folders import read_plain_folder

_KEY = "package"
"""Where a manifest holds the package's declaration."""
_AGAIN = "Bring it again from where it came."


def read_package(folder: Path) -> Package:
    """What a folder holds: this toolkit's packages (every sealed file is read again), or what plain adapters saved.

    Raises:
        DataError: if it holds nothing that can be used: damaged, of a newer version, of no method or composition here,
            or no adapter at all.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder. Name a folder with an adapter in it.")
    if (folder / MANIFEST_NAME).is_file():
        return _read_ours(folder)
    return read_plain_folder(folder)


def _read_ours(folder: Path) -> Package:
    try:
        manifest = verify(folder)
    except StoreError as error:
        raise DataError(str(error)) from None
    except (TypeError, ValueError, RecursionError):
        raise DataError(f"{folder / MANIFEST_NAME} is damaged: it is no manifest of this toolkit. {_AGAIN}") from None
    package = _parse(folder, manifest.extra.get(_KEY))
    problems = list(_problems(package, manifest))
    if problems:
        raise DataError(f"{folder} is not what its manifest declares: {'; '.join(problems[:5])}. {_AGAIN}")
    return package


def _parse(folder: Path, declared: Any) -> Package:
    place = folder / MANIFEST_NAME
    if not isinstance(declared, Mapping):
        raise DataError(f"{place} declares no adapters (it has no {_KEY!r}): this folder is no package of adapters.")
    version = declared.get("format")
    if type(version) is int and version > PACKAGE_FORMAT:
        raise DataError(
            f"{place} declares adapters in format {version}; this program knows up to {PACKAGE_FORMAT}. Upgrade "
            "adapter-transfer."
        )
    try:
        # By way of JSON, where strict pydantic takes a list for a tuple.
        return Package.model_validate_json(json.dumps(declared))
    except (ValidationError, ValueError) as error:
        raise DataError(f"{place} declares adapters in a way that cannot be read: {_told(error)}. {_AGAIN}") from None


def _told(error: ValueError) -> str:
    """The first complaints of pydantic, the values (a stranger's) left out."""
    if not isinstance(error, ValidationError):
        return "its values are no JSON"
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, entry['loc']))!r}: {entry['msg'][:200]}" for entry in found[:3])


def _problems(package: Package, manifest: Manifest) -> Iterator[str]:
    """What is declared and cannot be: methods nobody knows here, files that are not sealed."""
    if package.method not in METHODS or METHODS[package.method].kind != "adapter":
        known = ", ".join(method.name for method in METHODS.values() if method.kind == "adapter")
        yield f"method {package.method[:40]!r} is none that this version knows ({known})"
    else:
        try:
            METHODS[package.method].parse_settings(package.method_settings)
        except ValueError as error:
            yield f"settings of method {package.method!r}: {_told(error)}"
    needed: dict[str, None] = {}
    for adapter in package.adapters:
        needed |= dict.fromkeys(_inside(adapter.path, ADAPTER_FILES))
        needed |= dict.fromkeys(_inside(adapter.path, HEAD_FILES if adapter.has_head else ()))
    for composition in package.compositions:
        needed |= dict.fromkeys(_inside(composition.head, HEAD_FILES))
        if composition.fusion is not None:
            needed |= dict.fromkeys(_inside(composition.fusion, FUSION_FILES))
        if (composition.combines == "fuse") != (composition.fusion is not None):
            yield "a composition is to be fused without a fusion layer, or has one and is not to be fused"
        yield from _out_of_place(package, composition)
    yield from (f"{name} is not among its sealed files" for name in needed if name not in manifest.files)


def _out_of_place(package: Package, composition: SharedComposition) -> Iterator[str]:
    """What would answer, and not be what the package says of its adapters."""
    for number, path in enumerate(composition.adapters):
        missing = sorted(set(package.adapter(path).parents) - set(composition.adapters[:number]))
        if missing:
            yield f"{path} was trained on top of {', '.join(missing)}, and is to answer without it or below it"
    answers = {adapter.path for adapter in package.adapters if adapter.path != composition.adapters[-1]}
    if composition.combines != "fuse" and composition.head in answers:
        yield f"the head of {composition.head} is to answer, and {composition.adapters[-1]} is on top"


def _inside(path: str, names: tuple[str, ...]) -> list[str]:
    return [name if path == ROOT else f"{path}/{name}" for name in names]
