"""The process that opens a stranger's pickles: `torch.load(weights_only=True)` behind closed doors. Run as a script.

It stands alone (the standard library, torch, safetensors), so that `conversion`, its parent, can start it isolated from
the environment, from the user's own packages and from this one. Before a pickle is touched, the process

* has left the network, where the kernel lets it (a network namespace of its own, with nothing in it),
* has bounds on processor time, memory, open files and the size of what it writes, and
* ends itself at the first attempt to reach a network, to start a program, to load a library, to unpickle without
  torch's restrictions, or to write or remove anything outside of one folder (an audit hook, which cannot be removed).

`weights_only=True` runs nothing of a pickle in the first place; all this is for the day on which it is wrong. What
comes out are plain tensors under the keys of the pickle. What the keys mean is not known here.

The exit code tells the parent how it ended, the text on standard error why.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pickle
import re
import resource
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

REFUSED, UNFIT, UNREADABLE, TRAPPED, TOO_LARGE = 3, 4, 5, 6, 7
"""Exit codes: more than tensors, a tensor that cannot be shared, no pickle of torch's, a closed door, out of memory."""

OUTPUTS: Mapping[str, str] = {
    "pytorch_adapter.bin": "adapter.safetensors",
    "pytorch_model_head.bin": "model_head.safetensors",
}
"""Pickle → what is made of it."""

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
# Beginnings of the names of audit events (https://docs.python.org/3/library/audit_events.html). `pickle.find_class` is
# raised by Python's own unpickler only, never by the restricted one of torch.
_CLOSED = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.kill",
    "os.putenv",
    "os.unsetenv",
    "os.chdir",
    "os.fwalk",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "os.chmod",
    "os.chown",
    "os.setxattr",
    "os.removexattr",
    "shutil.",
    "tempfile.",
    "pty.",
    "signal.pthread_kill",
    "resource.setrlimit",
    "resource.prlimit",
    "pickle.find_class",
    "ctypes.dlopen",
    "ctypes.dlsym",
    "ctypes.call_function",
    "ctypes.set_errno",
    "code.__new__",
    "function.__new__",
    "urllib.",
    "http.",
    "ftplib.",
    "smtplib.",
    "webbrowser.",
    "sqlite3.",
)
_TAR_MARK, _TAR_PLACE = b"ustar", 257
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# What a process needs beyond several copies of the numbers in a file.
_SPARE_BYTES = 512 << 20
_COPIES = 6


def leave_the_network() -> bool:
    """Moves this process to a network namespace of its own, without even a loopback; whether the kernel let it.

    A new user namespace makes it possible for an ordinary user (unshare(2)); the process must have one thread only.
    """
    library = ctypes.CDLL(None, use_errno=True)
    both = bool(library.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)
    return both or bool(library.unshare(_CLONE_NEWNET) == 0)


def close_doors(writable: Path) -> None:
    """From here on this process ends at the first forbidden act; nothing can open the doors again.

    Args:
        writable: the one folder in which files may be written.
    """
    inside = os.path.realpath(writable) + os.sep
    realpath, write, leave, fsencode, fsdecode = os.path.realpath, os.write, os._exit, os.fsencode, os.fsdecode

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = bool(flags & _WRITING) or any(letter in (mode or "") for letter in "wax+")
            if not writes or (isinstance(path, str | bytes) and realpath(fsdecode(path)).startswith(inside)):
                return
        elif not event.startswith(_CLOSED):
            return
        write(2, fsencode(f"{event}{' for writing' if event == 'open' else ''}"))
        leave(TRAPPED)

    sys.addaudithook(watch)


def limit_process(seconds: int, written_bytes: int) -> None:
    """Bounds what the rest of this process may take: processor time, and the size of a file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (written_bytes, written_bytes))


def limit_memory(more_bytes: int) -> None:
    """Bounds the address space to what is taken already (a build of torch for GPUs maps many GB) and `more_bytes`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


class FaultError(Exception):
    """A pickle that is not converted: the exit code, and why."""

    def __init__(self, code: int, why: str) -> None:
        self.code = code
        super().__init__(why)


