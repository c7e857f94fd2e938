"""Where a task's published splits lie: in files of the publisher, on the Hub as parquet, or in this package.

What the rows must hold is said by their `Form`; which commit of the Hub is read, by the caller.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from adapter_transfer import hub
from adapter_transfer.errors import DataError
from adapter_transfer.tasks.parquet import read_parquet
from adapter_transfer.tasks.readers import Reader, read_jsonl
from adapter_transfer.tasks.schema import Form, PlacedRow, Row, RowProblem

Revisions = tuple[tuple[str, str], ...]
"""Pairs of a Hub dataset and a revision or commit of it."""


@dataclass(frozen=True)
class OpenedRows:
    """The rows of one published split in one language, about to be read.

    Attributes:
        source: the files, for people: relative to their folder, or `repository@commit file`.
        files: all that are read, where they are not the Hub's: what the rows are depends on their bytes.
    """

    rows: Iterator[PlacedRow | RowProblem]
    form: Form
    source: str
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class FileLayout:
    """One way in which a published split lies in a folder.

    Attributes:
        pattern: path inside the folder, with `{language}` in it where there are several.
        read: by the file's format.
        elsewhere: tells the rows of the file that belong to another published split.
        beside: other files that `read` opens, too, with `{language}` in them where there are several.
    """

    pattern: str
    form: Form
    read: Reader = read_jsonl
    elsewhere: Callable[[Row], bool] | None = None
    beside: tuple[str, ...] = ()

    def path(self, folder: Path, language: str) -> Path:
        return folder / self.pattern.format(language=language)

    def open(self, folder: Path, language: str) -> OpenedRows:
        name = self.pattern.format(language=language)
        names = (name, *(other.format(language=language) for other in self.beside))
        files = tuple(folder / each for each in names)
        return OpenedRows(self._own(self.read(folder / name, name)), self.form, name, files)

    def _own(self, found: Iterator[PlacedRow | RowProblem]) -> Iterator[PlacedRow | RowProblem]:
        if self.elsewhere is None:
            return found
        elsewhere = self.elsewhere
        return (each for each in found if isinstance(each, RowProblem) or not elsewhere(each.row))


class HubSource(Protocol):
    """Where a published split lies on the Hub."""

    @property
    def datasets(self) -> Revisions:
        """The datasets that are needed, each with the revision to be resolved."""

    def open(self, language: str, commits: Mapping[str, str]) -> OpenedRows:
        """The rows at the commits given, from the Hub or its cache."""


@dataclass(frozen=True)
class HubParquet:
    """Parquet files of one dataset on the Hub.

    Attributes:
        pattern: of their paths in the repository, with `{language}` in it where there are several.
    """

    repo: str
    pattern: str
    form: Form
    revision: str = "main"

    @property
    def datasets(self) -> Revisions:
        return ((self.repo, self.revision),)

    def open(self, language: str, commits: Mapping[str, str]) -> OpenedRows:
        commit = commits[self.repo]
        pattern = self.pattern.format(language=language)
        folder = hub.download_files("dataset", self.repo, commit, [pattern])
        paths = sorted(folder.glob(pattern))
        names = [path.relative_to(folder).as_posix() for path in paths]
        source = f"{self.repo}@{commit[:12]} {', '.join(names)}"
        rows = (row for path, name in zip(paths, names, strict=True) for row in read_parquet(path, name))
        return OpenedRows(rows, self.form, source)


@dataclass(frozen=True)
class Part:
    """One published split in some languages, and everywhere it lies.

    Attributes:
        published: the split's name in its task's vocabulary.
        num_rows: rows in each language, as published; None where that varies or is not known.
        files: layouts in a folder of published files; the first that is there is read.
        package: a file that travels with this package; read whatever else there is.
        members: what it is put together from, in place of all the others: other parts, each with the prefix that its
            examples' ids get. All of them have to be there.
        drawn_from: the published splits of the task that its rows stand in, too (a sample, a half): who trains on one
            of them cannot be validated on it, nor the other way round.
        remark: what is said where it is missing, beside where it was looked for.
    """

    published: str
    languages: tuple[str, ...]
    num_rows: int | None = None
    files: tuple[FileLayout, ...] = ()
    hub: HubSource | None = None
    package: FileLayout | None = None
    members: tuple[tuple[str, Part], ...] = ()
    drawn_from: tuple[str, ...] = ()
    remark: str = ""

    def open(
        self, task: str, language: str, data_dir: Path | None, commits: Mapping[str, str]
    ) -> tuple[tuple[str, OpenedRows], ...]:
        """The rows in one language: from `data_dir` where one is given, else from the Hub; of each member, its prefix.

        Raises:
            DataError: if they are not there.
        """
        if not self.members:
            return (("", self._open(task, language, data_dir, commits)),)
        found: list[tuple[str, OpenedRows]] = []
        missing: dict[str, None] = {}
        for prefix, part in self.members:
            try:
                found += [(prefix + inner, each) for inner, each in part.open(task, language, data_dir, commits)]
            except hub.HubError:
                raise  # what cannot be reached once need not be tried for each member
            except DataError as error:
                missing[str(error)] = None
        if missing:
            raise DataError("\n".join(missing))
        return tuple(found)

    def datasets(self, task: str) -> Revisions:
        """The Hub datasets that reading needs, each with the revision that is to be resolved; () for package data.

        Raises:
            DataError: if it is published as files only.
        """
        if self.members:
            return tuple(dict.fromkeys(pair for _, part in self.members for pair in part.datasets(task)))
        return () if self.package is not None else self.on_hub(task).datasets

    def _open(self, task: str, language: str, data_dir: Path | None, commits: Mapping[str, str]) -> OpenedRows:
        if self.package is not None:
            return self.package.open(Path(str(files("adapter_transfer"))), language)
        if data_dir is not None:
            return self._layout(task, language, data_dir).open(data_dir, language)
        return self.on_hub(task).open(language, commits)

    @property
    def single_parts(self) -> tuple[Part, ...]:
        """Itself, or what it is put together from."""
        return tuple(part for _, member in self.members for part in member.single_parts) if self.members else (self,)

    @property
    def size(self) -> int | None:
        """Rows in each language, those of all members; None where that is not known."""
        if not self.members:
            return self.num_rows
        sizes = [part.size for _, part in self.members]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def on_hub(self, task: str) -> HubSource:
        """Where it lies on the Hub.

        Raises:
            DataError: if it is published as files only.
        """
        if self.hub is None:
            raise self._missing(
                f"task {task!r}: the published split {self.published!r} is not on the Hub; give the folder that holds "
                "its files (--data-dir), or name another split"
            )
        return self.hub

    def _layout(self, task: str, language: str, data_dir: Path) -> FileLayout:
        # os.path, because it takes what may not be looked at for not there.
        if not os.path.isdir(data_dir):
            raise self._missing(f"{data_dir}: no such folder; --data-dir is the folder that holds the published files")
        for layout in self.files:
            if os.path.isfile(layout.path(data_dir, language)):
                return layout
        tried = ", ".join(layout.pattern.format(language=language) for layout in self.files)
        missing = f"looked for {tried}" if tried else "it is published on the Hub only"
        raise self._missing(
            f"task {task!r}: {data_dir} does not hold the published split {self.published!r} in {language!r}: "
            f"{missing}. Where another published split is to serve in its place, a configuration says so with `splits`."
        )

    def _missing(self, what: str) -> DataError:
        return DataError(f"{what.removesuffix('.')}. {self.remark}" if self.remark else what)


@dataclass(frozen=True)
class Source:
    """Every published split of a task."""

    parts: tuple[Part, ...]

    def splits(self, language: str | None = None) -> tuple[str, ...]:
        """Names of the published splits, in order; of one language, or of any."""
        return tuple(dict.fromkeys(p.published for p in self.parts if language is None or language in p.languages))

    def languages(self, published: str) -> tuple[str, ...]:
        """The languages in which a published split exists, in order."""
        return tuple(code for part in self.parts if part.published == published for code in part.languages)

    def find(self, published: str, language: str) -> Part | None:
        """The part that holds a published split in one language."""
        fitting = (part for part in self.parts if part.published == published and language in part.languages)
        return next(fitting, None)

    def describe(self) -> str:
        """One line for people: from where rows are read."""
        if any(part.package is not None for part in self.parts):
            return "package data"
        single = [part for whole in self.parts for part in whole.single_parts]
        repos = dict.fromkeys(repo for part in single if part.hub is not None for repo, _ in part.hub.datasets)
        where = ["published files (--data-dir)"] if any(part.files for part in single) else []
        return " or ".join([*([f"Hub: {', '.join(repos)}"] if repos else []), *where])


def package_files(pattern: str, form: Form, languages: Mapping[str, tuple[str, ...]]) -> Source:
    """JSONL files that travel with this package.

    Args:
        pattern: path inside the package with `{split}` and `{language}` in it.
        languages: split → the languages in which it exists.
    """
    return Source(
        tuple(
            Part(split, codes, package=FileLayout(pattern.replace("{split}", split), form))
            for split, codes in languages.items()
        )
    )
