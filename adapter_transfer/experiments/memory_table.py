"""Which scale fits which card: estimated peak memory of every published backbone, method and precision. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapter_transfer.backbones.zoo import PUBLISHED, Backbone, Precision
from adapter_transfer.experiments.advice import IN_BACKWARD
from adapter_transfer.experiments.cards import CARD_GIB, GIB
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.training.memory import Workload, estimate_memory, largest_micro_batch
from adapter_transfer.training.settings import TrainingSettings

SHOWN_METHODS = ("full", "seq_bn", "lora")
SHOWN_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "nf4")
LENGTH, ROWS_EACH, BATCH_SIZE = 128, 2, 32
"""A step of the table: two-way multiple choice, rows as long as the shipped values allow."""

AS_SHIPPED = "as shipped"
_RECOMPUTED: Mapping[str, Any] = {"gradient_checkpointing": True}
SMALLER: tuple[tuple[str, str, Precision, Mapping[str, Any]], ...] = (
    ("recomputed", "full", "bf16", _RECOMPUTED),
    ("recomputed, 8-bit", "full", "bf16", {**_RECOMPUTED, "optimizer": "adamw-8bit"}),
    ("recomputed, 8-bit, in backward", "full", "bf16", {**_RECOMPUTED, **IN_BACKWARD}),
    ("recomputed", "seq_bn", "bf16", _RECOMPUTED),
    ("recomputed", "seq_bn", "nf4", _RECOMPUTED),
)
"""How training is made smaller, of what, and what the rule for it sets."""


@dataclass(frozen=True)
class MemoryRow:
    """Peak memory of one way to train one backbone, headroom included.

    Attributes:
        how: `AS_SHIPPED`, or as `SMALLER` calls it.
        whole: bytes, with the published embedding table; None where the combination is impossible.
        trimmed: bytes, with the kept tokens alone.
    """

    backbone: str
    method: str
    precision: Precision
    how: str
    whole: int | None
    trimmed: int | None

    def fits(self, card_gib: int) -> str:
        """Whether a card holds it: "yes", "trimmed" (only then), "no", or "–" where it is impossible."""
        if self.whole is None or self.trimmed is None:
            return "–"
        memory = card_gib * GIB
        return "yes" if self.whole <= memory else "trimmed" if self.trimmed <= memory else "no"

    def as_json(self) -> dict[str, Any]:
        return {
            "backbone": self.backbone,
            "method": self.method,
            "precision": self.precision,
            "how": self.how,
            "peak_memory_bytes": self.whole,
            "trimmed_peak_memory_bytes": self.trimmed,
            "fits": {f"{size}GiB": self.fits(size) for size in CARD_GIB},
        }


def memory_rows(token_budget: int, num_kept: int) -> Iterator[MemoryRow]:
    """Every scale, method and precision as shipped, scale by scale, then what is made smaller.

    Args:
        token_budget: padded tokens in a micro-batch.
        num_kept: rows of a trimmed table.
    """
    for backbone in PUBLISHED:
        for method in SHOWN_METHODS:
            for precision in SHOWN_PRECISIONS:
                yield _row(backbone, method, precision, AS_SHIPPED, {}, token_budget, num_kept)
    for backbone in PUBLISHED:
        for how, method, precision, changes in SMALLER:
            yield _row(backbone, method, precision, how, changes, token_budget, num_kept)


def _row(
    backbone: Backbone,
    method: str,
    precision: Precision,
    how: str,
    changes: Mapping[str, Any],
    token_budget: int,
    num_kept: int,
) -> MemoryRow:
    if precision in METHODS[method].refused_precisions:
        return MemoryRow(backbone.name, method, precision, how, None, None)
    fields = backbone.known_fields()
    trimmed = {**fields, "vocab_size": min(num_kept, fields["vocab_size"])}
    training = TrainingSettings(learning_rate=1e-4, batch_size=BATCH_SIZE, max_length=LENGTH, **changes)
    whole, small = (
        estimate_memory(_workload(each, method, precision, training, token_budget)).total for each in (fields, trimmed)
    )
    return MemoryRow(backbone.name, method, precision, how, whole, small)


def _workload(
    fields: Mapping[str, Any], method: str, precision: Precision, training: TrainingSettings, token_budget: int
) -> Workload:
    rows, length = largest_micro_batch(
        length=LENGTH,
        rows_each=ROWS_EACH,
        batch_size=BATCH_SIZE,
        token_budget=None if training.updates_in_backward else token_budget,
    )
    return Workload(
        fields=fields,
        precision=precision,
        method=method,
        method_settings=METHODS[method].parse_settings({}).model_dump(mode="json"),
        training=training,
        rows=rows,
        length=length,
        accumulates=rows < BATCH_SIZE * ROWS_EACH,
    )
