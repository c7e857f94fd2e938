"""A repository of adapters on the Hub: the sizes of its files, pushing a package as one commit, what an author shares.

With `adapter_transfer.hub`, which downloads, the only user of huggingface_hub. What is pushed is private unless public
is asked for, and a repository that is there keeps being what it is: nothing private is ever put into a public one.
What a package may hold is `listing`'s matter, and whether it holds secrets `secrets`'.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter_transfer.durable import MANIFEST_NAME
from adapter_transfer.hub import HubError, is_commit, patiently, request_for
from adapter_transfer.hub_failures import Wanted, no_token
from adapter_transfer.sharing.listing import PAIRS, SETUP_FILE, is_fusion_name
from adapter_transfer.sharing.references import is_safe_name

ANSWER_SECONDS = 60.0
"""To wait for each answer while something is pushed; huggingface_hub itself would wait for ever."""
LIBRARY = "adapter-transformers"
"""The Hub's name of adapters' files, by which they are found."""
_MOST_LISTED = 1000
_PACKAGE_FILES = {MANIFEST_NAME, SETUP_FILE, *(name for pair in PAIRS for name in pair)}


@dataclass(frozen=True)
class Uploaded:
    """What was pushed.

    Attributes:
        repo: "organisation/name".
        url: page of the repository for a browser.
        commit: 40 hex digits; the one before, where nothing had changed.
        is_private: whether only those see it whom its owner lets.
    """

    repo: str
    url: str
    commit: str
    is_private: bool


@dataclass(frozen=True)
class HubListing:
    """A repository of adapters as the Hub lists it; what it does not tell is None.

    Attributes:
        commit: of its main branch.
        last_modified: date and time, ISO 8601, UTC.
        downloads: in the last 30 days.
    """

    repo: str
    commit: str | None
    is_private: bool | None
    last_modified: str | None
    downloads: int | None


def file_sizes(repo: str, commit: str) -> dict[str, int]:
    """Name → bytes of every file of a commit, as the Hub lists them; the names are as untrusted as the files.

    Raises:
        HubError: as `hub.resolve_commit`.
    """
    assert is_commit(commit), f"{commit!r} is no full commit id: resolve_commit gives one"
    from huggingface_hub import HfApi, constants

    def ask() -> dict[str, int]:
        timeout = constants.HF_HUB_ETAG_TIMEOUT
        info = HfApi().model_info(repo, revision=commit, files_metadata=True, timeout=timeout)
        if info.sha != commit or info.siblings is None:
            raise ValueError("another commit or no files are named")
        sizes = {sibling.rfilename: sibling.size for sibling in info.siblings}
        if not all(isinstance(name, str) and type(size) is int and size >= 0 for name, size in sizes.items()):
            raise ValueError("files without a size are listed")
        return {name: int(size or 0) for name, size in sizes.items()}

    return patiently(ask, request_for("model", repo, commit))


def upload(folder: Path, repo: str, *, public: bool = False, message: str, branch: str = "main") -> Uploaded:
    """Pushes every file of a folder as one commit, and makes the repository, or the branch, where there is none.

    Files of an earlier package that this one has not are deleted in the same commit; what else lies in the repository
    stays. Broken off and run again it goes on: nothing is seen there before all of it is.

    Args:
        folder: a package; its files have been looked at (`inspection`, `secrets`).
        repo: "organisation/name".
        public: everybody may see it. The repository has to be what is asked for, if it is there already.
        message: first line of the commit.

    Raises:
        HubError: no token or one that may not write; the repository is public (or private) and that was not asked
            for; or as `hub.resolve_commit`.
    """
    from huggingface_hub import get_token

    wanted = request_for("model", repo, branch, is_upload=True)
    assert message, "a commit says what it is"
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    assert files, f"{folder} holds no files"
    if any(path.is_symlink() for path in files.values()):
        raise HubError(f"{wanted}: {folder} holds links. Put plain files in their places.")
    if get_token() is None:
        raise no_token(wanted)
    with _bounded_requests():
        patiently(lambda: _prepare(wanted, public), wanted)
        commit = patiently(lambda: _commit(wanted, files, message, public), wanted)
    return Uploaded(repo=repo, url=wanted.page, commit=commit, is_private=not public)


def list_adapters(author: str) -> list[HubListing]:
    """The adapters of a user or an organisation on the Hub, by name: the private ones, too, that one may see.

    Raises:
        HubError: as `hub.resolve_commit`.
    """
    if not is_safe_name(author.replace(".", "-")):
        raise HubError(f"{author!r} is no name of a user or an organisation on the Hub.")
    from huggingface_hub import HfApi

    def ask() -> list[HubListing]:
        shown: Any = ["sha", "private", "lastModified", "downloads"]
        models = HfApi().list_models(author=author, filter=LIBRARY, expand=shown, limit=_MOST_LISTED)
        return [
            HubListing(
                repo=model.id,
                commit=model.sha,
                is_private=model.private,
                last_modified=None if model.last_modified is None else model.last_modified.isoformat(),
                downloads=model.downloads,
            )
            for model in models
        ]

    with _bounded_requests():
        return sorted(patiently(ask, request_for("model", author, "main")), key=lambda listed: listed.repo)


def _prepare(wanted: Wanted, public: bool) -> None:
    """Makes the repository and the branch where there are none, and refuses a repository that others see, or do not."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    api = HfApi()
    # Not inside of `except`: what fails next would be told as that the repository is not there.
    before = None
    with contextlib.suppress(RepositoryNotFoundError):
        before = api.model_info(wanted.repo)
    if before is None:
        api.create_repo(wanted.repo, private=not public)
        # An organisation can have a rule of its own, which the Hub follows without a word.
        before = api.model_info(wanted.repo)
    _require_visibility(wanted, before.private, public)
    branch = None
    with contextlib.suppress(RevisionNotFoundError):
        branch = api.model_info(wanted.repo, revision=wanted.revision)
    if branch is None:
        api.create_branch(wanted.repo, branch=wanted.revision, exist_ok=True)


