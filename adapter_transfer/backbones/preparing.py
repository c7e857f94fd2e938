"""Making prepared copies, tensor by tensor: a checkpoint larger than the memory is no obstacle, nor is an interruption.

What is wrong with a checkpoint is told by its plan (`copy_plans`), before the first byte is written. A copy grows in a
folder of its own, shard by shard, each durable and with its digest noted before the next one begins; the same command
goes on after the last whole shard. Only a finished copy gets the name by which `prepared` finds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.checkpoints import CONFIG_FILE
from adapter_transfer.backbones.copy_plans import CopyPlan, plan_copy
from adapter_transfer.backbones.prepared import (
    KEPT_FILE,
    UNFINISHED,
    PreparedCopy,
    find_damage,
    read_copy,
    source_identity,
    write_manifest,
)
from adapter_transfer.backbones.tensor_files import TensorInfo, read_infos
from adapter_transfer.backbones.tensor_writing import write_tensors
from adapter_transfer.backbones.vocabulary import KeptTokens
from adapter_transfer.durable import (
    SealedFile,
    read_json,
    replace_directory,
    sha256_file,
    storage_errors,
    sweep,
    sync_directory,
    temporary_path,
    write_atomic,
    write_json_atomic,
)
from adapter_transfer.errors import DataError, StoreError

OnProgress = Callable[[int, int], None]
"""(bytes that are written, bytes of the whole copy)."""

_SHARD_BYTES = 1 << 30
_PROGRESS_FILE = "progress.json"
_INDEX_FILE = "model.safetensors.index.json"
_SPARE_BYTES = 64 << 20


def prepare(
    backbone: Backbone,
    cache_dir: Path,
    *,
    dtype: torch.dtype | None = None,
    keep: KeptTokens | None = None,
    on_progress: OnProgress | None = None,
) -> Path:
    """Makes a copy of the backbone's body below `cache_dir`, or finds that it is there; returns its folder.

    Args:
        dtype: what weights are rounded to; None keeps them as published.
        keep: rows of the embedding table that are copied; None for all.

    Raises:
        ConfigError, DataError: as `plan_copy`.
        StoreError: as `write_copy`.
    """
    plan = plan_copy(backbone, cache_dir, dtype=dtype, keep=keep)
    return write_copy(plan, on_progress or (lambda done, total: None)).folder


def write_copy(plan: CopyPlan, on_progress: OnProgress, *, shard_bytes: int = _SHARD_BYTES) -> PreparedCopy:
    """Makes the copy, going on where an earlier call was cut off; one that is there and undamaged is returned.

    Args:
        on_progress: called after every piece of at most 16 MiB, and once where there is nothing to do.
        shard_bytes: a new file is begun where one would become larger.

    Raises:
        StoreError: if there is no space, something cannot be written, or another process makes the same copy. Whole
            shards are kept for the next call; there is no copy before all is written.
        DataError: if the original cannot be read any more, or changes meanwhile.
    """
    there = _intact_copy(plan.final)
    if there is not None:
        on_progress(there.num_bytes, there.num_bytes)
        return there
    folder = plan.final.with_name(plan.final.name + UNFINISHED)
    _require_space(plan, folder)
    with storage_errors("write the copy in", folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        there = _intact_copy(plan.final)  # another process may have finished it a moment ago
        if there is None:
            _fill(folder, plan, on_progress, shard_bytes)
            replace_directory(folder, plan.final)
            with storage_errors("clean up", plan.final):
                (plan.final / _PROGRESS_FILE).unlink()
            there = read_copy(plan.final)
    return there


def _intact_copy(folder: Path) -> PreparedCopy | None:
    if not folder.is_dir():
        return None
    try:
        copy = read_copy(folder)
    except StoreError:
        return None
    return copy if find_damage(copy) is None else None


def _require_space(plan: CopyPlan, folder: Path) -> None:
    place = next(parent for parent in folder.absolute().parents if parent.is_dir())
    with storage_errors("look at", place):
        there = sum(path.stat().st_size for path in folder.iterdir()) if folder.is_dir() else 0
        free = shutil.disk_usage(place).free
    needed = plan.num_bytes + _SPARE_BYTES - there
    if free < needed:
        raise StoreError(
            f"the copy of {plan.backbone.name!r} needs {needed / 1e9:.1f} GB in {place}, where {free / 1e9:.1f} GB are "
            "free. Free some space there, or choose another place (--store)."
        )


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing into `folder`; the lock is on the folder itself and ends with the process."""
    with storage_errors("open", folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"another process is making the same copy ({folder}). Wait for it.") from None
        except OSError as error:
            raise StoreError(f"{folder} cannot be locked: {error.strerror}. Choose another place (--store).") from None
        yield
    finally:
        os.close(descriptor)


