"""From a folder of adapters, of plain adapters or ours, to a package with manifest and card."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.checkpoints import HubModel
from adapter_transfer.durable import MANIFEST_NAME, read_json, storage_errors
from adapter_transfer.errors import ConfigError
from adapter_transfer.publishing.adapter_files import copy_adapter, copy_pair
from adapter_transfer.publishing.bundle import unrebuildable_reason
from adapter_transfer.publishing.describing import describe_backbone, require_licence
from adapter_transfer.publishing.staging import write_staged
from adapter_transfer.sharing.listing import LICENCES, SETUP_FILE
from adapter_transfer.sharing.opening import open_package
from adapter_transfer.sharing.package import FUSION_FILES, HEAD_FILES, Package, SharedAdapter


def repackage(
    folder: Path,
    destination: Path,
    *,
    backbone: str | None = None,
    task: str | None = None,
    repo: str | None = None,
    licence: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Package:
    """Writes a package of the adapters in a folder, which are inspected and have to fit the backbone.

    Of what plain adapters saved neither data nor scores are known, and the card says so; of a package of ours
    everything stays but licence and place.

    Args:
        destination: a new folder, or an empty one.
        backbone: that they were trained on: a name, a folder or a Hub id; None takes the one that the folder tells.
        task: that they answer, where the folder has no manifest; None takes the adapters' names.
        repo, licence, environment: as of `contents.write_package`; None keeps the licence of a package of ours.

    Raises:
        ConfigError: if something is at the destination already, the backbone is not told or nobody else could load it,
            or `repo` or `licence` is no such name.
        DataError: if the folder holds what is not to be opened, does not fit, or a secret would be shared.
        HubError: if the backbone's revision cannot be resolved.
        StoreError: if something cannot be read or written.
    """
    require_licence(licence)
    package, declared = open_package(folder, backbone)
    if reason := unrebuildable_reason(declared):
        raise ConfigError(f"{folder} {reason}")
    if not (folder / MANIFEST_NAME).is_file():
        package = _of_task(_on_backbone(package, declared), task)
    if licence is not None:
        package = package.model_copy(update={"licence": licence})

    def fill(copy: Path) -> tuple[Package, tuple[str, ...]]:
        _copy(folder, copy, package)
        return package, ()

    return write_staged(destination, fill, backbone=declared, repo=repo, environment=environment)


def _on_backbone(package: Package, backbone: Backbone) -> Package:
    """The same on the encoder that its owner names.

    Its commit in training is not known, so that of a repository only the name is said; what lies elsewhere is told by
    its content, as it is now.
    """
    is_on_hub = isinstance(backbone.model, HubModel)
    described = describe_backbone(backbone, None if is_on_hub else backbone.digest())
    return package.model_copy(update={"backbone": described.model_copy(update={"commit": None})})


def _of_task(package: Package, task: str | None) -> Package:
    if task is None:
        return package
    answering = {composition.adapters[-1] for composition in package.compositions} or {package.adapters[-1].path}
    is_target = bool(package.compositions)

    def told(adapter: SharedAdapter) -> SharedAdapter:
        return adapter.model_copy(update={"task": task}) if adapter.path in answering else adapter

    return package.model_copy(
        update={"adapters": tuple(map(told, package.adapters)), "target": task if is_target else None}
    )


def _copy(source: Path, destination: Path, package: Package) -> None:
    model_name = package.backbone.repo or package.backbone.name
    for adapter in package.adapters:
        copy_adapter(source / adapter.path, destination / adapter.path, model_name=model_name)
    for path, files in _further(package):
        copy_pair(source / path, destination / path, files, model_name=model_name)
    for name in LICENCES:
        if (source / name).is_file():
            with storage_errors("copy", source / name):
                (destination / name).write_bytes((source / name).read_bytes())
    if (source / SETUP_FILE).is_file():
        setup = read_json(source / SETUP_FILE)
        with storage_errors("write", destination):
            (destination / SETUP_FILE).write_text(json.dumps(setup, indent=2, sort_keys=True) + "\n", "utf-8")


def _further(package: Package) -> Iterator[tuple[str, tuple[str, str]]]:
    """Folders of fusions and of heads that stand alone, with the names of their files."""
    own = {adapter.path for adapter in package.adapters}
    for composition in package.compositions:
        if composition.fusion is not None:
            yield composition.fusion, FUSION_FILES
        if composition.head not in own:
            yield composition.head, HEAD_FILES
