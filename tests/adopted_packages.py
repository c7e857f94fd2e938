"""Packages of a trained intermediate, as folders, for tests of experiments that pull one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapter_transfer.durable import seal
from adapter_transfer.experiments.adopted import Adopted
from adapter_transfer.experiments.data import SplitRef
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store
from adapter_transfer.hub_lock import Resolver
from adapter_transfer.sharing.package import Package, SharedAdapter, SharedBackbone, SharedData
from adapter_transfer.sharing.reading import read_package
from adapter_transfer.sharing.references import HubAdapter

REPO = "org/event"
NAME = f"hub:{REPO}@main"
COMMIT = "a" * 40


def shared_data(refs: tuple[SplitRef, ...]) -> tuple[SharedData, ...]:
    """Splits as a package tells of them."""
    return tuple(SharedData(split=ref.name, digest=ref.digest, num_examples=ref.num_examples) for ref in refs)


def backbone_of(spec: RunSpec, **changes: Any) -> SharedBackbone:
    """The backbone of a run as a package tells of it."""
    fields = spec.declaration.known_fields()
    told = {
        "name": spec.backbone,
        "digest": spec.backbone_digest,
        "architecture": spec.declaration.architecture,
        "hidden_size": fields["hidden_size"],
        "num_hidden_layers": fields["num_hidden_layers"],
        "is_sandbox": spec.declaration.is_sandbox,
    }
    return SharedBackbone(**{**told, **changes})


def write_package(
    store: Store,
    runs: Mapping[str, RunSpec],
    folder: Path,
    *,
    has_head: bool = True,
    adapter: Mapping[str, Any] | None = None,
    backbone: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """A sealed package of intermediate runs: path in the package → run.

    Args:
        adapter: what is said otherwise of each adapter; `changes` of the package, `backbone` of that.
    """
    members = []
    for path, spec in runs.items():
        source, target = store.run_dir(spec.id) / "artifact" / "adapters" / spec.task, folder / path
        target.mkdir(parents=True, exist_ok=True)
        for file in source.iterdir():
            if has_head or "head" not in file.name:
                shutil.copy(file, target / file.name)
        told = {
            "path": path,
            "name": spec.task,
            "role": "intermediate",
            "task": spec.task,
            "seed": spec.seed,
            "run": spec.id,
            "has_head": has_head,
            "data": shared_data(spec.data),
        }
        members.append(SharedAdapter(**{**told, **(adapter or {})}))
    spec = next(iter(runs.values()))
    said = {
        "backbone": backbone_of(spec, **(backbone or {})),
        "precision": spec.precision,
        "method": spec.method,
        "method_settings": dict(spec.method_settings),
        "max_length": spec.training.max_length,
        "adapters": tuple(members),
    }
    package = Package(**{**said, **changes})
    seal(folder, exclude=("README.md", ".gitattributes"), package=package.model_dump(mode="json"))
    (folder / "README.md").write_text("A card.\n")
    return folder


class Shelf:
    """Packages by repository, in the place of the Hub; counts what is pulled.

    Attributes:
        pulled: what was asked for, in order.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.folders = folders
        self.pulled: list[HubAdapter] = []

    def __call__(self, wanted: HubAdapter) -> _Standing:
        self.pulled.append(wanted)
        return _Standing(self.folders[wanted.repo])

    @property
    def resolver(self) -> Resolver:
        """Every revision is the same commit."""
        return Resolver(resolve=lambda kind, repo, revision: COMMIT)


class _Standing:
    """A package in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.package = folder, read_package(folder)


def adopted_of(specs: list[RunSpec]) -> list[Adopted]:
    """What runs adopt, in their order."""
    return [spec.adopted for spec in specs if spec.is_adoption and spec.adopted is not None]
