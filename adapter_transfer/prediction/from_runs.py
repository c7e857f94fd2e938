"""From a run in a store to a predictor: the very model that its evaluation scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import TokenizerText, load_tokenizer
from adapter_transfer.errors import ConfigError, DataError, StoreError
from adapter_transfer.experiments.assemblies import (
    body_source,
    evaluated_role,
    evaluation_assembly,
    parent_artifacts,
)
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.stored_runs import read_spec
from adapter_transfer.methods.attach import assemble, with_flexible_heads
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.prediction.predictor import Identity, Predictor, make_scoring, require_choices
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.mixtures import is_mixture
from adapter_transfer.training.settings import DeviceRequest

SHOWN_ID = 12


def load_run(
    store: Store, run_id: str, *, device: DeviceRequest = "auto", token_budget: int | None = None
) -> Predictor:
    """The predictor of a run: of a target run, of an intermediate run with its own head, or of what one evaluates.

    Nothing is trimmed, so that any text can be asked: trimming is exact and changes no answer.

    Raises:
        ConfigError: if the run is not done, answers no choices, or was trained by another version.
        DataError: if the backbone has changed or is missing, or an artifact does not fit.
        StoreError: if a run that it stands on is missing or damaged.
        DeviceError: if the device or the precision cannot be had.
    """
    spec = _answering_spec(store, run_id)
    task = TASKS[spec.task]
    format, asking = require_choices(task.name, task.format, task.asking)
    if spec.declaration.digest(spec.texts_digest) != spec.backbone_digest:
        raise DataError(
            f"backbone {spec.backbone!r} is not the one that run {run_id[:SHOWN_ID]} was trained with: its weights, "
            "configuration or tokenizer have changed. Restore them."
        )
    cache_dir = store.root / "cache"
    text = None if spec.texts_digest is None else TokenizerText(spec.texts_digest, lambda: _no_texts(run_id))
    tokenizer = load_tokenizer(spec.declaration, text=text, cache_dir=cache_dir / "tokenizers")
    scoring = make_scoring(device, spec.precision, token_budget, tokenizer.pad_token_id)

    artifact = parent_artifacts(store, spec)
    is_full = METHODS[spec.method].kind == "full"
    body = load_body(
        spec.declaration,
        precision=spec.precision,
        trains=is_full,
        device=scoring.device,
        vocab_size=len(tokenizer),
        dropout=spec.training.dropout,
        dtype=torch.bfloat16 if is_full and spec.training.master_weights == "bf16" else None,
        trained_dir=body_source(spec, artifact),
        prepared_dir=cache_dir / "backbones",
    )
    model = with_flexible_heads(body)
    assembly = evaluation_assembly(spec, artifact)
    assemble(model, assembly)
    identity = Identity(
        name=f"run {spec.parents[evaluated_role(spec)][:SHOWN_ID]}",
        task=spec.task,
        backbone=spec.backbone,
        method=spec.method,
        intermediate=spec.intermediate,
        composition=spec.composition,
        seed=spec.seed,
        is_sandbox=task.is_sandbox or spec.declaration.is_sandbox,
    )
    return Predictor(identity, asking, format, model, assembly.head, tokenizer, scoring, spec.training.max_length)


def _answering_spec(store: Store, run_id: str) -> RunSpec:
    """The evaluation, on no items at all, of what a run trained or evaluated."""
    spec = read_spec(store, run_id)
    if spec.phase != "evaluation":
        _require_usable(store, run_id, spec)
        return _evaluation_of(spec)
    answering = evaluated_role(spec)
    if answering not in spec.parents:
        raise StoreError(f"evaluation {run_id} names no {answering} run. Give the id of the run that was evaluated.")
    trained_id = spec.parents[answering]
    _require_usable(store, trained_id, read_spec(store, trained_id))
    return spec


def _evaluation_of(trained: RunSpec) -> RunSpec:
    role: dict[str, str] = {trained.phase: trained.id}
    if trained.phase == "target":
        return replace(trained, phase="evaluation", data=(), parents={**trained.parents, **role})
    if trained.is_adoption:
        raise ConfigError(
            f"run {trained.id[:SHOWN_ID]} took an adapter over from the Hub and trained nothing. Give its name, "
            f"{trained.intermediate!r}, or a target run that stands on it."
        )
    if is_mixture(trained.task):
        raise ConfigError(
            f"run {trained.id[:SHOWN_ID]} trained the mixture {trained.task!r}, with a head for each of its tasks, and "
            "none that answers alone. Give a target run that stands on it."
        )
    return replace(trained, phase="evaluation", composition="alone", head="carry", data=(), parents=role)


def _require_usable(store: Store, run_id: str, trained: RunSpec) -> None:
    if store.status(run_id) != "done":
        raise ConfigError(f"run {run_id} is not done; train it to its end first (`adapter-transfer train` goes on)")
    if trained.id != run_id:
        raise ConfigError(
            f"run {run_id} was trained by another version of this program, which computes otherwise; "
            "train it again with this one, or predict with that one"
        )


def _no_texts(run_id: str) -> Iterable[str]:
    raise DataError(
        f"the tokenizer of run {run_id[:SHOWN_ID]} was trained on its experiment's text and is no longer in the "
        f"store's cache. `adapter-transfer evaluate {run_id[:SHOWN_ID]}` makes it again."
    )
