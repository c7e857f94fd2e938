"""The application behind the gate: the JSON endpoint with FastAPI, and the page mounted below it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from adapter_transfer.errors import AdapterTransferError, ConfigError
from adapter_transfer.serving.drawing import STYLE
from adapter_transfer.serving.gate import INFO, PREDICT, Application, Gate
from adapter_transfer.serving.page import make_page, theme
from adapter_transfer.serving.service import BusyError, Service

if TYPE_CHECKING:
    from fastapi import Request, Response


def make_application(service: Service, *, with_page: bool = True) -> Application:
    """What `serve` serves.

    Args:
        with_page: without, the JSON endpoint alone, which needs no gradio.
    """
    from fastapi import FastAPI

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    async def info(request: Request) -> Response:
        return _json(200, service.info())

    async def predict(request: Request) -> Response:
        return await _predict(service, request)

    app.add_route(INFO, info, methods=["GET"])
    app.add_route(PREDICT, predict, methods=["POST"])
    if with_page:
        _mount_page(app, service)
    return Gate(app)


async def _predict(service: Service, request: Request) -> Response:
    from fastapi.concurrency import run_in_threadpool

    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        return _json(415, {"error": "send JSON, with the header Content-Type: application/json"})
    body = await request.body()
    try:
        return _json(200, await run_in_threadpool(service.answer_json, body))
    except BusyError as error:
        return _json(503, {"error": str(error)}, {"retry-after": "2"})
    except ConfigError as error:
        return _json(422, {"error": str(error), "problems": list(error.problems)})
    except AdapterTransferError as error:
        return _json(500, {"error": str(error)})


def _json(status: int, content: Any, headers: dict[str, str] | None = None) -> Response:
    from fastapi.responses import Response

    # Half a character of a pair, which a field may hold, has no UTF-8; as JSON's escape it comes back as it was.
    body = json.dumps(content, ensure_ascii=False).encode(errors="backslashreplace")
    return Response(body, status, headers, media_type="application/json")


def _mount_page(app: Any, service: Service) -> None:
    # Read by gradio when it is imported; it would ask its makers for news and tell them that it is used.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio

    gradio.mount_gradio_app(
        app,
        make_page(service),
        path="",
        server_name="127.0.0.1",
        footer_links=[],
        allowed_paths=[],
        show_error=False,
        max_file_size=1,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css=STYLE,
    )
