"""Listening on 127.0.0.1, and on nothing else; whether there is what a page needs. Loads neither torch nor gradio."""

from __future__ import annotations

import errno
import importlib.util
import socket

from adapter_transfer.errors import ConfigError

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 7860
MAX_CONNECTIONS = 64
_PACKAGES = ("gradio", "fastapi", "uvicorn")


def require_installed() -> None:
    """Passes where the extra `serve` is installed.

    Raises:
        ConfigError: where it is not, with how to install it.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f'`serve` needs {", ".join(missing)}, which is not installed: pip install "adapter-transfer[serve]"'
        )


def listen(port: int) -> socket.socket:
    """A socket that listens on this machine alone.

    Args:
        port: 0 takes any that is free.

    Raises:
        ConfigError: if the port cannot be had.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, port))
        listening.listen(MAX_CONNECTIONS)
    except (OSError, OverflowError) as error:
        listening.close()
        known = {errno.EADDRINUSE: "is in use", errno.EACCES: "is reserved for the system"}
        number = error.errno if isinstance(error, OSError) else None
        told = known.get(number or 0, f"cannot be had ({error})")
        raise ConfigError(f"port {port} {told}. Give another with --port, or --port 0 for any that is free.") from None
    return listening


def address(listening: socket.socket) -> str:
    """Where a browser finds what listens."""
    return f"http://{LOOPBACK}:{listening.getsockname()[1]}"
