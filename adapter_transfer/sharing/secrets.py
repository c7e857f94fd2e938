"""Secrets and traces of this machine in what is going to be shared: access tokens, passwords, keys, absolute paths.

A last look before anything leaves the machine, not a proof: it knows the forms that are listed here, and the values
that this process was given in its environment. What is found is told by file, line and kind, never in its own words.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from adapter_transfer.durable import storage_errors

MIN_SECRET_LENGTH = 8
"""Of a value in the environment: a shorter one stands in any text by chance."""

_TENSORS = ".safetensors"
_MAX_HEADER_BYTES = 100 * 2**20
_NAMES = re.compile(r"TOKEN(?!IZER)|KEY|SECRET|PASSW|PASSPHRASE|CREDENTIAL", re.IGNORECASE)
"""Of environment variables that hold a secret."""

_FORMS: Mapping[str, str] = {
    "an access token of the Hugging Face Hub": r"\b(?:hf|api_org)_[A-Za-z0-9]{20,}",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{16,}",
    "an API key of OpenAI's or Anthropic's kind": r"\bsk-[A-Za-z0-9_-]{20,}",
    "an access key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a secret key of AWS": r"(?i)\baws_?secret_?(?:access_?)?key\W{1,6}[A-Za-z0-9/+=]{20,}",
    "an API key of Google's": r"\bAIza[A-Za-z0-9_-]{30,}",
    "an access token of Google's": r"\bya29\.[A-Za-z0-9_-]{20,}",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "a Slack webhook": r"hooks\.slack\.com/services/[A-Za-z0-9/]{16,}",
    "a token of a package index": r"\b(?:pypi-[A-Za-z0-9_-]{32,}|npm_[A-Za-z0-9]{30,})",
    "a private key": r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY",
    "a JSON web token": r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    "an Authorization header": r"(?i)\bauthorization\W{1,6}(?:basic|bearer|token)\s+[^\s\"']{6,}",
    "a bearer token": r"(?i)\bbearer\s+[A-Za-z0-9._~+/-]{16,}",
    "a password in an address": r"\b[a-z][a-z0-9+.-]*://[^\s/:@\"']+:[^\s/@\"']{3,}@",
    "a password or key that is said outright": (
        r"(?i)(?<![A-Za-z0-9])(?:passwor[dt]|passwd|pwd|passphrase|api_?-?key|secret_?-?key|client_?-?secret|"
        r"(?:access|auth|api)_?-?token)[\"']?\s*[:=]\s*[\"']?(?![<{$*.…])[^\s\"',;]{4,}"
    ),
}
_IN_WORDS = frozenset(
    ("an Authorization header", "a bearer token", "a password in an address", "a password or key that is said outright")
)
_WHOSE = r"(?<![\w.:/~$}-])"
"""What does not stand before an absolute path: part of a word, of an address, of a relative path."""


@dataclass(frozen=True)
class _Searched:
    """What is looked for: kind, in words, and how it is recognised."""

    kind: str
    pattern: re.Pattern[str]


def find_secrets(folder: Path, *, environment: Mapping[str, str]) -> list[str]:
    """What must not be shared in the files of a folder: a sentence each, with file and line, without the secret.

    Text is read as a whole, of safetensors the header with its metadata.

    Args:
        environment: of this process. Looked for are the values of variables whose names say that they hold a secret,
            and the home folder.

    Raises:
        StoreError: if a file cannot be read.
    """
    searched = _searched(environment)
    found: dict[str, None] = {}
    with storage_errors("look for secrets in", folder):
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            # A name may be a secret, too.
            for each in searched:
                if each.pattern.search(name):
                    found[f"the name of a file is {each.kind}"] = None
            for place, text in _texts(path):
                for each in searched:
                    for match in each.pattern.finditer(text):
                        line = text.count("\n", 0, match.start()) + 1
                        found[f"{_shown(name, searched)}{place or f', line {line}'}: {each.kind}"] = None
    return list(found)


def secrets_in(text: str, *, environment: Mapping[str, str]) -> list[str]:
    """What must not be shared in a text that goes along with files (a commit's message): its kinds, in words.

    Args:
        environment: as of `find_secrets`.
    """
    return [each.kind for each in _searched(environment) if each.pattern.search(text)]


def tokens_in(text: str, *, environment: Mapping[str, str]) -> list[str]:
    """The kinds of tokens in a text that is not shared but recorded (an argument of a command), in words.

    Paths and words around a secret ("password: …") are anybody's text there; a token's own form, or the value of a
    variable that holds a secret, is not.

    Args:
        environment: as of `find_secrets`.
    """
    forms = [kind for kind, form in _FORMS.items() if kind not in _IN_WORDS and re.search(form, text)]
    return forms + [each.kind for each in _of_environment(environment) if each.pattern.search(text)]


def _searched(environment: Mapping[str, str]) -> list[_Searched]:
    return [*(_Searched(kind, re.compile(form)) for kind, form in _FORMS.items()), *_of_machine(environment)]


def _shown(name: str, searched: list[_Searched]) -> str:
    return "a file" if any(each.pattern.search(name) for each in searched) else name


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Everything readable in a file, each with its place where that is no line."""
    with open(path, "rb") as file:
        if path.suffix == _TENSORS:
            # JSON writes some characters as escapes: the slash, and whatever is not ASCII.
            yield ", in its header", _header(file).decode(errors="replace").replace("\\/", "/")
        else:
            text = file.read().decode(errors="replace")
            yield "", text
            if "\\/" in text:
                yield ", escaped", text.replace("\\/", "/")


def _header(file: BinaryIO) -> bytes:
    length = int.from_bytes(file.read(8), "little")
    return file.read(min(length, _MAX_HEADER_BYTES))


def _of_environment(environment: Mapping[str, str]) -> Iterator[_Searched]:
    values: dict[str, str] = {}
    for name, value in sorted(environment.items()):
        if _NAMES.search(name) and len(value.strip()) >= MIN_SECRET_LENGTH:
            values.setdefault(value.strip(), name)
    for value, name in values.items():
        yield _Searched(f"the value of the environment variable {name}", re.compile(re.escape(value)))


def _of_machine(environment: Mapping[str, str]) -> Iterator[_Searched]:
    yield from _of_environment(environment)
    home = environment.get("HOME") or environment.get("USERPROFILE") or ""
    if len(home.rstrip("/\\")) > 1:
        yield _Searched("the home folder of this machine", re.compile(_WHOSE + re.escape(home.rstrip("/\\"))))
    folders = {"home", "Users", "root", "mnt", "tmp", "scratch", *_top_folders()}
    yield _Searched(
        "an absolute path of a machine",
        re.compile(_WHOSE + r"(?:/(?:" + "|".join(map(re.escape, sorted(folders))) + r")/[\w.~-]|[A-Za-z]:\\{1,2}\w)"),
    )


def _top_folders() -> list[str]:
    """The folders in the root of this machine's file system."""
    try:
        with os.scandir("/") as entries:
            return [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []
