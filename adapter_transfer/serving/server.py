"""Running the application until Ctrl-C. Owns uvicorn."""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Callable

from adapter_transfer.serving.application import make_application
from adapter_transfer.serving.loopback import MAX_CONNECTIONS, address
from adapter_transfer.serving.service import Service

ENDING_SECONDS = 2


def serve(service: Service, listening: socket.socket, on_ready: Callable[[str], None] = lambda address: None) -> None:
    """Serves until the program is interrupted, then returns; the socket is closed.

    Args:
        on_ready: told the address once everything is made.
    """
    import uvicorn

    application = make_application(service)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # of connections that its ending cuts
    config = uvicorn.Config(
        application,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=ENDING_SECONDS,
    )
    with listening, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="gradio")  # about what its own libraries deprecate
        try:
            on_ready(address(listening))
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            return