def _require_visibility(wanted: Wanted, is_private: bool | None, public: bool) -> None:
    if is_private is None:
        raise ValueError("it is not told whether the repository is private")
    if not is_private and not public:
        raise HubError(
            f"{wanted.repo!r} at {wanted.endpoint} is public: say --public, or choose another name. Nothing was pushed."
        )
    if is_private and public:
        raise HubError(
            f"{wanted.repo!r} at {wanted.endpoint} is private, and --public was asked for. Leave --public out, make "
            f"it public at {wanted.page}/settings, or choose another name. Nothing was pushed."
        )


def _commit(wanted: Wanted, files: dict[str, Path], message: str, public: bool) -> str:
    """Makes the commit and returns its id; what the Hub has already is not sent again."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = HfApi()
    before = api.model_info(wanted.repo, revision=wanted.revision)
    if before.siblings is None:
        raise ValueError("no files are named")
    # It may have become public since; from here on that is only a moment.
    _require_visibility(wanted, before.private, public)
    there = {sibling.rfilename for sibling in before.siblings}
    stale = sorted(name for name in there - set(files) if _is_of_a_package(name))
    additions = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in files.items()]
    deletions = [CommitOperationDelete(path_in_repo=name, is_folder=False) for name in stale]
    made = api.create_commit(
        wanted.repo,
        [*additions, *deletions],
        commit_message=message,
        revision=wanted.revision,
        # What was looked at is what is changed, or nothing is.
        parent_commit=before.sha,
    )
    if not is_commit(made.oid):
        raise ValueError("no commit is named")
    return made.oid


def _is_of_a_package(name: str) -> bool:
    """Whether a file in a repository is one that packages have; of everything else we know nothing and let it be."""
    *folders, last = name.split("/")
    is_inside = len(folders) <= 2 and all(is_safe_name(folder) or is_fusion_name(folder) for folder in folders)
    return is_inside and last in _PACKAGE_FILES


class _Bounded:
    """A transport of requests whose every answer has a time limit."""

    def __init__(self, transport: Any) -> None:  # a requests.adapters.BaseAdapter
        self._transport = transport

    def send(self, request: Any, **options: Any) -> Any:  # as `requests.Session.send` calls it
        if options.get("timeout") is None:
            options["timeout"] = ANSWER_SECONDS
        return self._transport.send(request, **options)

    def close(self) -> None:
        self._transport.close()


@contextlib.contextmanager
def _bounded_requests() -> Iterator[None]:
    """While it lasts, no request of huggingface_hub waits for ever: most of those that write name no time limit."""
    from huggingface_hub import configure_http_backend
    from huggingface_hub.utils import _http

    # It can be set but not asked for; what a notebook has set (a proxy, certificates) goes on to hold.
    usual = _http._GLOBAL_BACKEND_FACTORY

    def session() -> Any:
        made = usual()
        for prefix, transport in list(made.adapters.items()):
            bounded: Any = _Bounded(transport)  # has what a session calls; the base class is requests'
            made.mount(prefix, bounded)
        return made

    configure_http_backend(session)
    try:
        yield
    finally:
        configure_http_backend(usual)
