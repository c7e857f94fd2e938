"""Why a request to the Hub failed, told to people, and whether waiting helps.

Works on the errors of huggingface_hub and of requests by their class names, so it imports neither; `hub` owns the one,
and the other is the one's dependency. It sends nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Literal

from adapter_transfer.errors import DataError

RepoKind = Literal["model", "dataset"]

MAX_WAIT_SECONDS = 300
"""The Hub counts requests over windows of five minutes; who asks for a longer wait is told, not waited for."""
_NOUNS: dict[RepoKind, str] = {"model": "model", "dataset": "data set"}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CUT_SHORT = "Consistency check failed"
"""How huggingface_hub's OSError begins where a file came with the wrong size."""
_LOGIN = "log in with `hf auth login` or set HF_TOKEN"
_SHOWN_LETTERS = 200
_AGAIN = "Run the same command again"
_SENDING = "Error while uploading"
"""How huggingface_hub's RuntimeError begins where a large file could not be sent."""
_TOKEN = re.compile(r"hf_\w{4,}|(?i:bearer)\s+\S+")


class HubError(DataError):
    """Something cannot be had from the Hub, or not be put there; the message says why and what to do."""


class NoSuchFileError(HubError):
    """A commit has no file of a name that is needed."""


class HubUnreachableError(HubError):
    """The Hub gave no answer: offline, no network, too many requests, or out of order. The cache may do instead."""


@dataclass(frozen=True)
class Wanted:
    """What a request is about, for its messages.

    Attributes:
        endpoint: the Hub's address.
        cache: folder of the cache.
        patterns: names or globs of the files that are wanted; none where only the commit is.
        is_upload: something is written there, for which nobody needs the cache.
    """

    kind: RepoKind
    repo: str
    revision: str
    endpoint: str
    cache: str
    patterns: tuple[str, ...] = ()
    is_upload: bool = False

    def __str__(self) -> str:
        noun = "commit" if is_commit(self.revision) else "revision"
        return f"{_NOUNS[self.kind]} {self.repo!r} ({noun} {self.revision})"

    @property
    def page(self) -> str:
        """Its address for a browser."""
        return f"{self.endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.repo}"


def is_commit(revision: str) -> bool:
    """Whether a revision is a full commit id, which names one state for ever; a branch or a tag may move."""
    return _COMMIT.fullmatch(revision) is not None


def useful_wait(error: Exception, usual: float) -> float | None:
    """Seconds to wait before asking again: `usual`, or what the Hub asks for; None where waiting does not help."""
    response = _response(error)
    # A file huggingface_hub itself has sent six times, except after a 429.
    if _method(error) == "PUT" and (response is None or response.status_code != 429):
        return None
    if response is None:
        # After no answer to a HEAD (LocalEntryNotFoundError) huggingface_hub has tried six times.
        is_hang = _is(error, "Timeout") and not _is(error, "LocalEntryNotFoundError")
        return usual if is_hang or _broke_off(error) else None
    # huggingface_hub itself tries again after a 5xx while it downloads (LocalEntryNotFoundError), never after a 429.
    if response.status_code != 429 and (response.status_code < 500 or _is(error, "LocalEntryNotFoundError")):
        return None
    asked = _asked_wait(response.headers)
    if asked is None:
        return usual
    return asked if asked <= MAX_WAIT_SECONDS else None


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait: by Retry-After (seconds or a date) or, as the Hub does, by RateLimit."""
    text = headers.get("Retry-After", "")
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if text:
        with contextlib.suppress(ValueError):
            return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    limit = re.search(r"\bt=(\d+)", headers.get("RateLimit", ""))
    return float(limit[1]) if limit else None


def explain(error: Exception, wanted: Wanted) -> HubError:
    """The error to raise for one that huggingface_hub raised: what was asked for, why it failed, what to do."""
    response = _response(error)
    if response is None:
        told = _without_answer(error, wanted)
    else:
        told = (wanted.is_upload and _not_allowed(error, response, wanted)) or _refused(error, response, wanted)
    if told is not None:
        return HubError(told)
    return HubUnreachableError(_unreachable(error, response, wanted))


def not_listed(error: HubUnreachableError, wanted: Wanted) -> HubUnreachableError:
    """The error to raise where a commit's files must be known and the Hub, asked for them, gave no answer."""
    return HubUnreachableError(
        f"{wanted}: the Hub cannot be asked which files it has ({reason(error)}), and those in the cache "
        f"{wanted.cache} may not be all. Run the same command once where the Hub can be reached: it keeps the list in "
        "the cache, which other programs do not."
    )


