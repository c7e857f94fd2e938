"""What a task is (a declaration of its format, of where its rows lie and what they look like), and its examples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Literal, Protocol, get_args

from adapter_transfer.canonical import canonical_json, digest
from adapter_transfer.durable import sha256_file
from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer.tasks.asking import Asking
from adapter_transfer.tasks.cache_entries import code_digest
from adapter_transfer.tasks.formats import Example, Format
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.schema import (
    CheckedRow,
    FirstPlaces,
    IdHashes,
    RowProblem,
    SchemaError,
    SeenIds,
    checked_rows,
)
from adapter_transfer.tasks.sources import OpenedRows, Part, Source
from adapter_transfer.tasks.stored_examples import CheckedExamples, Collector, ExampleCache

Split = Literal["train", "validation", "test"]
SEPARATOR = "+"
"""Between the names of tasks that are trained together (see `mixtures`)."""
Role = Literal["intermediate", "target"]

_CAN_BE_SKIPPED = "Mend them or get the files anew; `--on-bad-row skip` leaves them out and counts them."
_CANNOT_BE_SKIPPED = "Get the file anew: what follows a fault in it is lost or uncertain, and cannot be skipped over."


@dataclass(frozen=True)
class Task:
    """A data set with everything that is needed to train on it or to be evaluated with it.

    Attributes:
        name: as users write it.
        format: how examples are scored.
        roles: what it may serve as.
        source: its published splits: where each lies, and the form of its rows.
        splits: our split → the published split's name, said explicitly; nothing falls back from one to another.
        summary: one line for `ls tasks`.
        licence: of the data.
        reference: the paper or page it comes from.
        item_family: tasks of one family number the same items alike, in every language, so that a leak from one split
            to another is found by the items' ids; None where ids mean nothing outside of their split.
        is_sandbox: made by this package; says nothing about real languages or real models.
        derivation: makes its examples of another task's, whose source it shares.
        asking: how a trained model is asked a question of one's own; None where the task gives no choices.
    """

    name: str
    format: Format
    roles: tuple[Role, ...]
    source: Source
    splits: Mapping[Split, str]
    summary: str
    licence: str
    reference: str
    item_family: str | None = None
    is_sandbox: bool = False
    derivation: Derivation | None = None
    asking: Asking | None = None

    @property
    def base(self) -> Task:
        """The declared task that it is made of, in however many steps; itself, where it is declared."""
        return self if self.derivation is None else self.derivation.origin.base

    @property
    def languages(self) -> dict[Split, tuple[str, ...]]:
        """Split → languages in which it exists, where splits are as declared."""
        return {split: self.source.languages(published) for split, published in self.splits.items()}

    def published_splits(self, language: str) -> tuple[str, ...]:
        """Names of the published splits that there are in one language; what `splits` of a configuration may name."""
        return self.source.splits(language)

    def check_splits(self, mapping: Mapping[Split, str]) -> None:
        """Makes sure that a configuration's choice of published splits names what exists in English.

        Raises:
            ConfigError: with every split that is unknown.
        """
        problems = []
        have = self.source.splits("en")
        for split, published in mapping.items():
            if split not in get_args(Split):
                problems.append(f"{self.name}: no split is called {split!r}; there are {', '.join(get_args(Split))}")
            if published not in have:
                problems.append(
                    f"{self.name}: no published split {published!r} in English; there are {', '.join(have)}"
                )
        if problems:
            raise ConfigError(problems)

    def hub_datasets(self, split: Split, language: str, published: str) -> tuple[tuple[str, str], ...]:
        """The Hub datasets, with the revision of each that is to be resolved, that reading needs; () for package data.

        Raises:
            DataError: if there is no such split in that language, or not on the Hub.
        """
        return self._part(split, language, published).datasets(self.name)

    def _part(self, split: Split, language: str, published: str) -> Part:
        part = self.source.find(published, language)
        if part is not None:
            return part
        wanted = f"{split} split" if self.splits.get(split) == published else f"published split {published!r}"
        if published in self.source.splits():
            have = ", ".join(self.source.languages(published))
            raise DataError(f"task {self.name!r} has no {wanted} in {language!r}; it has {have}")
        raise DataError(f"task {self.name!r} has no {wanted}; published are {', '.join(self.source.splits())}")


class Derivation(Protocol):
    """How a task's examples are made of another's, for a control."""

    @property
    def origin(self) -> Task: ...

    def derive(self, examples: ExampleSet, task: Task) -> ExampleSet:
        """The examples of `task` that a split of `origin` gives."""


@dataclass(frozen=True)
class ExampleSet:
    """The examples of one split in one language.

    Attributes:
        digest: SHA-256 over every example as the model sees it (ids, texts, labels, in order), so that a change of
            the data *or* of how it is read changes the identity of the runs that use it.
        published: the published split that was read.
        source: the files that were read, for people.
        num_repaired: examples in which a known error of the publisher was mended.
        num_unlabelled: rows without a label of the publisher's, which were left out.
        problems: of rows that were left out as faulty, one each.
        item_family: of the task; see there.
        premises: of each example, in order: the text that its answers are about.
    """

    task: str
    split: Split
    language: str
    examples: Sequence[Example]
    digest: str = field(repr=False)
    published: str
    source: str
    num_repaired: int = 0
    num_unlabelled: int = 0
    problems: tuple[RowProblem, ...] = ()
    item_family: str | None = None
    premises: Sequence[str] = field(default=(), repr=False)


def load_examples(
    task: Task,
    split: Split,
    language: str,
    reading: Reading | None = None,
    data_dir: Path | None = None,
    cache: ExampleCache | None = None,
) -> ExampleSet:
    """Every example of a split in one language, in published order.

    Args:
        reading: which published split, and how; None is the task's declared one, repaired, without bad rows.
        data_dir: folder of published files; None reads from the Hub, at the commits that `reading` names.
        cache: where a large split is kept once it was read; None reads everything into memory, every time.

    Raises:
        SchemaError: with every faulty row, unless they are to be skipped.
        DataError: if the task has no such split or language, or it is not there or empty.
        StoreError: if the cache cannot be written.
    """
    if reading is None:
        if split not in task.splits:
            raise DataError(f"task {task.name!r} has no {split} split; it has {', '.join(task.splits)}")
        reading = Reading(task.splits[split])
    if task.derivation is not None:
        origin = load_examples(task.derivation.origin, split, language, reading, data_dir, cache)
        return _derived(task, task.derivation, origin, cache)
    part = task._part(split, language, reading.published)
    found = _checked(task, part, language, reading, data_dir, cache)
    folder = f" in {data_dir}" if data_dir is not None and part.package is None else ""
    what = f"{task.name}, {reading.published} in {language!r} ({found.source}{folder})"
    ends = any(problem.ends_file for problem in found.problems)
    if ends or (found.problems and reading.on_bad_row == "fail"):
        raise SchemaError(what, found.problems, hint=_CANNOT_BE_SKIPPED if ends else _CAN_BE_SKIPPED)
    if not found.examples:
        raise DataError(f"{what}: there are no examples")
    return ExampleSet(
        task=task.name,
        split=split,
        language=language,
        examples=found.examples,
        digest=found.digest,
        published=reading.published,
        source=found.source,
        num_repaired=found.num_repaired,
        num_unlabelled=found.num_unlabelled,
        problems=found.problems,
        item_family=task.item_family,
        premises=found.premises,
    )


def _checked(
    task: Task, part: Part, language: str, reading: Reading, data_dir: Path | None, cache: ExampleCache | None
) -> CheckedExamples:
    """What there is in a published split: from the cache if it is there, else every row is read and checked."""
    repairs = reading.question_field == "repaired"
    opened = part.open(task.name, language, data_dir, dict(reading.revisions))
    files = [path for _, each in opened for path in each.files]
    before, key = _states(files), ""
    if cache is not None:
        names = [(prefix, each.source, [*map(_file_digest, each.files)]) for prefix, each in opened]
        asked = [task.name, repr(task.format), reading.published, language, repairs, reading.revisions]
        key = digest(["examples", code_digest(), asked, names])
        found = cache.find(key, task.format.label_level)
        if found is not None:
            return found

    def rows(members: Iterable[tuple[str, OpenedRows]], ids: SeenIds) -> Iterator[CheckedRow | RowProblem | None]:
        for prefix, each in members:
            yield from checked_rows(each.rows, each.form, task.format, repairs=repairs, prefix=prefix, ids=ids)

    name, source = f"{task.name} {reading.published}", ", ".join(each.source for _, each in opened)
    hashes = IdHashes()
    with Collector(cache, key, name, task.format.label_level) as collector:
        sha256 = examples_digest(collector.adding(rows(opened, hashes)))
        repeated = hashes.repeated()
        _require_unchanged(name, before, files)
        if not repeated:
            return collector.finish(sha256, source)
    opened = part.open(task.name, language, data_dir, dict(reading.revisions))
    with Collector(cache, key, name, task.format.label_level) as collector:
        sha256 = examples_digest(collector.adding(rows(opened, FirstPlaces(repeated))))
        _require_unchanged(name, before, files)
        return collector.finish(sha256, source)


def _derived(task: Task, derivation: Derivation, origin: ExampleSet, cache: ExampleCache | None) -> ExampleSet:
    """The examples that a derivation makes, kept in the cache as others are where there are many."""
    if cache is None or len(origin.examples) <= cache.most_in_memory:
        return derivation.derive(origin, task)
    level = task.format.label_level
    # Of the origin also what is passed on or drawn by, but is no part of its digest: its name, and what was left out.
    problems = [str(problem) for problem in origin.problems]
    told = [origin.published, origin.source, origin.num_repaired, origin.num_unlabelled, problems]
    asked = [task.name, repr(task.format), origin.language, origin.split, origin.digest, told]
    key = digest(["derived", code_digest(), asked])
    found = cache.find(key, level)
    if found is None:
        made = derivation.derive(origin, task)
        pairs = enumerate(zip(made.examples, made.premises, strict=True))
        rows = (CheckedRow(*pair, is_repaired=index < made.num_repaired) for index, pair in pairs)
        with Collector(cache, key, f"{task.name} {origin.published}", level) as collector:
            adding = collector.adding(chain(made.problems, repeat(None, made.num_unlabelled), rows))
            found = collector.finish(examples_digest(adding), made.source)
    return replace(
        origin,
        task=task.name,
        examples=found.examples,
        premises=found.premises,
        digest=found.digest,
        source=found.source,
        num_repaired=found.num_repaired,
        num_unlabelled=found.num_unlabelled,
        problems=found.problems,
        item_family=task.item_family,
    )


def _states(files: Iterable[Path]) -> list[tuple[int, int]]:
    """Size and time of change of files that are there."""
    return [(status.st_size, status.st_mtime_ns) for status in (path.stat() for path in files if path.is_file())]


def _require_unchanged(name: str, before: list[tuple[int, int]], files: Iterable[Path]) -> None:
    if _states(files) != before:
        raise DataError(f"{name}: its files have changed while they were read. Start again once they stay as they are.")


def _file_digest(path: Path) -> str:
    """SHA-256 of a file; that it is missing is told by whoever reads it."""
    return sha256_file(path) if path.is_file() else ""


def examples_digest(examples: Iterable[Example]) -> str:
    """SHA-256 over examples as the model sees them, that of their canonical JSON in one list, taken one by one."""
    hasher, comma = hashlib.sha256(b"["), b""
    for example in examples:
        hasher.update(comma + canonical_json([example.id, example.rows, example.label]))
        comma = b","
    hasher.update(b"]")
    return hasher.hexdigest()
