"""What a Hub answers: its repositories, and one function for each kind of request that reads (`hub_uploads`: writes).

The API resolves revisions and lists files; small files are sent as they are, large kinds (weights, parquet) by way of a
redirect, with their SHA-256 as ETag; what is not there is told by the Hub's own error codes. A new kind of request is a
function and a line in `ROUTES`. `loopback_hub` listens.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, quote, unquote

Kind = Literal["model", "dataset"]

LARGE_SUFFIXES = {".safetensors", ".bin", ".parquet", ".model", ".h5", ".msgpack", ".arrow", ".zip"}
"""Files that the Hub keeps apart (Git LFS) and serves by a redirect."""
WHEN = "2024-01-01T00:00:00.000Z"


class Blob:
    """The bytes of one file and the names that they have."""

    def __init__(self, name: str, content: bytes) -> None:
        self.content = content
        self.is_large = Path(name).suffix in LARGE_SUFFIXES
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def entry(self, path: str) -> dict[str, Any]:
        """As in a listing of a tree."""
        large = {"lfs": {"oid": self.sha256, "size": len(self.content), "pointerSize": 134}} if self.is_large else {}
        return {"type": "file", "oid": self.oid, "size": len(self.content), "path": path, **large}


@dataclass
class Repository:
    """One model or data set.

    Attributes:
        commits: id → name of a file → content.
        refs: what its branches name.
        tags: what its tags name.
        messages: commit → its message, of those that were pushed.
        false_sizes: name of a file → bytes that listings say it has, where that is not true.
    """

    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    false_sizes: dict[str, int] = field(default_factory=dict)
    is_gated: bool = False
    is_private: bool = False


@dataclass
class Store:
    """All that a Hub holds.

    Attributes:
        uploads: SHA-256 → bytes of large files that were sent and may become part of a commit.
        readers: tokens that may read everything and write nothing.
        strangers: tokens to which what is private does not exist.
        closed: organisations in which nobody may write.
        made_public, made_private: organisations whose rule makes every new repository so, whatever is asked.
    """

    repositories: dict[tuple[Kind, str], Repository] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)
    strangers: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    made_public: set[str] = field(default_factory=set)
    made_private: set[str] = field(default_factory=set)

    def commit(self, kind: Kind, repo: str, files: Mapping[str, bytes], ref: str) -> str:
        """Makes `ref` name a commit of exactly these files; its id is made from their names and content."""
        blobs = {name: Blob(name, files[name]) for name in sorted(files)}
        listing = "".join(f"{name}\0{blob.sha256}\n" for name, blob in blobs.items())
        commit = hashlib.sha1(listing.encode()).hexdigest()
        repository = self.repositories.setdefault((kind, repo), Repository())
        repository.commits[commit] = blobs
        repository.refs[ref] = commit
        return commit

    def blobs(self) -> Iterable[tuple[str, Blob]]:
        """(name, content) of every file of every commit."""
        for repository in self.repositories.values():
            for files in repository.commits.values():
                yield from files.items()


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        path: still quoted, without the query.
        headers: by their names in lower case.
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def has_token(self) -> bool:
        return "authorization" in self.headers

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    def asks(self, name: str) -> bool:
        return self.query.get(name, [""])[0].lower() in ("true", "1")


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        num_sent: bytes of the body after which the connection breaks off; None sends all.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    num_sent: int | None = None


class Refusal(Exception):
    """Ends a request with an error."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.answer = error_answer(status, code, message, headers)


def json_answer(value: object) -> Answer:
    return Answer(200, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(value).encode())


def error_answer(status: int, code: str, message: str, headers: Mapping[str, str]) -> Answer:
    told = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return Answer(
        status, {"Content-Type": "application/json", **told, **headers}, json.dumps({"error": message}).encode()
    )


Route = tuple[tuple[str, ...], re.Pattern[str], Callable[..., Answer]]
"""(methods, path, what answers); the path's groups are the function's arguments."""


def answer(store: Store, request: Request, routes: Iterable[Route]) -> Answer:
    """What the Hub says to a request: the first of the routes that takes it."""
    for methods, pattern, route in routes:
        match = pattern.fullmatch(request.path) if request.method in methods else None
        if match is not None:
            try:
                return route(store, request, **{name: unquote(text or "") for name, text in match.groupdict().items()})
            except Refusal as refusal:
                return refusal.answer
    return error_answer(404, "", f"no route for {request.method} {request.path}", {})


def find_repository(store: Store, request: Request, kind: str, repo: str) -> Repository:
    """A repository, if who asks may see it."""
    repository = store.repositories.get(("dataset" if kind.startswith("dataset") else "model", repo))
    if repository is None or (repository.is_private and not sees_private(store, request)):
        # Who is not logged in cannot tell a private repository from one that is not there.
        raise Refusal(404 if request.has_token else 401, "RepoNotFound", "Repository not found")
    return repository


def sees_private(store: Store, request: Request) -> bool:
    return request.has_token and request.token not in store.strangers


def find_commit(store: Store, request: Request, kind: str, repo: str, revision: str) -> tuple[Repository, str]:
    """The repository, and the commit that the revision names."""
    repository = find_repository(store, request, kind, repo)
    named = {**repository.tags, **repository.refs}
    commit = revision if revision in repository.commits else named.get(revision)
    if commit is None:
        raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    return repository, commit