def no_token(wanted: Wanted) -> HubError:
    """The error to raise where nothing can be sent because nobody is logged in."""
    return HubError(f"{wanted}: to push, the Hub has to know you, and there is no token. {_login_to_write(wanted)}")


def _login_to_write(wanted: Wanted) -> str:
    page = f"{wanted.endpoint}/settings/tokens"
    return f"Take a token that may write ({page}): {_LOGIN}."


def _not_allowed(error: Exception, response: Any, wanted: Wanted) -> str | None:
    """What is wrong with a request that writes, where it is not what may be wrong with one that reads."""
    status = response.status_code
    if status == 400 and (told := next((str(one) for one in _chain(error) if "Invalid metadata" in str(one)), None)):
        return f"{wanted}: the Hub does not take the card ({_printable(told)}). Mend README.md's first lines."
    if status == 401 and "Invalid" not in response.headers.get("X-Error-Message", ""):
        return f"{wanted}: the Hub does not know you ({reason(error)}). {_login_to_write(wanted)}"
    if status == 403:
        return (
            f"{wanted}: you may not write there ({reason(error)}). Push to a name of yours, or of an organisation that "
            f"lets you write. {_login_to_write(wanted)}"
        )
    if status in (409, 412):
        return (
            f"{wanted} was changed by somebody else at this moment ({reason(error)}); nothing was pushed. "
            f"Look at {wanted.page}, then run the same command again."
        )
    return None


def _refused(error: Exception, response: Any, wanted: Wanted) -> str | None:
    """What is wrong with the request, if the Hub answered that something is."""
    status = response.status_code
    if _is(error, "GatedRepoError"):
        return f"{wanted} is gated: accept its terms at {wanted.page}, then {_LOGIN}."
    if _is(error, "DisabledRepoError"):
        return f"{wanted} was disabled by the Hub: see {wanted.page}, and choose another."
    if _is(error, "RevisionNotFoundError"):
        return f"{wanted}: there is no such revision. Choose one that {wanted.page}/tree/main offers."
    if _is(error, "EntryNotFoundError") and status == 404:
        return f"{wanted} lacks a file that it lists ({reason(error)}): see {wanted.page}/tree/main."
    if status == 401 and "Invalid credentials" in response.headers.get("X-Error-Message", ""):
        return f"{wanted}: the Hub does not accept your token. Unset HF_TOKEN, or {_LOGIN}."
    if _is(error, "RepositoryNotFoundError") or status in (401, 404):
        return (
            f"there is no {_NOUNS[wanted.kind]} {wanted.repo!r} at {wanted.endpoint}, or it is private. "
            f"Check the name ('organisation/name'); if it is private, {_LOGIN}."
        )
    if status == 403:
        return f"{wanted}: the Hub forbids it ({reason(error)}). Take a token that may read it: {_LOGIN}."
    return None if status == 429 or status >= 500 else f"{wanted}: the Hub refuses the request ({reason(error)})."


def _without_answer(error: Exception, wanted: Wanted) -> str | None:
    """What is wrong here, if no request reached the Hub, or another program answered."""
    if _is(error, "HFValidationError"):
        return f"{wanted.repo!r} is no name on the Hub. Write 'organisation/name', or './name' for a folder of yours."
    if wanted.is_upload and (told := next((str(one) for one in _chain(error) if "LFS batch API" in str(one)), None)):
        return f"{wanted}: the Hub does not take the files ({_printable(told)}). See {wanted.page}."
    if isinstance(error, OSError) and type(error).__module__ == "builtins" and error.errno is not None:
        return (
            f"{wanted} cannot be kept in the cache {wanted.cache}: {reason(error)}. "
            "Make room there, have the permissions changed, or set HF_HOME to another place."
        )
    if _is(error, "FileMetadataError", "JSONDecodeError") or not isinstance(error, OSError | RuntimeError):
        return (
            f"{wanted}: {wanted.endpoint} does not answer as the Hub does. "
            "Check HF_ENDPOINT, and whether the network wants a login first."
        )
    return None


