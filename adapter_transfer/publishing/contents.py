"""From finished runs to a package: the files of their adapters, a manifest of all that is known of them, and a card.

The same runs give the same bytes, whenever and wherever it is written: no time, no path, no machine is in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adapter_transfer.experiments.data import SplitRef, data_notes
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store
from adapter_transfer.methods.attach import adapter_dir
from adapter_transfer.methods.composition import COMPOSITIONS
from adapter_transfer.publishing.adapter_files import copy_adapter, safe_name
from adapter_transfer.publishing.bundle import Bundle, Seed, SharedRun
from adapter_transfer.publishing.describing import describe_backbone, require_licence
from adapter_transfer.publishing.scores import score_runs
from adapter_transfer.publishing.staging import write_staged
from adapter_transfer.publishing.training_data import SeenData, seen_before_and_by, seen_by
from adapter_transfer.sharing.package import (
    ROOT,
    Package,
    Role,
    SharedAdapter,
    SharedBackbone,
    SharedComposition,
)

_ARTIFACT = "artifact"


def write_package(
    store: Store,
    bundle: Bundle,
    destination: Path,
    *,
    repo: str | None = None,
    licence: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Package:
    """Writes a folder that plain adapters and adapter-transfer load, with manifest and model card.

    Every run is verified first. Heads of a mixture, which lie apart, are left out.

    Args:
        destination: a new folder, or an empty one.
        repo: where it will lie on the Hub, for the card; None where it stays a folder.
        licence: as the Hub names licences, chosen by who shares; None leaves it open.
        environment: of this process, whose secrets must not be in the package.

    Raises:
        ConfigError: if something is at the destination already, or `repo` or `licence` is no such name.
        DataError: if an artifact is damaged, or a secret would be shared.
        StoreError: if a run is damaged, or something cannot be read or written.
    """
    require_licence(licence)
    runs = [run for seed in bundle.seeds for run in seed.runs]
    for run_id in dict.fromkeys(run.id for run in runs):
        store.verify(run_id)
    spec = bundle.spec
    scored = score_runs(store, bundle.run_ids)

    def fill(folder: Path) -> tuple[Package, tuple[str, ...]]:
        backbone = describe_backbone(spec.declaration, spec.backbone_digest)
        refs: dict[SplitRef, None] = {}
        written = [_write_seed(store, seed, folder, bundle, backbone, refs) for seed in bundle.seeds]
        package = Package(
            backbone=backbone,
            precision=spec.precision,
            method=spec.method,
            method_settings=dict(spec.method_settings),
            composition=spec.composition,
            intermediate=spec.intermediate,
            target=spec.task if spec.phase == "target" else None,
            max_length=spec.training.max_length,
            adapters=tuple(adapter for adapters, _ in written for adapter in adapters),
            compositions=tuple(composition for _, composition in written if composition is not None),
            scores=scored.scores,
            versions=_versions(runs),
            licence=licence,
        )
        return package, data_notes(dict.fromkeys([*refs, *scored.items]))

    return write_staged(destination, fill, backbone=spec.declaration, repo=repo, environment=environment)


def _write_seed(
    store: Store, seed: Seed, folder: Path, bundle: Bundle, backbone: SharedBackbone, refs: dict[SplitRef, None]
) -> tuple[list[SharedAdapter], SharedComposition | None]:
    """Copies what one seed shares, lowest adapter first, and says what it is; notes in `refs` what runs read for it."""
    spec = seed.run.spec
    composition = COMPOSITIONS[spec.composition]
    parts: list[tuple[str, str, Role, SharedRun]] = []
    if composition.keeps_lower:
        parts.append((spec.intermediate, spec.lower_name, "intermediate", seed.below or seed.run))
    parts.append((spec.task, spec.task, "target" if spec.phase == "target" else "intermediate", seed.run))
    above = f"seed-{spec.seed}" if len(bundle.seeds) > 1 else None
    adapters: list[SharedAdapter] = []
    for task, saved, role, run in parts:
        name = safe_name(saved, [adapter.name for adapter in adapters])
        path = ROOT if above is None and len(parts) == 1 else "/".join(filter(None, (above, name)))
        has_head = copy_adapter(
            adapter_dir(run.stored.path / _ARTIFACT, saved),
            folder / path,
            name=name,
            model_name=backbone.repo or backbone.name,
        )
        parents = tuple(adapter.path for adapter in adapters)
        # A sequential target goes on in the weights of its intermediate; in `stack-tuned` the lower adapter goes on.
        goes_on = saved == spec.lower_name if composition.trains_lower else _goes_on(spec)
        seen = seen_before_and_by(store, seed.intermediate, run.spec) if goes_on else seen_by(run.spec)
        refs.update(dict.fromkeys(seen.refs))
        adapters.append(_describe(run, task, role, seen, path=path, name=name, has_head=has_head, parents=parents))
    answering = adapters[-1]
    if not answering.has_head:
        return adapters, None
    combines = composition.combines if len(adapters) > 1 else None
    paths = tuple(adapter.path for adapter in adapters)
    return adapters, SharedComposition(adapters=paths, combines=combines, head=answering.path, seed=spec.seed)


def _goes_on(spec: RunSpec) -> bool:
    """Whether a run's adapter started from an intermediate's weights."""
    return "intermediate" in spec.parents and not COMPOSITIONS[spec.composition].keeps_lower


def _describe(
    run: SharedRun,
    task: str,
    role: Role,
    seen: SeenData,
    *,
    path: str,
    name: str,
    has_head: bool,
    parents: tuple[str, ...],
) -> SharedAdapter:
    spec, metrics = run.spec, run.stored.metrics or {}
    # Of hyper-parameters, those that can change a result.
    training: dict[str, Any] = {**spec.identity()["training"], "head": spec.head}
    return SharedAdapter(
        path=path,
        name=name,
        role=role,
        task=task,
        seed=spec.seed,
        run=run.id,
        parents=parents,
        has_head=has_head,
        data=seen.data,
        is_data_complete=seen.is_complete,
        training=training,
        validation=dict(_validation(metrics)),
    )


def _validation(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name in dict.fromkeys((str(metrics.get("validation_metric", "score")), "accuracy")):
        value = metrics.get(f"validation_{name}", metrics.get("validation_score") if name != "accuracy" else None)
        if isinstance(value, int | float):
            yield name, float(value)


def _versions(runs: list[SharedRun]) -> dict[str, str]:
    """Of everything that trained the adapters; several where runs differ."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        versions = run.stored.run.get("versions")
        for name, version in versions.items() if isinstance(versions, Mapping) else ():
            found.setdefault(str(name), {})[str(version)] = None
    return {name: ", ".join(sorted(seen)) for name, seen in sorted(found.items())}
