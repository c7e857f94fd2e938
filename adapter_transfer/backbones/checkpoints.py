"""Where a checkpoint lies (in this package, in a folder, on the Hub), which files it has and what identifies them.

It is read in parts, so that a question about its shape downloads no weights. What the files mean is the matter of
`zoo`, `tokenizer_loading` and `loading`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeAlias

from adapter_transfer.backbones.file_headers import require_whole
from adapter_transfer.durable import sha256_file
from adapter_transfer.errors import DataError
from adapter_transfer.hub import RepoKind, download_files, list_files

Part = Literal["config", "tokenizer", "weights"]
Resolve: TypeAlias = Callable[[RepoKind, str, str], str]
"""(kind, repository, revision) → the commit it stands for."""

CONFIG_FILE = "config.json"

VOCABULARY_FILES = ("tokenizer.json", "sentencepiece.bpe.model", "vocab.txt", "vocab.json")
"""A tokenizer has at least one of these (`vocab.json` together with `merges.txt`)."""
TOKENIZER_FILES = (
    *VOCABULARY_FILES,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)

_INDEX = ".index.json"
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors" + _INDEX,
    "pytorch_model.bin",
    "pytorch_model.bin" + _INDEX,
)
"""What holds the weights, or lists the shards that do; the first that is there is read, as transformers does."""


@dataclass(frozen=True)
class PackageFolder:
    """A folder inside this package.

    Attributes:
        path: relative to the package.
    """

    path: str

    def describe(self) -> str:
        return "built in"

    def pinned(self, commit: Resolve) -> PackageFolder:
        return self

    def folder(self, part: Part) -> Path:
        """The folder that holds this part."""
        return Path(str(files("adapter_transfer"))) / self.path

    def identity(self, part: Part) -> object:
        """What makes this part what it is, as JSON: the content of its files."""
        return _content(self.folder(part), part)


@dataclass(frozen=True)
class LocalFolder:
    """A folder of the user's.

    Attributes:
        path: absolute, because a worker may run elsewhere.
    """

    path: str

    def describe(self) -> str:
        return self.path

    def pinned(self, commit: Resolve) -> LocalFolder:
        return self

    def folder(self, part: Part) -> Path:
        """The folder that holds this part."""
        return Path(self.path)

    def identity(self, part: Part) -> object:
        """What makes this part what it is, as JSON: the content of its files, wherever they lie."""
        return _content(self.folder(part), part)


@dataclass(frozen=True)
class HubModel:
    """A model repository on the Hub.

    Attributes:
        repo: "organisation/name".
        revision: a branch, a tag or a commit, as asked for.
        commit: what the revision stood for when it was resolved; None before that.
    """

    repo: str
    revision: str = "main"
    commit: str | None = None

    def describe(self) -> str:
        shown = self.commit[:12] if self.commit is not None else self.revision
        return self.repo if shown == "main" else f"{self.repo}@{shown}"

    def pinned(self, commit: Resolve) -> HubModel:
        """The same model at the commit that its revision stands for now."""
        return self if self.commit is not None else replace(self, commit=commit("model", self.repo, self.revision))

    def folder(self, part: Part) -> Path:
        """The folder in the Hub's cache that holds this part; what is not there yet is downloaded.

        Raises:
            HubError: if the Hub cannot be reached and the cache lacks it.
            DataError: if the repository has no such part.
        """
        if part == "config":
            return self._download(CONFIG_FILE)
        there = list_files("model", self.repo, self._commit())
        if part == "tokenizer":
            _require_one(VOCABULARY_FILES, there, self.describe(), "tokenizer")
            return self._download(*(name for name in (CONFIG_FILE, *TOKENIZER_FILES) if name in there))
        name = _require_one(WEIGHT_FILES, there, self.describe(), "weights")
        folder = self._download(CONFIG_FILE, name)
        return self._download(*_shard_names(folder / name)) if name.endswith(_INDEX) else folder

    def identity(self, part: Part) -> object:
        """Repository and commit: nothing is downloaded to know what it is."""
        return {"repo": self.repo, "commit": self._commit()}

    def _commit(self) -> str:
        assert self.commit is not None, f"{self.repo} is used before its revision was resolved (`pinned`)"
        return self.commit

    def _download(self, *names: str) -> Path:
        return download_files("model", self.repo, self._commit(), names)


Checkpoint: TypeAlias = PackageFolder | LocalFolder | HubModel

_KINDS: dict[str, type[PackageFolder] | type[LocalFolder] | type[HubModel]] = {
    "package": PackageFolder,
    "folder": LocalFolder,
    "hub": HubModel,
}


def checkpoint_json(checkpoint: Checkpoint) -> dict[str, Any]:
    """The checkpoint as JSON, to be recorded."""
    kind = next(kind for kind, made in _KINDS.items() if isinstance(checkpoint, made))
    return {"kind": kind, **asdict(checkpoint)}


def checkpoint_from_json(value: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint that `checkpoint_json` wrote down.

    Raises:
        KeyError, TypeError: if it did not.
    """
    fields = dict(value)
    return _KINDS[fields.pop("kind")](**fields)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files with a checkpoint's weights; where they are sharded, the index and then the shards.

    Raises:
        DataError: if there are none, if the index is damaged or names a shard that is not there, or if a file is
            truncated (`file_headers`).
    """
    index = folder / _require_one(WEIGHT_FILES, _names(folder), str(folder), "weights")
    if not index.name.endswith(_INDEX):
        require_whole(index)
        return (index,)
    shards = [folder / shard for shard in _shard_names(index)]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise DataError(f"{index} names shards that are not there: {', '.join(missing)}. Download them again.")
    for shard in shards:
        require_whole(shard)
    return (index, *shards)


def weight_map(index: Path) -> dict[str, str]:
    """Tensor → name of the shard that holds it, as an index of sharded weights says.

    Raises:
        DataError: if the index is damaged.
    """
    try:
        names: dict[str, str] = json.loads(index.read_text("utf-8"))["weight_map"]
        # A name from elsewhere must not lead out of the folder, nor be a pattern for others.
        if not names or any(Path(name).name != name or set(name) & set("*?[") for name in names.values()):
            raise ValueError("its weight_map names no files of this folder")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{index} cannot be read: it is no index of sharded weights ({error})") from None
    return names


def _shard_names(index: Path) -> list[str]:
    return sorted(set(weight_map(index).values()))


def read_config(folder: Path) -> dict[str, Any]:
    """The fields of the folder's `config.json`.

    Raises:
        DataError: if there is none that can be read.
    """
    return read_fields(folder / CONFIG_FILE)


def read_fields(path: Path) -> dict[str, Any]:
    """The fields of a JSON object.

    Raises:
        DataError: if the file holds none that can be read.
    """
    try:
        fields = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path} cannot be read: it is no valid JSON ({error})") from None
    if not isinstance(fields, dict):
        raise DataError(f"{path} cannot be read: it holds no JSON object")
    return fields


def vocabulary_file(folder: Path) -> str:
    """Name of the file that a tokenizer's vocabulary is read from.

    Raises:
        DataError: if there is none.
    """
    return _require_one(VOCABULARY_FILES, _names(folder), str(folder), "tokenizer")


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir() if path.is_file()]
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror})") from None


def _require_one(wanted: Sequence[str], there: Collection[str], place: str, what: str) -> str:
    """The first of the wanted files that is there."""
    found = next((name for name in wanted if name in there), None)
    if found is None:
        raise DataError(f"{place} has no {what}: none of {', '.join(wanted)} is there")
    return found


def _content(folder: Path, part: Part) -> object:
    if part == "config":
        return file_digest(folder / CONFIG_FILE)
    if part == "weights":
        paths = weight_files(folder)
        # One file is its digest alone: run ids of earlier versions are made of it.
        return file_digest(paths[0]) if len(paths) == 1 else {path.name: file_digest(path) for path in paths}
    vocabulary_file(folder)
    return {name: file_digest(folder / name) for name in TOKENIZER_FILES if (folder / name).is_file()}


_digests: dict[tuple[str, int, int], str] = {}


def file_digest(path: Path) -> str:
    """SHA-256 of a file, computed once as long as its size and time stay; 14 GB for each of 200 runs take minutes.

    Raises:
        DataError, StoreError: if it cannot be read.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    key = (str(path), status.st_size, status.st_mtime_ns)
    if key not in _digests:
        _digests[key] = sha256_file(path)
    return _digests[key]
