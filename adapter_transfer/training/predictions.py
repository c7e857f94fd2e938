"""Predictions of every item, as a parquet file: what all statistics start from. No torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from adapter_transfer.tasks.encoding import EncodedExamples

SCHEMA = pa.schema(
    [
        pa.field("language", pa.string()),
        pa.field("idx", pa.string()),
        pa.field("label", pa.int64()),
        pa.field("prediction", pa.int64()),
        pa.field("logits", pa.list_(pa.float32())),
    ]
)


def write_predictions(path: Path, encoded: EncodedExamples, logits: npt.NDArray[np.float32]) -> None:
    """One row an item: language, idx (the item's id, shared by its translations), label, prediction, logits.

    Args:
        logits: (N, answers), in the order of `encoded`.
    """
    table = pa.table(
        {
            "language": list(encoded.languages),
            "idx": list(encoded.ids),
            "label": encoded.labels,
            "prediction": logits.argmax(axis=1).astype(np.int64),
            "logits": pa.array(list(logits), type=pa.list_(pa.float32())),
        },
        schema=SCHEMA,
    )
    pq.write_table(table, path)
