"""From a run's specification to what stands on its backbone, and from which parent's artifact each piece comes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store
from adapter_transfer.methods.attach import AdapterPart, Assembly, adapter_dir, body_dir, head_dir
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.composition import COMPOSITIONS
from adapter_transfer.training.streams import stream_seed

Artifacts = Callable[[str], Path]
"""Role of a parent ("intermediate", "target") → its artifact folder, checked when it is asked for."""


def parent_artifacts(store: Store, spec: RunSpec) -> Artifacts:
    """Gives the artifact folders of a run's parents by role; digests are checked once, of those that are needed."""

    @cache
    def artifact(role: str) -> Path:
        store.verify(spec.parents[role])
        return store.run_dir(spec.parents[role]) / "artifact"

    return artifact


def body_source(spec: RunSpec, artifacts: Artifacts) -> Path | None:
    """The fully fine-tuned body that a run starts from, or None where it starts from the checkpoint."""
    if METHODS[spec.method].kind != "full":
        return None
    role = evaluated_role(spec) if spec.phase == "evaluation" else "intermediate"
    return body_dir(artifacts(role)) if role in spec.parents else None


def evaluated_role(spec: RunSpec) -> str:
    """Which parent an evaluation answers with: the target run, or the intermediate where that is evaluated alone."""
    return "intermediate" if spec.composition == "alone" else "target"


def training_assembly(spec: RunSpec, artifacts: Artifacts) -> Assembly:
    """What an intermediate or target training puts on its backbone."""
    lower = artifacts("intermediate") if spec.parents else None
    heads = [(task.name, format) for task, format in zip(spec.tasks, spec.formats, strict=True)]
    return Assembly(
        method=METHODS[spec.method],
        settings=dict(spec.method_settings),
        head=heads[0][0],
        format=heads[0][1],
        more_heads=tuple(heads[1:]),
        init_seed=stream_seed(spec.seed, f"{spec.phase}/{spec.task}", "init"),
        adapters=_trained_adapters(spec, lower),
        composition=spec.composition,
        head_source=head_dir(lower, spec.lower_name) if lower is not None and spec.head == "carry" else None,
        trains_body=METHODS[spec.method].kind == "full",
    )


def _trained_adapters(spec: RunSpec, lower: Path | None) -> tuple[AdapterPart, ...]:
    if METHODS[spec.method].kind == "full":
        return ()
    source = None if lower is None else adapter_dir(lower, spec.lower_name)
    composition = COMPOSITIONS[spec.composition]
    if composition.keeps_lower:
        return (AdapterPart(spec.lower_name, composition.trains_lower, source), AdapterPart(spec.task, trains=True))
    return (AdapterPart(spec.task, trains=True, source=source),)


def evaluation_assembly(spec: RunSpec, artifacts: Artifacts) -> Assembly:
    """What a target run trained (or an intermediate run, where it is evaluated alone), put together again."""
    return Assembly(
        method=METHODS[spec.method],
        settings=dict(spec.method_settings),
        head=spec.task,
        format=spec.formats[0],
        init_seed=0,  # everything is loaded over what it draws
        adapters=_saved_adapters(spec, artifacts),
        composition=spec.composition,
        head_source=head_dir(artifacts(evaluated_role(spec)), _saved_name(spec)),
    )


def _saved_name(spec: RunSpec) -> str:
    return spec.lower_name if spec.composition == "alone" else spec.task


def _saved_adapters(spec: RunSpec, artifacts: Artifacts) -> tuple[AdapterPart, ...]:
    if METHODS[spec.method].kind == "full":
        return ()
    if spec.composition == "alone":
        alone = adapter_dir(artifacts("intermediate"), spec.lower_name)
        return (AdapterPart(spec.lower_name, trains=False, source=alone),)
    trained = AdapterPart(spec.task, trains=False, source=adapter_dir(artifacts("target"), spec.task))
    composition = COMPOSITIONS[spec.composition]
    if not composition.keeps_lower:
        return (trained,)
    # A lower adapter that moved was saved with the target; a frozen one is the intermediate run's own.
    origin = artifacts("target" if composition.trains_lower else "intermediate")
    return (AdapterPart(spec.lower_name, trains=False, source=adapter_dir(origin, spec.lower_name)), trained)