def _info(store: Store, request: Request, kind: str, repo: str, revision: str = "main") -> Answer:
    repository, commit = find_commit(store, request, kind, repo, revision)
    siblings: list[dict[str, Any]] = []
    for name, blob in repository.commits[commit].items():
        entry = blob.entry(name)
        large = {"lfs": {**entry["lfs"], "sha256": blob.sha256}} if blob.is_large else {}
        size = repository.false_sizes.get(name, entry["size"])
        more = {"size": size, "blobId": blob.oid, **large} if request.asks("blobs") else {}
        siblings.append({"rfilename": name, **more})
    about = {"id": repo, "modelId": repo, "author": repo.split("/")[0], "sha": commit, "siblings": siblings}
    gated = "manual" if repository.is_gated else False
    state = {
        "private": repository.is_private,
        "disabled": False,
        "gated": gated,
        "downloads": 0,
        "likes": 0,
        "tags": [],
    }
    return json_answer({**about, **state, "lastModified": WHEN, "createdAt": WHEN})


def _tree(store: Store, request: Request, kind: str, repo: str, revision: str, folder: str) -> Answer:
    repository, commit = find_commit(store, request, kind, repo, revision)
    entries = _entries(repository.commits[commit])
    if folder and entries.get(folder, {}).get("type") != "directory":
        raise Refusal(404, "EntryNotFound", f"{folder} does not exist on {revision!r}")
    prefix = f"{folder}/" if folder else ""
    inside = [entry for path, entry in entries.items() if path.startswith(prefix)]
    deep = request.asks("recursive")
    return json_answer([entry for entry in inside if deep or "/" not in entry["path"][len(prefix) :]])


def _paths_info(store: Store, request: Request, kind: str, repo: str, revision: str) -> Answer:
    repository, commit = find_commit(store, request, kind, repo, revision)
    is_json = request.headers.get("content-type", "").startswith("application/json")
    asked = json.loads(request.body) if is_json else parse_qs(request.body.decode())
    entries = _entries(repository.commits[commit])
    return json_answer([entries[path] for path in asked.get("paths", []) if path in entries])


def _entries(files: Mapping[str, Blob]) -> dict[str, dict[str, Any]]:
    """Path → its entry in a listing, folders before what is in them."""
    entries: dict[str, dict[str, Any]] = {}
    for name, blob in files.items():
        parts = name.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            oid = hashlib.sha1(folder.encode()).hexdigest()
            entries.setdefault(folder, {"type": "directory", "oid": oid, "size": 0, "path": folder})
        entries[name] = blob.entry(name)
    return entries


def _refs(store: Store, request: Request, kind: str, repo: str) -> Answer:
    repository, _ = find_commit(store, request, kind, repo, "main")
    refs: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": []}
    for name, commit in repository.refs.items():
        short = name.removeprefix("refs/convert/")
        group, full = ("branches", f"refs/heads/{name}") if short == name else ("converts", name)
        refs[group].append({"name": short, "ref": full, "targetCommit": commit})
    for name, commit in repository.tags.items():
        refs["tags"].append({"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit})
    return json_answer(refs)


def _resolve(store: Store, request: Request, kind: str, repo: str, revision: str, file: str) -> Answer:
    repository, commit = find_commit(store, request, kind, repo, revision)
    if repository.is_gated:
        message = f"Access to {repo} is restricted and you are not in the authorized list."
        raise Refusal(403 if request.has_token else 401, "GatedRepo", message)
    blob = repository.commits[commit].get(file)
    if blob is None:
        raise Refusal(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit})
    if not blob.is_large:
        return _content(request, blob.content, {"X-Repo-Commit": commit, "ETag": f'"{blob.oid}"'})
    linked = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.content)), "X-Repo-Commit": commit}
    host = request.headers["host"]
    return Answer(302, {**linked, "Location": f"http://{host}/large/{blob.sha256}/{quote(Path(file).name)}"})


def _large(store: Store, request: Request, sha256: str) -> Answer:
    blob = next((blob for _, blob in store.blobs() if blob.is_large and blob.sha256 == sha256), None)
    return Answer(404) if blob is None else _content(request, blob.content, {"ETag": f'"{sha256}"'})


def _content(request: Request, content: bytes, headers: Mapping[str, str]) -> Answer:
    """A file, or the range of it that is asked for."""
    named = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if match is None:
        return Answer(200, named, content)
    start, end = int(match[1]), int(match[2] or len(content) - 1)
    part = content[start : end + 1]
    if not part:
        return Answer(416, {"Content-Range": f"bytes */{len(content)}"})
    return Answer(206, {**named, "Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"}, part)


REPO = r"(?P<repo>[^/]+(?:/[^/]+)?)"
API = r"/api/(?P<kind>models|datasets)/" + REPO
ROUTES: list[Route] = [
    (("GET",), re.compile(API + r"/revision/(?P<revision>[^/]+)"), _info),
    (("GET",), re.compile(API + r"/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?"), _tree),
    (("POST",), re.compile(API + r"/paths-info/(?P<revision>[^/]+)"), _paths_info),
    (("GET",), re.compile(API + r"/refs"), _refs),
    (("GET",), re.compile(API), _info),
    (("GET", "HEAD"), re.compile(r"/large/(?P<sha256>[0-9a-f]{64})/.+"), _large),
    (
        ("GET", "HEAD"),
        re.compile(r"/(?P<kind>datasets/)?" + REPO + r"/resolve/(?P<revision>[^/]+)/(?P<file>.+)"),
        _resolve,
    ),
]
"""Tried in this order."""
