"""What a Hub answers to those who write: making repositories, sending files, commits; and who may, and what there is.

Small files come inside of the commit, large kinds before it by way of Git LFS, as on the real Hub. `hub_protocol` has
the repositories and what reads them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hub_protocol import (
    API,
    LARGE_SUFFIXES,
    REPO,
    WHEN,
    Answer,
    Blob,
    Kind,
    Refusal,
    Repository,
    Request,
    Route,
    Store,
    find_commit,
    find_repository,
    json_answer,
    sees_private,
)

GIT_ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
"""What the Hub puts into a new repository."""


def _require_writer(store: Store, request: Request, repo: str) -> None:
    if not request.has_token:
        raise Refusal(401, "", "Invalid username or password.")
    if request.token in store.readers | store.strangers or repo.split("/")[0] in store.closed:
        raise Refusal(403, "", f'You don\'t have the rights to write under the namespace "{repo.split("/")[0]}"')


def _writable(store: Store, request: Request, kind: str, repo: str) -> Repository:
    repository = find_repository(store, request, kind, repo)
    _require_writer(store, request, repo)
    return repository


def _add_commit(repository: Repository, files: Mapping[str, Blob], ref: str, message: str) -> str:
    listing = "".join(f"{name}\0{blob.sha256}\n" for name, blob in sorted(files.items()))
    commit = hashlib.sha1(f"{repository.refs.get(ref)}\n{message}\n{listing}".encode()).hexdigest()
    repository.commits[commit] = dict(sorted(files.items()))
    repository.refs[ref] = commit
    repository.messages[commit] = message
    return commit


def _create(store: Store, request: Request) -> Answer:
    asked = json.loads(request.body)
    kind = cast(Kind, asked.get("type", "model"))
    organisation = asked.get("organization") or "someone"
    repo = f"{organisation}/{asked['name']}"
    _require_writer(store, request, repo)
    if (kind, repo) in store.repositories:
        raise Refusal(409, "", "You already created this model repo")
    is_private = bool(asked.get("private", False)) or organisation in store.made_private
    repository = Repository(is_private=is_private and organisation not in store.made_public)
    store.repositories[kind, repo] = repository
    _add_commit(repository, {".gitattributes": Blob(".gitattributes", GIT_ATTRIBUTES)}, "main", "initial commit")
    return json_answer({"url": f"http://{request.headers['host']}/{repo}", "name": repo, "id": repo})


def _validate_yaml(store: Store, request: Request) -> Answer:
    content = json.loads(request.body)["content"]
    match = re.match(r"---\n(.*?)\n---", content, re.DOTALL)
    if match is not None and re.search(r"^licen[sc]e:\s*no-such-licence", match[1], re.MULTILINE):
        told = {"errors": [{"message": '"license" must be one of [apache-2.0, mit]'}], "warnings": []}
        return Answer(400, {"Content-Type": "application/json"}, json.dumps(told).encode())
    return json_answer({"errors": [], "warnings": []})


def _preupload(store: Store, request: Request, kind: str, repo: str, revision: str) -> Answer:
    _writable(store, request, kind, repo)
    repository, commit = find_commit(store, request, kind, repo, revision)
    there = repository.commits[commit]
    files = []
    for file in json.loads(request.body)["files"]:
        name = file["path"]
        blob = there.get(name)
        mode = "lfs" if Path(name).suffix in LARGE_SUFFIXES else "regular"
        oid = {} if blob is None else {"oid": blob.sha256 if blob.is_large else blob.oid}
        files.append({"path": name, "uploadMode": mode, "shouldIgnore": False, **oid})
    return json_answer({"files": files})


def _lfs_batch(store: Store, request: Request, kind: str, repo: str) -> Answer:
    _writable(store, request, kind or "model", repo)
    host = f"http://{request.headers['host']}"
    known = set(store.uploads) | {blob.sha256 for _, blob in store.blobs()}
    objects = []
    for wanted in json.loads(request.body)["objects"]:
        oid, size = wanted["oid"], wanted["size"]
        # The real Hub's addresses are signed; who has one needs no token.
        actions = {"upload": {"href": f"{host}/sent/{oid}?size={size}"}, "verify": {"href": f"{host}/lfs-verify"}}
        objects.append({"oid": oid, "size": size, **({} if oid in known else {"actions": actions})})
    return json_answer({"transfer": "basic", "objects": objects})


def _lfs_put(store: Store, request: Request, sha256: str) -> Answer:
    if hashlib.sha256(request.body).hexdigest() != sha256:
        raise Refusal(400, "", "The SHA-256 you specified did not match what was received")
    store.uploads[sha256] = request.body
    return Answer(200)


def _lfs_verify(store: Store, request: Request) -> Answer:
    said = json.loads(request.body)
    if len(store.uploads.get(said["oid"], b"")) != said["size"]:
        raise Refusal(400, "", "The object is not there")
    return json_answer({})


def _commit(store: Store, request: Request, kind: str, repo: str, revision: str) -> Answer:
    repository = _writable(store, request, kind, repo)
    if revision not in repository.refs:
        raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    lines = [json.loads(line) for line in request.body.split(b"\n") if line]
    assert lines[0]["key"] == "header", "the header comes first"
    header = lines[0]["value"]
    before = repository.refs[revision]
    if header.get("parentCommit") not in (None, before):
        raise Refusal(412, "", "A commit has happened since. Please refresh and try again.")
    files = dict(repository.commits[before])
    for line in lines[1:]:
        _apply(store, files, line["key"], line["value"])
    commit = _add_commit(repository, files, revision, header["summary"])
    url = f"http://{request.headers['host']}/{repo}/commit/{commit}"
    return json_answer({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})


def _apply(store: Store, files: dict[str, Blob], key: str, value: Mapping[str, Any]) -> None:
    name = value["path"]
    if key == "file":
        assert value["encoding"] == "base64"
        files[name] = Blob(name, base64.b64decode(value["content"]))
    elif key == "lfsFile":
        sent = store.uploads.get(value["oid"])
        known = {blob.sha256: blob.content for _, blob in store.blobs()}
        content = known.get(value["oid"]) if sent is None else sent
        if content is None:
            raise Refusal(400, "", f"The LFS object {value['oid']} was not sent")
        files[name] = Blob(name, content)
    elif key == "deletedFile":
        if name not in files:
            raise Refusal(404, "EntryNotFound", "A file with this name doesn't exist")
        del files[name]
    else:
        raise Refusal(400, "", f"unknown operation {key}")


def _branch(store: Store, request: Request, kind: str, repo: str, branch: str) -> Answer:
    repository = _writable(store, request, kind, repo)
    if branch in repository.refs:
        raise Refusal(409, "", f"Reference already exists: refs/heads/{branch}")
    start = json.loads(request.body or b"{}").get("startingPoint", "main")
    repository.refs[branch] = find_commit(store, request, kind, repo, start)[1]
    return json_answer({})


def _tag(store: Store, request: Request, kind: str, repo: str, revision: str) -> Answer:
    repository = _writable(store, request, kind, repo)
    repository.tags[json.loads(request.body)["tag"]] = find_commit(store, request, kind, repo, revision)[1]
    return json_answer({})


def _whoami(store: Store, request: Request) -> Answer:
    if not request.has_token:
        raise Refusal(401, "", "Invalid username or password.")
    role = "read" if request.token in store.readers else "write"
    auth = {"type": "access_token", "accessToken": {"displayName": "tests", "role": role}}
    return json_answer({"type": "user", "name": "someone", "orgs": [{"name": "org"}], "auth": auth})


def _list_models(store: Store, request: Request) -> Answer:
    author, wanted = request.query.get("author", [""])[0], set(request.query.get("filter", []))
    listed = []
    for (kind, repo), repository in store.repositories.items():
        if kind != "model" or (author and repo.split("/")[0] != author) or "main" not in repository.refs:
            continue
        if repository.is_private and not sees_private(store, request):
            continue
        commit = repository.refs["main"]
        card = repository.commits[commit].get("README.md")
        tags = re.findall(r"^library_name:\s*(\S+)", card.content.decode(), re.MULTILINE) if card else []
        if wanted <= set(tags):
            state = {"private": repository.is_private, "downloads": 0, "lastModified": WHEN, "tags": tags}
            listed.append({"_id": commit[:24], "id": repo, "modelId": repo, "sha": commit, **state})
    return json_answer(listed)


UPLOAD_ROUTES: list[Route] = [
    (("POST",), re.compile("/api/repos/create"), _create),
    (("POST",), re.compile("/api/validate-yaml"), _validate_yaml),
    (("GET",), re.compile("/api/whoami-v2"), _whoami),
    (("GET",), re.compile("/api/models"), _list_models),
    (("POST",), re.compile(API + "/preupload/(?P<revision>[^/]+)"), _preupload),
    (("POST",), re.compile(API + "/commit/(?P<revision>[^/]+)"), _commit),
    (("POST",), re.compile(API + "/branch/(?P<branch>[^/]+)"), _branch),
    (("POST",), re.compile(API + "/tag/(?P<revision>[^/]+)"), _tag),
    (("POST",), re.compile("/(?P<kind>datasets/)?" + REPO + r"\.git/info/lfs/objects/batch"), _lfs_batch),
    (("PUT",), re.compile("/sent/(?P<sha256>[0-9a-f]{64})"), _lfs_put),
    (("POST",), re.compile("/lfs-verify"), _lfs_verify),
]
"""Tried before `hub_protocol.ROUTES`."""
