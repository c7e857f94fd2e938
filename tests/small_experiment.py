"""A small experiment that takes seconds, and what a store has computed, to be compared with another's."""

from __future__ import annotations

from adapter_transfer.experiments.store import Store

SMALL = """
name: small
backbones: [nano]
methods: [{name: seq_bn, settings: {reduction_factor: 4}}]
intermediates: [none, next-event]
target: micro-copa
languages: [en, qa]
seeds: [1]
training:
  - {learning_rate: 1e-3, batch_size: 8, epochs: 1, max_length: 64, max_train_examples: 16}
"""


def artifact_digests(store: Store) -> dict[str, str]:
    """Run and file → digest, of every artifact and prediction."""
    return {
        f"{run_id}/{name}": file.sha256
        for run_id in store.run_ids()
        for name, file in store.verify(run_id).files.items()
        if name.startswith("artifact/") or name == "predictions.parquet"
    }
