"""The JSON endpoint over a real connection to 127.0.0.1, without the page."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator

import pytest
from scripted_predictor import ScriptedPredictor

from adapter_transfer.errors import DataError
from adapter_transfer.serving.application import make_application
from adapter_transfer.serving.gate import MAX_BODY_BYTES
from adapter_transfer.serving.loopback import listen
from adapter_transfer.serving.service import Service

uvicorn = pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")

QUESTION = {"premise": "Ha piovuto.", "question": "effect", "choices": ["La strada si è bagnata.", "Era asciutta."]}


class Server:
    def __init__(self, service: Service) -> None:
        self._socket = listen(0)
        self.port = self._socket.getsockname()[1]
        application = make_application(service, with_page=False)
        self._server = uvicorn.Server(uvicorn.Config(application, log_config=None, lifespan="off", ws="none"))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve([self._socket])), daemon=True)
        self._thread.start()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, str], object]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if sent is not None else {}
        try:
            connection.request(method, path, sent, {**kind, **{k.replace("_", "-"): v for k, v in headers.items()}})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), json.loads(answer.read())
        finally:
            connection.close()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()
        assert not self._thread.is_alive()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(Service(ScriptedPredictor()))
    yield made
    made.stop()


def test_questions_are_answered(server):
    status, headers, answer = server.ask("POST", "/api/predict", QUESTION)
    assert status == 200
    assert headers["content-type"].startswith("application/json")
    assert "default-src 'self'" in headers["content-security-policy"]
    assert answer["text"] == "La strada si è bagnata."
    assert server.ask("POST", "/api/predict", [QUESTION, QUESTION])[2] == [answer, answer]
    status, _, info = server.ask("GET", "/api/info")
    assert (status, info["task"]) == (200, "xcopa")


def test_what_is_wrong_is_told_in_json(server):
    status, _, told = server.ask("POST", "/api/predict", {**QUESTION, "question": "why"})
    assert status == 422
    assert "'why' is not one of this task" in told["error"]
    assert told["problems"] == [told["error"]]
    assert server.ask("POST", "/api/predict", b"{")[0] == 422
    assert server.ask("POST", "/api/predict", QUESTION, Content_Type="text/plain")[0] == 415
    assert server.ask("POST", "/api/predict", b"x" * (MAX_BODY_BYTES + 1))[0] == 413
    assert server.ask("GET", "/api/predict")[0] == 405
    assert server.ask("GET", "/docs")[0] == 404
    assert server.ask("POST", "/api/predict", QUESTION)[0] == 200, "it still answers"


def test_strangers_are_refused(server):
    assert server.ask("POST", "/api/predict", QUESTION, Host="evil.example")[0] == 421
    assert server.ask("POST", "/api/predict", QUESTION, Origin="http://evil.example")[0] == 403
    own = f"http://127.0.0.1:{server.port}"
    assert server.ask("POST", "/api/predict", QUESTION, Origin=own)[0] == 200


def test_half_a_character_in_a_field_comes_back(server):
    status, _, answer = server.ask("POST", "/api/predict", {**QUESTION, "note": "\ud83d"})
    assert status == 200
    assert answer["fields"] == {"note": "\ud83d"}


def test_an_error_of_the_model_is_told():
    def broken() -> None:
        raise DataError("the weights are gone")

    server = Server(Service(ScriptedPredictor(before=broken)))
    try:
        assert server.ask("POST", "/api/predict", QUESTION)[::2] == (500, {"error": "the weights are gone"})
    finally:
        server.stop()
