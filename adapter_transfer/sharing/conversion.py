"""Adapters that were published as pickles → safetensors and today's configuration. No torch in this process.

AdapterHub's adapters lie on the Hub as `pytorch_adapter.bin`, many written by the first versions of the library. Their
tensors are read by another process, isolated (`conversion_process`); here they are given today's names
(`methods.older_files`) and written anew, so that the same source always gives the same bytes.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapter_transfer import durable
from adapter_transfer.backbones.file_headers import header_bytes, read_header
from adapter_transfer.errors import DataError, StoreError
from adapter_transfer.methods import older_files
from adapter_transfer.sharing import conversion_process
from adapter_transfer.sharing.listing import DEFAULT_MAX_BYTES, MAX_TEXT_BYTES, PICKLE_FILES, UnsafePackageError, shown
from adapter_transfer.sharing.package import ADAPTER_FILES, HEAD_FILES
from adapter_transfer.sharing.references import is_safe_name
from adapter_transfer.sharing.strict_json import parse_strict

logger = logging.getLogger(__name__)

TIME_LIMIT_SECONDS = 300.0
"""Of the isolated process, most of which loading torch takes."""
_CONFIGS = (ADAPTER_FILES[0], HEAD_FILES[0])
_DTYPES = {"F32": 4, "F16": 2, "BF16": 2}
_SAFE_KEY = re.compile(r"[A-Za-z0-9_.-]{1,500}")
_MAX_KEYS = 100_000
# AdapterHub names adapters `task/subtask@user`, and people used spaces. What else is in a name is no mistake.
_OLD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_@/+ -]{0,63}")
_AUTHOR = "Ask its author for one saved with use_safetensors=True, or use another."

_ENDINGS: Mapping[int, str] = {
    conversion_process.REFUSED: "it holds more than tensors; nothing of it was run",
    conversion_process.UNFIT: "it cannot be shared as safetensors",
    conversion_process.UNREADABLE: "it is no whole pickle of torch's",
    conversion_process.TRAPPED: "reading it led to a forbidden act, at which it was stopped",
    conversion_process.TOO_LARGE: "it asks for far more memory than its size",
}


def convert_pickles(
    source: Path,
    destination: Path,
    *,
    time_limit_seconds: float = TIME_LIMIT_SECONDS,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> None:
    """Converts an adapter that was published as pickles. Nothing in them is run, and nothing leaves this machine.

    A name of AdapterHub's kind becomes a safe one (`nli/multinli@ukp` → `nli_multinli_ukp`), which is logged.

    Args:
        source: folder with `pytorch_adapter.bin`, `adapter_config.json` and, of an adapter with a head,
            `pytorch_model_head.bin` and `head_config.json`; other files there are left alone.
        destination: new folder, which appears only after everything has gone well, with the files of
            `package.ADAPTER_FILES` and `HEAD_FILES`.
        time_limit_seconds: of the process that reads the pickles.
        max_bytes: of one pickle.

    Raises:
        UnsafePackageError: if a file is missing, too large or no plain file, a pickle holds anything but plain tensors
            of finite floats, a name is unsafe, or the weights are not of the adapter that the configuration describes.
        StoreError: if `destination` is there already, or cannot be written.
    """
    if os.path.lexists(destination):
        raise StoreError(f"cannot convert to {destination}: it is there already. Remove it, or name a new folder.")
    durable.make_folders(destination.parent)
    # The other process has its own current folder.
    work = durable.temporary_path(destination).absolute()
    opened, read, made = work / "opened", work / "read", work / "made"
    try:
        with durable.storage_errors("convert to", destination):
            for folder in (opened, read, made):
                folder.mkdir(parents=True)
            _copy_in(source, opened, max_bytes)
            _run(work, time_limit_seconds)
            name = _write_adapter(opened, read, made)
            if (opened / PICKLE_FILES[1]).exists():
                _write_head(opened, read, made, name)
            _sync(made)
            os.rename(made, destination)
            durable.sync_directory(destination.parent)
    except DataError as error:
        raise UnsafePackageError(f"its pickles cannot be converted: {error}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _copy_in(source: Path, opened: Path, max_bytes: int) -> None:
    """Copies what is to be converted, so that nobody changes it between one look and the next."""
    for pickle, config in zip(PICKLE_FILES, _CONFIGS, strict=True):
        present = [name for name in (pickle, config) if os.path.lexists(source / name)]
        if not present and pickle != PICKLE_FILES[0]:
            continue
        if len(present) < 2:
            missing = ({pickle, config} - set(present)).pop()
            raise DataError(f"{missing} is missing. An adapter's pickle and its configuration belong together.")
        _copy_file(source / pickle, opened / pickle, max_bytes)
        _copy_file(source / config, opened / config, MAX_TEXT_BYTES)


def _copy_file(source: Path, copy: Path, max_bytes: int) -> None:
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise DataError(f"{source.name} cannot be read, or is a link ({error.strerror})") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{source.name} is no plain file")
        if status.st_size > max_bytes:
            raise DataError(f"{source.name} has {status.st_size:,} bytes; at most {max_bytes:,} are allowed")
        with open(copy, "xb") as written:
            shutil.copyfileobj(file, written)


def _run(work: Path, time_limit_seconds: float) -> None:
    """Turns the pickles in `work/opened` into safetensors in `work/read`, by a process that can do nothing else."""
    torch = importlib.util.find_spec("torch")
    assert torch is not None and torch.origin is not None, "torch is a dependency"
    arguments = [Path(torch.origin).parents[1], work / "opened", work / "read", math.ceil(time_limit_seconds)]
    script = [sys.executable, "-I", "-B", conversion_process.__file__]
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {
        "HOME": str(work),
        "TMPDIR": str(work),
        "LC_ALL": "C.UTF-8",
        "CUDA_VISIBLE_DEVICES": "",
        **one_thread,
    }
    if libraries := os.environ.get("LD_LIBRARY_PATH"):  # where some systems have what torch itself needs
        environment["LD_LIBRARY_PATH"] = libraries
    with open(work / "errors", "wb") as errors:
        process = subprocess.Popen(
            [*script, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=work,
            env=environment,
            close_fds=True,
            start_new_session=True,
        )
        try:
            code = process.wait(time_limit_seconds)
        except subprocess.TimeoutExpired:
            raise DataError(
                f"reading its pickles took longer than {time_limit_seconds:g} seconds; it was stopped. {_AUTHOR}"
            ) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code != 0:
        with open(work / "errors", "rb") as written:
            written.seek(max(0, (work / "errors").stat().st_size - 300))
            text = repr(written.read().decode("utf-8", "replace").strip())
        reason = _ENDINGS.get(code, f"the process that reads it ended with {code}")
        raise DataError(f"{reason} ({text}). {_AUTHOR}")


def _write_adapter(opened: Path, read: Path, made: Path) -> str:
    """Writes the adapter's two files and returns its name."""
    saved = _read_config(opened / _CONFIGS[0])
    saved_name, model_type = saved.get("name"), saved.get("model_type")
    if not isinstance(saved_name, str):
        raise DataError(f"{_CONFIGS[0]} names no adapter")
    name = _safe_name(saved_name)
    tensors = _Tensors(read / ADAPTER_FILES[1])
    keys = older_files.adapter_keys(tensors.names, saved_name, name, model_type if type(model_type) is str else None)
    config = older_files.adapter_description(saved, name, keys.values())
    _write_config(made / ADAPTER_FILES[0], config)
    tensors.write(made / ADAPTER_FILES[1], keys)
    return name


