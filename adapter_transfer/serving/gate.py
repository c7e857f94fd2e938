"""What is let in and out of the page's server: hosts, origins, paths, sizes and headers. Plain ASGI, no gradio.

The server listens on 127.0.0.1 alone, which keeps other machines out but not the pages that a browser here has open.
So a request has to name this machine in its `Host` (else a foreign name that resolves to 127.0.0.1 would do: DNS
rebinding), must not come from another origin, and reaches only the paths that the page needs: gradio's routes for
files, uploads, proxies, logins and monitoring stay closed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 2**20
BODY_SECONDS = 20.0
MAX_TARGET_BYTES = 4096
"""Of a path with its query."""

PREDICT, INFO = "/api/predict", "/api/info"
_GET = frozenset(("GET", "HEAD"))
_POST = frozenset(("POST",))
_OPEN_PATHS: Mapping[str, frozenset[str]] = {
    "/": _GET,
    INFO: _GET,
    PREDICT: _POST,
    "/config": _GET,
    "/theme.css": _GET,
    "/favicon.ico": _GET,
    "/manifest.json": _GET,
    "/gradio_api/startup-events": _GET,
    "/gradio_api/queue/join": _POST,
    "/gradio_api/run/predict": _POST,
    "/gradio_api/queue/data": _GET,
}
_OPEN_FOLDERS = ("/assets/", "/static/", "/gradio_api/heartbeat/")
_HOSTS = frozenset(("localhost", "127.0.0.1", "[::1]"))
_HOST = re.compile(r"(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:\d{1,5})?", re.IGNORECASE)

# gradio's pages begin with scripts in the page itself, and its HTML component makes functions of its template. What
# matters here: nothing is fetched from, sent to or framed by another site.
CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

logger = logging.getLogger(__name__)


class _Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Gate:
    """An application behind the checks of this module."""

    def __init__(self, inner: Application, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._inner = inner
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or lets it through."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        is_begun = False

        async def guarded(message: Message) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                message["headers"] = _own_headers(message.get("headers", ()))
            await send(message)

        try:
            _check(scope)
            body = b"" if scope["method"] in _GET else await self._read(scope, receive)
            await self._inner(scope, _replay(body, receive), guarded)
        except _Refusal as refusal:
            await send_json(guarded, refusal.status, {"error": str(refusal)})
        except Exception:
            logger.exception("a request failed")
            if not is_begun:
                await send_json(guarded, 500, {"error": "unexpected error; the server's terminal tells more"})

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        declared = _header(scope, b"content-length")
        if declared is not None and declared.isdecimal() and int(declared) > self._max_body_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Refusal(400, "the request ended before its body did")
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    if size > self._max_body_bytes:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise _Refusal(408, f"the body of the request did not arrive in {BODY_SECONDS:g} seconds") from None

    def _too_large(self) -> _Refusal:
        return _Refusal(413, f"the request is larger than {self._max_body_bytes:,} bytes; ask fewer questions at once")


async def send_json(send: Send, status: int, content: Any) -> None:
    """A whole JSON response."""
    body = (json.dumps(content, ensure_ascii=False) + "\n").encode(errors="replace")
    headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    # What is left of a refused body is not read, so that nothing may follow it on this connection.
    headers += [(b"connection", b"close")] if status >= 400 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _check(scope: Scope) -> None:
    host = _header(scope, b"host") or ""
    found = _HOST.fullmatch(host)
    if found is None or found[1].lower() not in _HOSTS:
        raise _Refusal(421, "this server answers to localhost and 127.0.0.1 alone")
    _check_origin(scope, host)
    path, method = scope["path"], scope["method"]
    if len(path) + len(scope.get("query_string", b"")) > MAX_TARGET_BYTES:
        raise _Refusal(414, "the address is too long")
    allowed = _methods(path)
    if not allowed:
        raise _Refusal(404, f"there is nothing at this address; there are / (a page), {PREDICT} and {INFO}")
    if method not in allowed:
        raise _Refusal(405, f"this address takes {' or '.join(sorted(allowed))}")


def _check_origin(scope: Scope, host: str) -> None:
    """Refuses what another page sends: every browser names its origin with a POST, newer ones its relation always."""
    origin = _header(scope, b"origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        raise _Refusal(403, "requests from other sites are refused")
    relation = _header(scope, b"sec-fetch-site")
    is_visit = _header(scope, b"sec-fetch-mode") == "navigate" and scope["method"] in _GET
    if relation not in (None, "same-origin", "none") and not is_visit:
        raise _Refusal(403, "requests from other sites are refused")


def _methods(path: str) -> frozenset[str]:
    if ".." in unquote(path) or "\\" in path or "\0" in path:
        return frozenset()
    return _OPEN_PATHS.get(path) or (_GET if path.startswith(_OPEN_FOLDERS) else frozenset())


def _header(scope: Scope, name: bytes) -> str | None:
    """A header's value; None where there is none, or several that need not agree."""
    values = [value for key, value in scope["headers"] if key.lower() == name]
    if len(values) > 1:
        raise _Refusal(400, f"several {name.decode()} headers")
    return values[0].decode("latin-1").strip() if values else None


def _own_headers(headers: Any) -> list[tuple[bytes, bytes]]:
    # gradio lets other ports of this machine read its answers (CORS); nobody needs that here.
    kept = [(key, value) for key, value in headers if not key.lower().startswith(b"access-control-")]
    return [*kept, *_HEADERS]


def _replay(body: bytes, receive: Receive) -> Receive:
    """`receive` for an application whose request was read already."""
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