def _unreachable(error: Exception, response: Any, wanted: Wanted) -> str:
    if wanted.is_upload:
        return _not_sent(error, response, wanted)
    # Not with `hf download`: what another program fetched may not be all, and nobody could tell.
    fetch = "run the same command once where the Hub can be reached; its cache can be copied."
    if _is(error, "OfflineModeIsEnabled"):
        where = f"{wanted} is not in the cache {wanted.cache}"
        return f"{where}, and HF_HUB_OFFLINE forbids to ask the Hub. Unset it and {fetch}"
    if response is not None and response.status_code == 429:
        asked = _asked_wait(response.headers)
        when = "later" if asked is None else f"in {asked:.0f} s"
        return f"{wanted}: too many requests for the Hub. {_AGAIN} {when}; to be allowed more of them, {_LOGIN}."
    if response is not None:
        return f"{wanted}: {wanted.endpoint} is out of order ({reason(error)}). {_AGAIN} later; what is there is kept."
    if _broke_off(error):
        return f"{wanted}: the download breaks off ({reason(error)}). {_AGAIN}: it goes on from there."
    if _hangs(error):
        return (
            f"{wanted}: {wanted.endpoint} gave no answer in time ({reason(error)}). {_AGAIN}, later or on another "
            "network: what has come is kept. HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT (seconds) allow more time."
        )
    if _is(error, "RuntimeError"):
        return f"{wanted}: the download fails ({reason(error)}). {_AGAIN}; HF_HUB_DISABLE_XET=1 takes another way."
    return (
        f"{wanted}: {wanted.endpoint} cannot be reached ({reason(error)}). Check the network, HTTPS_PROXY and "
        f"HF_ENDPOINT. Without a network it has to be in the cache {wanted.cache}: {fetch}"
    )


def _not_sent(error: Exception, response: Any, wanted: Wanted) -> str:
    kept = "what has arrived is not sent again, and nothing is shown before all of it is there"
    if _is(error, "OfflineModeIsEnabled"):
        return f"{wanted}: HF_HUB_OFFLINE forbids to send anything. Unset it and run the same command again."
    if response is not None and response.status_code == 429:
        asked = _asked_wait(response.headers)
        return f"{wanted}: too many requests for the Hub. {_AGAIN} {'later' if asked is None else f'in {asked:.0f} s'}."
    if response is not None:
        return f"{wanted}: {wanted.endpoint} is out of order ({reason(error)}). {_AGAIN} later; {kept}."
    if _hangs(error):
        return f"{wanted}: {wanted.endpoint} gave no answer in time ({reason(error)}). {_AGAIN}; {kept}."
    if _was_sending(error):
        return f"{wanted}: the upload breaks off ({reason(error)}). {_AGAIN}; {kept}."
    return (
        f"{wanted}: {wanted.endpoint} cannot be reached ({reason(error)}). Check the network, HTTPS_PROXY and "
        f"HF_ENDPOINT. {_AGAIN}; {kept}."
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what caused it, and so on."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _is(error: BaseException, *names: str) -> bool:
    """Whether an error, or one that caused it, is of a class of one of these names."""
    return any(kind.__name__ in names for one in _chain(error) for kind in type(one).__mro__)


def _broke_off(error: BaseException) -> bool:
    return _is(error, "ChunkedEncodingError") or str(error).startswith(_CUT_SHORT)


def _hangs(error: BaseException) -> bool:
    # Not urllib3's TimeoutError, which a refused connection is, too.
    return _is(error, "Timeout", "ReadTimeoutError") or any(isinstance(one, TimeoutError) for one in _chain(error))


def _was_sending(error: BaseException) -> bool:
    return any(str(one).startswith(_SENDING) for one in _chain(error))


def _method(error: BaseException) -> str | None:
    """GET, POST, …: of the request that an error is about."""
    requests = (getattr(item, "request", None) for item in _chain(error))
    return next((request.method for request in requests if request is not None), None)


def _response(error: BaseException) -> Any:  # a requests.Response
    """The answer that an error is about, if one came."""
    return next((one for item in _chain(error) if (one := getattr(item, "response", None)) is not None), None)


def reason(error: BaseException) -> str:
    """Why, in a few words: the Hub's, the system's, or the first line of the message at the root."""
    response = _response(error)
    if response is not None:
        return f"{response.status_code} {_printable(response.headers.get('X-Error-Message') or response.reason or '')}"
    spoken = [one.strerror for one in _chain(error) if isinstance(one, OSError) and one.strerror]
    lines = [line for one in _chain(error) for line in str(one).splitlines()[:1] if line]
    return _printable(str((spoken or lines or [type(error).__name__])[-1]))


def _printable(text: str) -> str:
    """A server's text as it can be shown: one line, short, without what steers a terminal and without a token."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return _TOKEN.sub("(a token)", line)[:_SHOWN_LETTERS]