def _write_head(opened: Path, read: Path, made: Path, adapter: str) -> None:
    saved = _read_config(opened / _CONFIGS[1])
    saved_name = saved.get("name")
    if not isinstance(saved_name, str | None):
        raise DataError(f"{_CONFIGS[1]} names no head")
    # The one head of a model of a class that has one has no name.
    name = adapter if saved_name is None else _safe_name(saved_name)
    config, layers = older_files.head_description(saved, name)
    tensors = _Tensors(read / HEAD_FILES[1])
    keys = older_files.head_keys(tensors.names, saved_name or name, name, layers)
    if not keys:
        raise DataError(f"{PICKLE_FILES[1]} holds no weights of the head {shown(saved_name)}")
    _write_config(made / HEAD_FILES[0], config)
    tensors.write(made / HEAD_FILES[1], keys)


def _safe_name(saved: str) -> str:
    if is_safe_name(saved):
        return saved
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", saved)
    if not _OLD_NAME.fullmatch(saved) or not is_safe_name(name):
        raise DataError(f"{shown(saved)} is no name of an adapter or a head. {_AUTHOR}")
    logger.warning("%r is called %r from here on: a name has letters, digits, - and _ only", saved, name)
    return name


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return parse_strict(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path.name} {error}") from None


def _write_config(path: Path, config: Mapping[str, Any]) -> None:
    """As the library does it."""
    try:
        text = json.dumps(config, indent=2, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path.name} cannot be written ({error})") from None
    path.write_text(text, "utf-8")


class _Tensors:
    """A safetensors file of the isolated process; what that process wrote is looked at like any stranger's file."""

    def __init__(self, path: Path) -> None:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise DataError(f"{path.name} is no plain file")
        self._path = path
        self._tensors = read_header(path)
        wrong = [name for name, tensor in self._tensors.items() if tensor.dtype not in _DTYPES]
        if wrong or not 0 < len(self._tensors) <= _MAX_KEYS:
            raise DataError(f"{path.name} holds {len(self._tensors)} weights, {len(wrong)} of another type than floats")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tensors)

    def write(self, path: Path, renamed: Mapping[str, str]) -> None:
        """Writes those that have a new name, under it, in an order that depends on nothing else."""
        if unsafe := [name for name in renamed.values() if not _SAFE_KEY.fullmatch(name)]:
            raise DataError(f"{shown(unsafe[0])} is no name of a weight")
        # The widest first, as safetensors does it, so that each begins at a multiple of its width.
        ordered = sorted(renamed, key=lambda key: (-_DTYPES[self._tensors[key].dtype], renamed[key]))
        fields = {renamed[key]: (self._tensors[key].dtype, self._tensors[key].shape) for key in ordered}
        with open(self._path, "rb") as file, open(path, "xb") as written:
            written.write(header_bytes(fields))
            for key in ordered:
                file.seek(self._tensors[key].begin)
                written.write(file.read(self._tensors[key].num_bytes))


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    durable.sync_directory(folder)