def _fill(folder: Path, plan: CopyPlan, on_progress: OnProgress, shard_bytes: int) -> None:
    """Puts everything of a copy into the folder, its manifest last."""
    sweep(folder)
    shards = plan.shards(shard_bytes)
    done = _finished_shards(folder, plan, shards)
    counter = _Counter(plan, on_progress)
    for shard, names in shards.items():
        if shard in done:
            counter.add(sum(plan.infos[name].num_bytes for name in names))
            continue
        sealed = _write_shard(folder / shard, plan, names, counter.add)
        # Before it is noted: a copy must not be of two checkpoints, nor go by the name of one that it is not of.
        _require_unchanged(plan)
        done[shard] = sealed
        write_json_atomic(folder / _PROGRESS_FILE, {name: vars(file) for name, file in done.items()})
    if len(shards) > 1:
        index = {shard_name: shard for shard, names in shards.items() for shard_name in names}
        done[_INDEX_FILE] = _write_json(
            folder / _INDEX_FILE, {"metadata": {"total_size": plan.num_bytes}, "weight_map": index}
        )
    done[CONFIG_FILE] = _write_json(folder / CONFIG_FILE, _config(plan))
    if plan.keep is not None:
        done[KEPT_FILE] = _write_json(folder / KEPT_FILE, plan.keep.as_json())
    write_manifest(folder, done, backbone=plan.backbone, source=plan.source, dtype=plan.dtype)


def _require_unchanged(plan: CopyPlan) -> None:
    if source_identity(plan.backbone) != plan.source:
        raise DataError(
            f"backbone {plan.backbone.name!r}: the files of {plan.backbone.source} have changed while they were "
            "copied. Prepare it again once they stay as they are."
        )


class _Counter:
    """Adds up bytes and tells of them."""

    def __init__(self, plan: CopyPlan, on_progress: OnProgress) -> None:
        self._done, self._total, self._tell = 0, plan.num_bytes, on_progress

    def add(self, num_bytes: int) -> None:
        self._done += num_bytes
        self._tell(self._done, self._total)


def _finished_shards(folder: Path, plan: CopyPlan, shards: Mapping[str, list[str]]) -> dict[str, SealedFile]:
    """The shards of an earlier call that are whole and hold what is wanted; others are removed."""
    try:
        noted = {name: SealedFile(**file) for name, file in read_json(folder / _PROGRESS_FILE).items()}
    except (StoreError, TypeError, AttributeError):  # JSON of another kind than was written
        noted = {}
    done = {}
    with storage_errors("look through", folder):
        for path in sorted(folder.glob("*.safetensors")):
            file = noted.get(path.name)
            if path.name in shards and file is not None and sha256_file(path) == file.sha256:
                wanted = {name: plan.infos[name] for name in shards[path.name]}
                if _holds(path, wanted):
                    done[path.name] = file
                    continue
            path.unlink()
    return done


def _holds(path: Path, wanted: Mapping[str, TensorInfo]) -> bool:
    try:
        return read_infos(path) == wanted
    except DataError:
        return False


def _write_shard(path: Path, plan: CopyPlan, names: list[str], tell: Callable[[int], None]) -> SealedFile:
    temporary = temporary_path(path)
    with storage_errors("write", path):
        try:
            write_tensors(temporary, {name: plan.tensor_source(name, tell) for name in names})
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            sealed = SealedFile(sha256_file(temporary), temporary.stat().st_size)
            os.replace(temporary, path)
        except BaseException:  # an interrupt must not leave debris either
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    return sealed


def _write_json(path: Path, value: object) -> SealedFile:
    data = (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    write_atomic(path, data)
    return SealedFile(sha256_file(path), len(data))


def _config(plan: CopyPlan) -> dict[str, Any]:
    """The original's fields, with the number of rows and the type of the copy."""
    fields = {**plan.fields, "vocab_size": plan.infos[plan.table].shape[0]}
    if plan.dtype is not None:
        fields.pop("torch_dtype", None)
        fields["dtype"] = str(plan.dtype).removeprefix("torch.")
    return fields
