"""What the server lets in: hosts, origins, paths and sizes; and what it says to browsers."""

from __future__ import annotations

import asyncio
import json

import pytest

from adapter_transfer.serving.gate import INFO, MAX_TARGET_BYTES, PREDICT, Gate


async def _echo(scope, receive, send):
    message = await receive()
    headers = [(b"content-type", b"text/plain"), (b"access-control-allow-origin", b"http://localhost:3000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"in: " + message["body"]})


def ask(method="GET", path="/", headers=None, chunks=(b"",), inner=_echo, query=b"", **options):
    """Status, headers and body of the answer to one request; `headers` are added to a usual Host."""
    given = {"host": "127.0.0.1:7860", **(headers or {})}
    pairs = [(k.encode(), v.encode("latin-1")) for k, v in given.items() if v is not None]
    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": pairs}
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": place < len(chunks) - 1}
        for place, chunk in enumerate(chunks)
    ]
    sent = []

    async def receive():
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(Gate(inner, **options)(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9000", "127.0.0.1", "127.0.0.1:7860", "[::1]:80", "LocalHost"]
)
def test_this_machine_is_answered_under_any_port(host):
    assert ask(headers={"host": host})[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:7860",
        "evil.example:127",
        "127.0.0.1@evil.example",
        "localhost,evil.example",
        "localhost.",
        "127.1",
        "2130706433",
        "0.0.0.0",
        "[::ffff:7f00:1]",
        "",
        None,
    ],
)
def test_a_name_that_only_resolves_here_is_refused(host):
    status, _, body = ask(headers={"host": host})
    assert status == 421
    assert "127.0.0.1" in json.loads(body)["error"]


def test_two_hosts_are_refused():
    sent = []
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost"), (b"Host", b"evil")]}

    async def send(message):
        sent.append(message)

    asyncio.run(Gate(_echo)(scope, None, send))
    assert sent[0]["status"] == 400


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:7861", "http://localhost:7860"]
)
@pytest.mark.parametrize(("method", "path"), [("POST", PREDICT), ("POST", "/gradio_api/queue/join"), ("GET", INFO)])
def test_other_origins_are_refused(origin, method, path):
    status, _, body = ask(method, path, {"origin": origin})
    assert status == 403
    assert b"in:" not in body


def test_the_pages_own_origin_and_programs_without_one_are_served():
    assert ask("POST", PREDICT, {"origin": "http://127.0.0.1:7860"}, [b"x"])[2] == b"in: x"
    assert ask("POST", PREDICT, {}, [b"x"])[0] == 200
    assert ask("POST", PREDICT, {"sec-fetch-site": "same-origin"}, [b"x"])[0] == 200


@pytest.mark.parametrize("relation", ["cross-site", "same-site"])
def test_what_another_page_makes_a_browser_fetch_is_refused_and_a_link_may_lead_here(relation):
    fetched = {"sec-fetch-site": relation, "sec-fetch-mode": "no-cors"}
    assert ask("GET", INFO, fetched)[0] == 403
    visited = {"sec-fetch-site": relation, "sec-fetch-mode": "navigate"}
    assert ask("GET", "/", visited)[0] == 200
    assert ask("POST", PREDICT, visited)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/upload",
        "/gradio_api/proxy=http://evil.example",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/gradio_api/component_server",
        "/gradio_api/call/answered",
        "/gradio_api/vibe-edit/",
        "/monitoring",
        "/login",
        "/docs",
        "/openapi.json",
        "/assets/../../secret",
        "/assets/%2e%2e/secret",
        "/static/..\\secret",
        "/static",
        "//",
        "",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_other_path_is_closed(method, path):
    status, _, body = ask(method, path, chunks=[b"x"])
    assert status == 404
    assert PREDICT in json.loads(body)["error"]


@pytest.mark.parametrize(("method", "path"), [("GET", PREDICT), ("POST", INFO), ("DELETE", "/"), ("OPTIONS", PREDICT)])
def test_other_methods_are_refused(method, path):
    assert ask(method, path)[0] == 405


def test_a_body_is_handed_on_whole_and_never_larger_than_allowed():
    assert ask("POST", PREDICT, chunks=[b"ab", b"cd"], max_body_bytes=4)[2] == b"in: abcd"
    for headers, chunks in (
        ({"content-length": "5"}, [b""]),
        ({}, [b"ab", b"cde"]),
        ({"content-length": "1"}, [b"x" * 9]),
    ):
        status, told, body = ask("POST", PREDICT, headers, chunks, max_body_bytes=4)
        assert status == 413
        assert told[b"connection"] == b"close"
        assert "larger than 4 bytes" in json.loads(body)["error"]
    assert ask("GET", "/", query=b"q" * (MAX_TARGET_BYTES + 1))[0] == 414


def test_a_body_that_does_not_come_ends_in_time(monkeypatch):
    monkeypatch.setattr("adapter_transfer.serving.gate.BODY_SECONDS", 0.05)
    sent = []

    async def receive():
        await asyncio.sleep(30)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": PREDICT, "headers": [(b"host", b"localhost")]}
    asyncio.run(Gate(_echo)(scope, receive, send))
    assert sent[0]["status"] == 408


def test_headers_keep_the_page_to_itself():
    for status, headers in ((ask()[0], ask()[1]), (ask(path="/nothing")[0], ask(path="/nothing")[1])):
        assert status in (200, 404)
        assert b"access-control-allow-origin" not in headers
        policy = headers[b"content-security-policy"].decode()
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "http" not in policy
        assert headers[b"x-content-type-options"] == b"nosniff"


def test_an_error_of_ours_tells_nothing_of_itself(caplog):
    async def broken(scope, receive, send):
        raise RuntimeError("secret detail")

    status, _, body = ask(inner=broken)
    assert status == 500
    assert b"secret" not in body
    assert "secret detail" in caplog.text


def test_web_sockets_are_closed():
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Gate(_echo)({"type": "websocket", "path": "/", "headers": []}, None, send))
    assert [message["type"] for message in sent] == ["websocket.close"]
