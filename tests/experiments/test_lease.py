"""The lease on a run directory: one holder, said by name, and free again when its process is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from adapter_transfer.errors import StoreError
from adapter_transfer.experiments.lease import Lease, LeaseHeldError

HOLDER = """
import os, sys, time
from pathlib import Path
from adapter_transfer.experiments.lease import Lease
lease = Lease(Path(sys.argv[1]))
lease.acquire()
if sys.argv[2] == "fork":
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, b"!")
        time.sleep(60)  # a child that outlives its parent
    os.read(read, 1)  # the child runs by now, and has dropped its copy
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "0123456789abcdef").mkdir()
    return tmp_path / "0123456789abcdef" / "lease"


def start_holder(path: Path, how: str = "plain") -> subprocess.Popen[str]:
    """A process of its own session that holds the lease when this returns."""
    command = [sys.executable, "-c", HOLDER, str(path), how]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == str(holder.pid)
    return holder


def test_a_second_lease_is_refused_until_the_first_is_given_back(path: Path) -> None:
    first, second = Lease(path), Lease(path)
    with first:
        with pytest.raises(LeaseHeldError, match=f"run 0123456789abcdef is being worked on by process {os.getpid()}"):
            second.acquire()
        assert (first.is_held, second.is_held) == (True, False)
    assert (first.is_held, second.is_held) == (False, False)
    with second, pytest.raises(LeaseHeldError):
        first.acquire()
    with first:
        assert first.is_held


def test_an_error_inside_gives_the_lease_back(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Lease(path):
        raise ZeroDivisionError
    with Lease(path):
        pass


def test_one_of_many_threads_gets_it(path: Path) -> None:
    outcomes: list[str] = []
    start, end = threading.Barrier(8), threading.Barrier(8)

    def work() -> None:
        lease = Lease(path)
        start.wait()
        try:
            lease.acquire()
            outcomes.append("held")
        except LeaseHeldError:
            outcomes.append("refused")
        end.wait()
        lease.release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held"] + ["refused"] * 7


@pytest.mark.parametrize("how", ["plain", "fork"])
def test_a_killed_holder_is_named_while_it_lives_and_frees_the_lease(path: Path, how: str) -> None:
    with start_holder(path, how) as holder:
        try:
            with pytest.raises(LeaseHeldError) as caught:
                Lease(path).acquire()
            assert f"process {holder.pid} on host {socket.gethostname()} since 20" in str(caught.value)
            assert caught.value.holder["pid"] == holder.pid
            os.kill(holder.pid, signal.SIGKILL)
            holder.wait()
            with Lease(path):  # though what the killed one wrote is still there, and its child may live
                pass
        finally:
            os.killpg(holder.pid, signal.SIGKILL) if how == "fork" else holder.kill()


def test_a_program_that_the_holder_started_does_not_keep_it(path: Path) -> None:
    with Lease(path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    with child, Lease(path):
        pass


def test_a_place_that_cannot_be_leased(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"cannot take the lease .* Not a directory"):
        Lease(tmp_path / "file" / "lease").acquire()


def test_a_holder_that_has_not_signed_yet(path: Path) -> None:
    with Lease(path):
        path.write_bytes(b"")
        with pytest.raises(LeaseHeldError, match="only just started"):
            Lease(path).acquire()
