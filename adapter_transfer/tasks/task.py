"""What a task is (a declaration of its format, of where its rows lie and what they look like), and its examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from adapter_transfer.canonical import digest
from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer.tasks.formats import Example, Format
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.schema import RowProblem, SchemaError, check_rows
from adapter_transfer.tasks.sources import Part, Source

Split = Literal["train", "validation", "test"]
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
        part = self._part(split, language, published)
        return () if part.package is not None else part.on_hub(self.name).datasets

    def _part(self, split: Split, language: str, published: str) -> Part:
        part = self.source.find(published, language)
        if part is not None:
            return part
        wanted = f"{split} split" if self.splits.get(split) == published else f"published split {published!r}"
        if published in self.source.splits():
            have = ", ".join(self.source.languages(published))
            raise DataError(f"task {self.name!r} has no {wanted} in {language!r}; it has {have}")
        raise DataError(f"task {self.name!r} has no {wanted}; published are {', '.join(self.source.splits())}")


@dataclass(frozen=True)
class ExampleSet:
    """The examples of one split in one language.

    Attributes:
        digest: SHA-256 over every example as the model sees it (ids, texts, labels, in order), so that a change of
            the data *or* of how it is read changes the identity of the runs that use it.
        published: the published split that was read.
        source: the files that were read, for people.
        num_repaired: examples in which a known error of the publisher was mended.
        problems: of rows that were left out, one each.
        item_family: of the task; see there.
        premises: of each example, in order: the text that its answers are about.
    """

    task: str
    split: Split
    language: str
    examples: tuple[Example, ...]
    digest: str = field(repr=False)
    published: str
    source: str
    num_repaired: int = 0
    problems: tuple[RowProblem, ...] = ()
    item_family: str | None = None
    premises: tuple[str, ...] = field(default=(), repr=False)


def load_examples(
    task: Task, split: Split, language: str, reading: Reading | None = None, data_dir: Path | None = None
) -> ExampleSet:
    """Every example of a split in one language, in published order.

    Args:
        reading: which published split, and how; None is the task's declared one, repaired, without bad rows.
        data_dir: folder of published files; None reads from the Hub, at the commits that `reading` names.

    Raises:
        SchemaError: with every faulty row, unless they are to be skipped.
        DataError: if the task has no such split or language, or it is not there or empty.
    """
    if reading is None:
        if split not in task.splits:
            raise DataError(f"task {task.name!r} has no {split} split; it has {', '.join(task.splits)}")
        reading = Reading(task.splits[split])
    part = task._part(split, language, reading.published)
    opened = part.open(task.name, language, data_dir, dict(reading.revisions))
    repairs = reading.question_field == "repaired"
    checked = check_rows(opened.rows, opened.form, task.format, repairs=repairs)
    folder = f" in {data_dir}" if data_dir is not None and part.package is None else ""
    what = f"{task.name}, {reading.published} in {language!r} ({opened.source}{folder})"
    ends = any(problem.ends_file for problem in checked.problems)
    if ends or (checked.problems and reading.on_bad_row == "fail"):
        raise SchemaError(what, checked.problems, hint=_CANNOT_BE_SKIPPED if ends else _CAN_BE_SKIPPED)
    if not checked.examples:
        raise DataError(f"{what}: there are no examples")
    return ExampleSet(
        task=task.name,
        split=split,
        language=language,
        examples=checked.examples,
        digest=digest([[e.id, [list(row) for row in e.rows], e.label] for e in checked.examples]),
        published=reading.published,
        source=opened.source,
        num_repaired=checked.num_repaired,
        problems=checked.problems,
        item_family=task.item_family,
        premises=checked.premises,
    )