def _torch() -> Any:
    # Not at the top: the network is left by a process of one thread only, and torch starts some. The parent, which
    # reads the constants here, needs no torch.
    return importlib.import_module("torch")


def _require_plain_archive(path: Path) -> None:
    """Torch stores tensors as they are. An archive that unpacks to more than its own size is none of torch's making."""
    with open(path, "rb") as file:
        if file.read(_TAR_PLACE + len(_TAR_MARK)).endswith(_TAR_MARK):
            raise FaultError(UNREADABLE, "it is an archive of another kind")
    if not zipfile.is_zipfile(path):
        return  # as torch wrote pickles before version 1.6
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    is_packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if is_packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise FaultError(UNREADABLE, "its archive is compressed, or claims more than it holds")


def _flaw(value: torch.Tensor) -> str | None:
    """Why a tensor cannot be shared; None where it can."""
    torch = _torch()
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        return "it is no dense tensor"
    if value.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"it is of {value.dtype}; weights are float32, float16 or bfloat16"
    if not 0 < value.numel() * value.element_size() <= value.untyped_storage().nbytes():
        return f"it claims {value.numel()} numbers, which are not there"
    return None


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of one pickle, each once: of names that share one, the first counts.

    Raises:
        FaultError: if it holds anything else, or cannot be read.
    """
    torch = _torch()
    try:
        _require_plain_archive(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FaultError:
        raise
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL ([\w.]{1,100})", str(error))
        raise FaultError(REFUSED, name.group(1) if name else "an unknown object") from None
    except Exception as error:  # a stranger's bytes: whatever it is, it ends here
        is_memory = isinstance(error, MemoryError) or "allocate memory" in str(error)
        raise FaultError(TOO_LARGE if is_memory else UNREADABLE, type(error).__name__) from None
    if type(loaded) not in (dict, OrderedDict) or len(loaded) == 0:
        raise FaultError(UNFIT, "it is no mapping of names to tensors")
    unique: dict[object, tuple[str, Any]] = {}
    # A pickle may give a mapping and a tensor attributes that stand before their methods: it is not asked by its own.
    for key, value in dict.items(loaded):
        if type(key) is not str or type(value) not in (torch.Tensor, torch.nn.Parameter):
            raise FaultError(UNFIT, f"a {type(value).__name__} under a {type(key).__name__}, no tensor with a name")
        tensor = torch.Tensor.detach(value)
        if flaw := _flaw(tensor):
            raise FaultError(UNFIT, f"{key[:200]!r}: {flaw}")
        place = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        unique.setdefault(place, (key, tensor))
    if sum(tensor.numel() * tensor.element_size() for _, tensor in unique.values()) > path.stat().st_size:
        raise FaultError(UNFIT, "its tensors overlap")
    tensors = {key: tensor.contiguous().clone() for key, tensor in unique.values()}
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise FaultError(UNFIT, f"{key[:200]!r} has values that are not finite")
    return tensors


def main(packages: str, source: Path, destination: Path, seconds: int) -> None:
    """Turns the pickles in `source` into safetensors files in `destination`; ends the process where it cannot.

    Args:
        packages: folder in which torch and safetensors lie.
        seconds: of processor time.
    """
    pickles = [source / name for name in OUTPUTS if (source / name).exists()]
    num_bytes = sum(path.stat().st_size for path in pickles)
    limit_process(seconds, num_bytes + (1 << 20))
    leave_the_network()  # before torch: one thread only
    sys.path.append(packages)
    save_file = importlib.import_module("safetensors.torch").save_file
    _torch().set_num_threads(1)
    # A pickle may ask for a tensor without saying its numbers (`torch.FloatTensor(n)`), and would get what this memory
    # held before. So it is NaN, which is refused.
    _torch().use_deterministic_algorithms(True)
    limit_memory(_COPIES * num_bytes + _SPARE_BYTES)
    close_doors(destination)
    for path in pickles:
        try:
            save_file(read_tensors(path), destination / OUTPUTS[path.name])
        except Exception as error:  # a fault, or out of memory after all
            code, why = (error.code, str(error)) if isinstance(error, FaultError) else (TOO_LARGE, type(error).__name__)
            os.write(2, f"{path.name}: {why}".encode("utf-8", "backslashreplace"))
            os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
