"""A Hub on this machine, for tests: huggingface_hub, transformers and datasets talk to it as they do to the real one.

It listens on 127.0.0.1 only. Every request is written down, and failures can be planted. What it says is in
`hub_protocol` and `hub_uploads`, content for it in `hub_content`. Tests get one from the fixture `loopback_hub`.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hub_protocol import ROUTES, Answer, Kind, Request, Store, answer, error_answer
from hub_uploads import UPLOAD_ROUTES

TOKEN = "hf_loopback"


@dataclass
class Failure:
    """A planted failure.

    Attributes:
        where: part of the (unquoted) paths that it meets.
        left: how often still; None is always.
        answer: what is said instead; None says what is true, as far as the others let it.
        methods: of the requests that it meets; none are all.
        keep_bytes: after how many bytes of the answer's body the connection breaks off.
        hang_seconds: the time that nothing is said, after `keep_bytes` of the body or else instead of an answer; then
            the connection breaks off.
        take_bytes: after how many bytes of what is sent the connection breaks off.
    """

    where: str
    left: int | None
    answer: Answer | None = None
    methods: tuple[str, ...] = ()
    keep_bytes: int | None = None
    hang_seconds: float = 0
    take_bytes: int | None = None

    def meets(self, method: str, path: str) -> bool:
        return self.left != 0 and self.where in unquote(path) and (not self.methods or method in self.methods)


class LoopbackHub:
    """A Hub that stands while the `with` block lasts.

    Attributes:
        endpoint: its address, for HF_ENDPOINT.
        requests: (method, path and query as sent) of every request so far, in order; clear it as you like.
        received: the same requests with their headers and bodies, but for those that broke off.
        store: what it holds.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.received: list[Request] = []
        self.stopped = threading.Event()
        self.store = Store()
        self._failures: list[Failure] = []
        self._lock = threading.Lock()
        self._thaw: Callable[[], None] = lambda: None
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server: ThreadingHTTPServer | None = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> LoopbackHub:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thaw()

    def stop(self) -> None:
        """From here on connections are refused, and who hangs is let go."""
        self.stopped.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    # What it holds

    def add_model(self, repo: str, folder: Path, *, ref: str = "main") -> str:
        """Serves the files below `folder` as they are now; returns the commit, made from their names and content."""
        return self._add("model", repo, folder, ref)

    def add_dataset(self, repo: str, folder: Path, *, ref: str = "main") -> str:
        """As `add_model`. `ref="refs/convert/parquet"` is where the Hub keeps its own conversions."""
        return self._add("dataset", repo, folder, ref)

    def _add(self, kind: Kind, repo: str, folder: Path, ref: str) -> str:
        paths = [path for path in folder.rglob("*") if path.is_file()]
        assert paths, f"{folder} holds no files"
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        with self._lock:
            return self.store.commit(kind, repo, files, ref)

    def files(self, repo: str, ref: str = "main") -> dict[str, bytes]:
        """Path → bytes of the files of a model's repository."""
        repository = self.store.repositories["model", repo]
        return {name: blob.content for name, blob in repository.commits[repository.refs[ref]].items()}

    def sent(self) -> list[str]:
        """Paths to which files were sent."""
        return [path for method, path in self.requests if method == "PUT"]

    def gate(self, kind: Kind, repo: str) -> None:
        """It can be looked up, but its files are for those who accepted a licence: 401 without token, 403 with one."""
        self.store.repositories[kind, repo].is_gated = True

    def damage(self, name: str) -> None:
        """Files called `name` are from now on sent with their first byte changed, under their true SHA-256 and size."""
        for _, blob in [pair for pair in self.store.blobs() if pair[0] == name]:
            blob.content = bytes([blob.content[0] ^ 1]) + blob.content[1:]

    # Failures

    def fail_next(
        self,
        times: int | None = 1,
        status: int = 503,
        *,
        retry_after: float | str | None = None,
        where: str = "",
        code: str = "",
        message: str = "planted failure",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """The next `times` requests (None: all) whose path contains `where` are answered with an error."""
        waits = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._plant(Failure(where, times, error_answer(status, code, message, {**waits, **(headers or {})})))

    def say_next(self, times: int | None = 1, *, body: bytes, status: int = 200, where: str = "") -> None:
        """The next `times` requests are answered with a page that is not the Hub's, as some networks do."""
        self._plant(Failure(where, times, Answer(status, {"Content-Type": "text/html"}, body)))

    def cut_next(self, times: int | None = 1, *, keep_bytes: int, where: str = "", method: str = "GET") -> None:
        """The answers to the next `times` requests of a kind break off after `keep_bytes` bytes of the body."""
        self._plant(Failure(where, times, methods=(method,), keep_bytes=keep_bytes))

    def cut_upload_next(self, times: int | None = 1, *, take_bytes: int, where: str = "") -> None:
        """The next `times` requests that send a file break off after `take_bytes` bytes of it, without an answer."""
        self._plant(Failure(where, times, methods=("PUT",), take_bytes=take_bytes))

    def hang_next(
        self, times: int | None = 1, *, seconds: float = 20, where: str = "", keep_bytes: int | None = None
    ) -> None:
        """The next `times` requests are taken and not answered; with `keep_bytes`, the body stalls after those."""
        self._plant(Failure(where, times, keep_bytes=keep_bytes, hang_seconds=seconds))

    def _plant(self, failure: Failure) -> None:
        with self._lock:
            self._failures.append(failure)

    # Who talks to it

    def environment(self, hf_home: Path) -> dict[str, str]:
        """Variables for a subprocess, on top of `os.environ`; `hf_home` is its cache."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(hf_home),
            "HF_TOKEN": TOKEN,
            "HF_HUB_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
            "TRANSFORMERS_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # would ask another server
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def use(self, monkeypatch: pytest.MonkeyPatch, hf_home: Path, *, offline: bool = False) -> None:
        """Points huggingface_hub (and transformers, where loaded) in this process here, with `hf_home` as the cache.

        They read their environment when they are imported, so what they froze then is set. huggingface_hub's waits
        between its own retries are left out. Processes that are started from this one are pointed here as well.
        """
        import huggingface_hub.utils._http as http
        from huggingface_hub import constants, file_download, hf_api

        frozen = {
            "ENDPOINT": self.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": self.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HOME": str(hf_home),
            "HF_HUB_CACHE": str(hf_home / "hub"),
            "HF_ASSETS_CACHE": str(hf_home / "assets"),
            "HF_TOKEN_PATH": str(hf_home / "token"),
            "HF_HUB_OFFLINE": offline,
            "HF_HUB_DISABLE_XET": True,
        }
        before = {name: getattr(constants, name) for name in frozen}
        for name, value in frozen.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", frozen["HUGGINGFACE_CO_URL_TEMPLATE"])
        monkeypatch.setattr(hf_api.api, "endpoint", self.endpoint)
        # Sessions are kept by thread, with or without a network as it was when they were made.
        sessions = functools.lru_cache(lambda process_id, thread_id: http._GLOBAL_BACKEND_FACTORY())
        monkeypatch.setattr(http, "_get_session_from_cache", sessions)
        monkeypatch.setattr(http, "time", _NoWaiting)
        # For processes that are started from here; `datasets`, which reads files only in tests, stays offline.
        variables = {**self.environment(hf_home), "HF_HUB_OFFLINE": str(int(offline)), "HF_DATASETS_OFFLINE": "1"}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        module = "transformers.utils.hub"
        if module in sys.modules:
            for name, value in _as_transformers_froze(frozen).items():
                monkeypatch.setattr(sys.modules[module], name, value)
        else:
            # A test that imports it from here on has it freeze our values, which must not outlive us.
            def thaw() -> None:
                for name, value in _as_transformers_froze(before).items() if module in sys.modules else ():
                    setattr(sys.modules[module], name, value)

            self._thaw = thaw

    # What it says

    def meet(self, method: str, sent: str) -> Failure | None:
        """The planted failure that a request meets, if any; the request is written down."""
        with self._lock:
            self.requests.append((method, sent))
            path = urlsplit(sent).path
            failure = next((failure for failure in self._failures if failure.meets(method, path)), None)
            if failure is not None and failure.left is not None:
                failure.left -= 1
            return failure

    def answer(self, request: Request, failure: Failure | None) -> Answer:
        with self._lock:
            self.received.append(request)
            if failure is not None and failure.answer is not None:
                return failure.answer
            told = answer(self.store, request, (*UPLOAD_ROUTES, *ROUTES))
            return told if failure is None else replace(told, num_sent=failure.keep_bytes)


def _as_transformers_froze(constants: Mapping[str, Any]) -> dict[str, Any]:
    caches = ("PYTORCH_PRETRAINED_BERT_CACHE", "PYTORCH_TRANSFORMERS_CACHE", "TRANSFORMERS_CACHE")
    return {"_is_offline_mode": constants["HF_HUB_OFFLINE"], **dict.fromkeys(caches, constants["HF_HUB_CACHE"])}


class _NoWaiting:
    """Stands for the module `time` where huggingface_hub waits between its retries."""

    @staticmethod
    def sleep(seconds: float) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        failure = self.hub.meet(self.command, self.path)
        length = int(self.headers.get("Content-Length") or 0)
        if failure is not None and failure.take_bytes is not None:
            self.rfile.read(min(failure.take_bytes, length))
            return
        body = self.rfile.read(length)
        if failure is not None and failure.hang_seconds and failure.keep_bytes is None:
            self.hub.stopped.wait(failure.hang_seconds)
            return
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        answered = self.hub.answer(Request(self.command, url.path, parse_qs(url.query), headers, body), failure)
        self.send_response(answered.status)
        for name, value in answered.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answered.body)))
        # One request a connection: a Hub that was stopped must not live on in a connection that was kept.
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answered.body[: answered.num_sent])
            if failure is not None and failure.hang_seconds:
                self.wfile.flush()
                self.hub.stopped.wait(failure.hang_seconds)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass
