"""Predictions of every item, as a parquet file: what all statistics start from. No torch."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from adapter_transfer.tasks.formats import EncodedExamples, Logits


def write_predictions(path: Path, encoded: EncodedExamples, logits: Logits) -> None:
    """One row an item: language, idx (the item's id, shared by its translations), and what its format tells.

    The latter is at least `label` and `prediction`.

    Args:
        logits: in the order of `encoded`.
    """
    columns = {
        "language": pa.array(list(encoded.languages), type=pa.string()),
        "idx": pa.array(list(encoded.ids), type=pa.string()),
        **encoded.format.answers(encoded, logits),
    }
    pq.write_table(pa.table(columns), path)
