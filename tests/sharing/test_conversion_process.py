"""The doors of the process that opens pickles: each is tried from inside, in a process that ran the same code."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from adapter_transfer.sharing import conversion_process
from adapter_transfer.sharing.conversion_process import TRAPPED

LOAD = """
import importlib.util, sys
from pathlib import Path
found = importlib.util.spec_from_file_location("inside", sys.argv[1])
inside = importlib.util.module_from_spec(found)
found.loader.exec_module(inside)
folder, port = Path(sys.argv[2]), int(sys.argv[3])
"""
CLOSE = f"{LOAD}\nimport os, pickle, socket, subprocess, ctypes, shutil\ninside.close_doors(folder / 'out')\n"
CONNECT = "import socket\nsocket.create_connection(('127.0.0.1', port), timeout=5).close()\n"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def run(code: str, folder: Path, listener: socket.socket) -> subprocess.CompletedProcess[str]:
    (folder / "out").mkdir()
    (folder / "there").write_text("there")
    arguments = [conversion_process.__file__, str(folder), str(listener.getsockname()[1])]
    command = [sys.executable, "-I", "-B", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def connections(listener: socket.socket) -> int:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return 0
    return 1


def test_the_listener_would_notice(tmp_path: Path, listener: socket.socket) -> None:
    done = run(LOAD + CONNECT, tmp_path, listener)
    assert (done.returncode, connections(listener)) == (0, 1), done.stderr


def test_there_is_no_network_in_the_namespace(tmp_path: Path, listener: socket.socket) -> None:
    done = run(f"{LOAD}\nif not inside.leave_the_network(): sys.exit(77)\n{CONNECT}", tmp_path, listener)
    if done.returncode == 77:
        pytest.skip("the kernel gives this user no namespaces")
    assert done.returncode == 1
    assert "OSError: [Errno 101]" in done.stderr  # network is unreachable, the loopback, too
    assert connections(listener) == 0


ACTS = {
    "connect": CONNECT,
    "bare socket": "socket.socket()",
    "name look-up": "socket.getaddrinfo('localhost', 80)",
    "shell": "os.system('touch ' + str(folder / 'canary'))",
    "program": "subprocess.run(['touch', str(folder / 'canary')])",
    "exec": "os.execv('/usr/bin/touch', ['touch', str(folder / 'canary')])",
    "spawn": "os.posix_spawn('/usr/bin/touch', ['touch', str(folder / 'canary')], {})",
    "fork": "os.fork()",
    "library": "ctypes.CDLL('libc.so.6')",
    "write": "open(folder / 'canary', 'w')",
    "write by descriptor": "os.open(folder / 'canary', os.O_WRONLY | os.O_CREAT)",
    "write through ..": "open(folder / 'out' / '..' / 'canary', 'w')",
    "append": "open(folder / 'there', 'a')",
    "update": "open(folder / 'there', 'r+')",
    "remove": "os.remove(folder / 'there')",
    "rename": "os.rename(folder / 'there', folder / 'canary')",
    "folder": "os.mkdir(folder / 'canary')",
    "link": "os.symlink('/', folder / 'out' / 'root')",
    "mode": "os.chmod(folder / 'there', 0o777)",
    "copy": "shutil.copyfile(folder / 'there', folder / 'canary')",
    "signal": "os.kill(os.getppid(), 0)",
    "plain pickle": "pickle.loads(b'cposix\\ngetpid\\n)R.')",
    "limits": "inside.limit_process(10, 10)",
}


@pytest.mark.parametrize("act", ACTS)
def test_a_forbidden_act_ends_the_process_before_it_is_done(act: str, tmp_path: Path, listener: socket.socket) -> None:
    done = run(
        f"{CLOSE}\ntry:\n    {ACTS[act].strip().replace(chr(10), chr(10) + '    ')}\nfinally: print('went on')",
        tmp_path,
        listener,
    )
    assert done.returncode == TRAPPED, done.stderr
    assert done.stdout == ""
    assert connections(listener) == 0
    assert sorted(os.listdir(tmp_path)) == ["out", "there"]
    assert (tmp_path / "there").read_text() == "there"
    assert not os.listdir(tmp_path / "out")


def test_what_a_conversion_does_is_let_through(tmp_path: Path, listener: socket.socket) -> None:
    acts = "import colorsys\nopen(folder / 'there').close()\nopen(folder / 'out' / 'new', 'wb').close()"
    done = run(CLOSE + acts, tmp_path, listener)
    assert (done.returncode, done.stderr) == (0, "")


def test_memory_and_files_are_bounded(tmp_path: Path, listener: socket.socket) -> None:
    acts = """
inside.limit_process(5, 1000)
inside.limit_memory(50_000_000)
try: bytearray(100_000_000)
except MemoryError: print("memory")
try: (folder / "out" / "new").write_bytes(bytes(2000))
except OSError as error: print(error.strerror)
"""
    done = run(LOAD + acts, tmp_path, listener)
    assert done.stdout == "memory\nFile too large\n", done.stderr


class Payload:
    def __init__(self, port: int) -> None:
        self.port = port

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return socket.create_connection, (("127.0.0.1", self.port),)


def test_even_without_the_restrictions_of_torch_nothing_is_run(tmp_path: Path, listener: socket.socket) -> None:
    """As if `weights_only` were broken: the same process, its `torch.load` replaced by one that unpickles anything."""
    (tmp_path / "in").mkdir()
    torch.save({"a": Payload(listener.getsockname()[1])}, tmp_path / "in" / "pytorch_adapter.bin")
    break_torch = """
import sys; sys.path.append(sys.argv[4])
import torch, functools
load = torch.load
torch.load = lambda path, **options: load(path, weights_only=False)
inside.main(sys.argv[4], folder / "in", folder / "out", 60)
"""
    (tmp_path / "out").mkdir()
    arguments = [conversion_process.__file__, str(tmp_path), "0", str(Path(torch.__file__).parents[1])]
    command = [sys.executable, "-I", "-B", "-c", LOAD + break_torch, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (TRAPPED, "pickle.find_class")
    assert connections(listener) == 0
    assert not os.listdir(tmp_path / "out")
    pickle.loads(pickle.dumps(Payload(listener.getsockname()[1]))).close()
    assert connections(listener) == 1, "the payload does not work"
