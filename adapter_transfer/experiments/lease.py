"""The lease on a run directory: one worker at a time, given back by the kernel when the worker dies.

It owns the file `lease` and nothing else. The lock is `flock(2)`, so there is no time-out to choose, no clock to agree
on and no stale lock to break after a SIGKILL; what the file says is for people only.

On NFS the lock holds between hosts only if the mount passes locks to the server (`local_lock=none`, the default of
NFS 4). With `nolock` or `local_lock=flock` each host sees its own locks only: run the workers of a store on one host
then. A file system without locks at all is refused.
"""

from __future__ import annotations

import datetime
import errno
import fcntl
import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from adapter_transfer.durable import JSONObject, storage_errors
from adapter_transfer.errors import StoreError

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)

# The descriptors whose locks this process holds. flock belongs to the open file, which a forked child shares: if it
# kept its copy open, a child that outlives a killed worker would hold the worker's runs. (A started program does not
# inherit them: Python opens files close-on-exec.)
_held_descriptors: set[int] = set()


def _drop_in_child() -> None:
    for descriptor in _held_descriptors:
        os.close(descriptor)  # not LOCK_UN, which would take the lock from the parent
    _held_descriptors.clear()


os.register_at_fork(after_in_child=_drop_in_child)


class LeaseHeldError(StoreError):
    """Another worker has the lease.

    Attributes:
        holder: what it wrote down, `{"pid", "host", "since"}`, or nothing if it was about to.
    """

    def __init__(self, subject: str, holder: JSONObject) -> None:
        self.holder = holder
        if holder:
            who = f"process {holder['pid']} on host {holder['host']} since {holder['since']}"
        else:
            who = "another process, which has only just started"
        super().__init__(f"{subject} is being worked on by {who}. Wait for it, or end that process.")


class Lease:
    """The exclusive right to write into the folder of `path`, between processes and between threads.

    A context manager; it may be taken again after it was given back. It is of no use in a child made by `fork`.

    Args:
        path: the lease file, `<run>/lease`. It is made if it is not there and never removed: a worker could otherwise
            lock a file that has lost its name while the next one locks a new file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._owner = os.getpid()

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lease, in this process."""
        return self._descriptor is not None and self._owner == os.getpid()

    def acquire(self) -> None:
        """Takes the lease, or says at once who has it.

        Raises:
            LeaseHeldError: if another process or thread has it.
            StoreError: if the file cannot be written, or its file system has no locks.
        """
        assert not self.is_held, f"{self.path} is held already"
        with storage_errors("take the lease", self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                self._lock(descriptor)
                self._sign(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        self._descriptor, self._owner = descriptor, os.getpid()
        _held_descriptors.add(descriptor)

    def release(self) -> None:
        """Gives the lease back; nothing happens if it is not held."""
        if self.is_held:
            assert self._descriptor is not None
            _held_descriptors.discard(self._descriptor)
            try:
                # Explicitly: a program that is just being started may hold a copy for the moment before its exec.
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            finally:
                os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LeaseHeldError(f"run {self.path.parent.name}", _read_holder(descriptor)) from None
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise StoreError(
                    f"cannot lock {self.path}: its file system has no locks ({error.strerror}), so two workers could "
                    "write the same run. Choose a store on a local disk."
                ) from error
            raise

    def _sign(self, descriptor: int) -> None:
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        os.ftruncate(descriptor, 0)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _read_holder(descriptor: int) -> JSONObject:
    """What the holder wrote; nothing if it has the lock but has not signed yet."""
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) and {"pid", "host", "since"} <= holder.keys() else {}
