"""Small models of the real classes with an assembly on them, random weights, and nothing read from a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from small_encoders import CLASSES

from adapter_transfer.backbones.encoder_tape import HeadShape
from adapter_transfer.methods.attach import (
    AdapterPart,
    Assembly,
    assemble,
    trained_parameters,
    with_flexible_heads,
)
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.recomputation import set_gradient_checkpointing
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.formats import Format
from adapter_transfer.training.batching import Batch
from adapter_transfer.training.memory import Workload
from adapter_transfer.training.settings import TrainingSettings
from adapter_transfer.training.steps import batch_loss

TWO_CHOICES = MultipleChoice(2)
ARCHITECTURES = ("xlm-roberta", "bert", "xlm-roberta-xl")  # roberta's layers are xlm-roberta's
SMALL_SETTINGS: dict[str, dict[str, Any]] = {
    "compacter": {"reduction_factor": 2},
    "prefix": {"prefix_length": 3, "bottleneck_size": 8},
    "lora": {"r": 4, "intermediate_lora": True},
}
ALONE = [
    (architecture, method.name)
    for architecture in ARCHITECTURES
    for method in METHODS.values()
    if architecture not in method.refused_architectures
]
"""Every method on every architecture that it works on."""


@dataclass(frozen=True)
class BareModel:
    """A model that trains, and the same as a workload."""

    model: Any
    workload: Workload
    ids: torch.Tensor
    format: Format = TWO_CHOICES

    def standing(self) -> set[int]:
        """The storages that are there without training: weights, buffers, ids."""
        tensors = (*self.model.parameters(), *self.model.buffers(), self.ids)
        return {tensor.untyped_storage()._cdata for tensor in tensors}

    def loss(self) -> torch.Tensor:
        """As `steps.accumulate_gradients` computes it."""
        with torch.autocast(self.ids.device.type, dtype=torch.bfloat16, enabled=self.workload.is_half):
            return batch_loss(self.model, "target", self._batch())

    def _batch(self) -> Batch:
        """All rows, every label 0."""
        rows, shape = len(self.ids), self.ids.shape
        of_level = {"example": (rows // (self.format.rows_per_example or 1),), "row": (rows, 2), "token": tuple(shape)}
        level = self.format.label_level
        labels = torch.zeros(of_level[level], dtype=torch.int64, device=self.ids.device)
        weights = {"example": None, "row": torch.ones(rows), "token": torch.full(tuple(shape), 1 / shape[1])}[level]
        weights = None if weights is None else weights.to(self.ids.device)
        return Batch(self.format, self.ids, torch.ones_like(self.ids), labels, weights)

    @property
    def parameters(self) -> dict[str, torch.nn.Parameter]:
        return trained_parameters(self.model)


def bare_model(
    architecture: str,
    method: str,
    *,
    composition: str = "none",
    precision: str = "fp32",
    dropout: float = 0.0,
    layers: int = 3,
    hidden: int = 32,
    rows: int = 4,
    length: int = 16,
    settings: dict[str, Any] | None = None,
    format: Format = TWO_CHOICES,
    **training: Any,
) -> BareModel:
    """Everything of it made to order."""
    config_class, model_class = CLASSES[architecture]
    config = config_class(
        vocab_size=60,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * hidden,
        max_position_embeddings=length + 2,
        type_vocab_size=1,
        pad_token_id=1,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    config._attn_implementation = "sdpa"
    declared = METHODS[method]
    is_full = declared.kind == "full"
    body = model_class(config, add_pooling_layer=False)
    if precision == "bf16" and not is_full:
        body.to(torch.bfloat16)
    model = with_flexible_heads(body)
    resolved = declared.parse_settings(SMALL_SETTINGS.get(method, {}) if settings is None else settings)
    given = resolved.model_dump(mode="json")
    target = AdapterPart("target", trains=True)
    parts = (target,) if composition == "none" else (AdapterPart("lower", composition == "stack-tuned"), target)
    assembly = Assembly(
        method=declared,
        settings=given,
        head="target",
        format=format,
        init_seed=0,
        adapters=() if is_full else parts,
        composition=composition,  # type: ignore[arg-type]
        trains_body=is_full,
    )
    assemble(model, assembly)
    model.train()
    workload = Workload(
        fields=config.to_dict(),
        precision=precision,  # type: ignore[arg-type]
        method=method,
        method_settings=given,
        training=TrainingSettings(learning_rate=1e-4, select="last", **training),
        rows=rows,
        length=length,
        num_adapters=len(parts),
        num_trained_adapters=sum(part.trains for part in parts),
        device="cpu",
        head=HeadShape(format.logits_per_row, format.label_level),
    )
    set_gradient_checkpointing(model, workload.training.gradient_checkpointing)
    ids = torch.randint(4, 60, (rows, length), generator=torch.Generator().manual_seed(1))
    return BareModel(model, workload, ids, format)
