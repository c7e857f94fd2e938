"""Taking a pulled adapter over: fetched at its commit, checked against the backbone, copied into its run's artifact."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from adapter_transfer.durable import make_folders, storage_errors
from adapter_transfer.errors import DataError
from adapter_transfer.experiments.pulling import pull_into
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import RunDirectory, Store
from adapter_transfer.methods.attach import adapter_dir
from adapter_transfer.sharing.fit import require_fit
from adapter_transfer.sharing.package import ADAPTER_FILES, HEAD_FILES, content_digest, member_files


def adopt(spec: RunSpec, directory: RunDirectory, store: Store) -> dict[str, Any]:
    """Makes the artifact of a run that takes over a pulled adapter; returns the metrics, in which nothing is trained.

    Raises:
        MisfitError: if a key, shape or type of the package does not fit the backbone.
        DataError: if the package is not what was planned with, or cannot be had.
    """
    started = time.monotonic()
    adopted = spec.adopted
    assert adopted is not None, "only a run that adopts comes here"
    pulled = pull_into(store.root, adopted.reference)
    require_fit(pulled.folder, pulled.package, spec.declaration)
    destination = adapter_dir(directory.artifact_dir, adopted.module_name)
    make_folders(destination)
    with storage_errors("copy the adapter to", destination):
        for name, path in member_files(pulled.folder / adopted.path).items():
            shutil.copyfile(path, destination / name)
    if content_digest(destination) != adopted.digest:
        raise DataError(
            f"{adopted.reference} is not what this run was planned with: its files have another content. Plan again."
        )
    counts = spec.declaration.parameters()
    head = _num_parameters(destination / HEAD_FILES[1])
    return {
        "adopted": adopted.as_json(),
        "trained_parameters": _num_parameters(destination / ADAPTER_FILES[1]) + head,
        "head_parameters": head,
        "total_parameters": counts.total,
        "encoder_parameters": counts.encoder,
        "embedding_parameters": counts.embeddings,
        # Records of an intermediate that answers alone have these of its training, which was elsewhere.
        "validation_accuracy": None,
        "train_loss_first": None,
        "train_loss_last": None,
        "seconds": time.monotonic() - started,
    }


def _num_parameters(path: Path) -> int:
    """Numbers in a file of weights; 0 where there is none."""
    if not path.is_file():
        return 0
    try:
        with safe_open(path, framework="pt") as tensors:
            return sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: damaged ({error})") from None
