"""The data of an experiment: which splits are read, from where, what was mended in them, and what leaks. No torch.

A `SplitRef` is a split as a run saw it. With the folder of published files (a matter of the machine) it is all that is
needed to read the same examples again; its digest says whether they are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from adapter_transfer.canonical import digest
from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer.experiments.adopted import PullAdapter
from adapter_transfer.hub import HubError
from adapter_transfer.hub_lock import Resolver
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.leaks import shared_items
from adapter_transfer.tasks.reading import BadRows, QuestionField, Reading
from adapter_transfer.tasks.stored_examples import ExampleCache
from adapter_transfer.tasks.task import ExampleSet, Split, Task, load_examples

TRAINING_SPLITS: tuple[Split, ...] = ("train", "validation")
TRAINING_LANGUAGE = "en"


@dataclass(frozen=True)
class Sources:
    """Where one call of the program takes published data and checkpoints from.

    Attributes:
        data_dir: folder of published files; None takes data from the Hub (or its local cache).
        on_bad_row: whether a row that cannot be read stops everything or is left out and counted.
        resolver: revisions on the Hub → commits.
        cache: where the examples of large splits are kept; None reads them into memory.
        pull: fetches adapters of the Hub; None where there is no store to keep them in.
    """

    data_dir: Path | None = None
    on_bad_row: BadRows = "fail"
    resolver: Resolver = field(default_factory=Resolver)
    cache: ExampleCache | None = None
    pull: PullAdapter | None = None


@dataclass(frozen=True)
class SplitRef:
    """One split of a task in one language, as this run saw it.

    Attributes:
        digest: of the examples as the model sees them; the only part that a run's identity holds.
        reading: how it was read; None in records of versions before this was kept.
        source: the files or the Hub's repository and commit, for people.
        num_repaired: rows whose wrong `question` was replaced by the true one.
        num_skipped: rows that could not be read and were left out.
        num_unlabelled: rows that the publisher has no label for, left out.
        labels: of a training split, the labels that only it can tell (see `Format.labels_in`).
    """

    task: str
    split: Split
    language: str
    digest: str
    reading: Reading | None = None
    source: str = ""
    num_examples: int = 0
    num_repaired: int = 0
    num_skipped: int = 0
    num_unlabelled: int = 0
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.task}/{self.split}/{self.language}"


class ReadingChoices(Protocol):
    """The part of an experiment that says how data is read."""

    @property
    def splits(self) -> Mapping[str, Mapping[Split, str]]: ...
    @property
    def question_field(self) -> QuestionField: ...


@dataclass(frozen=True)
class DataReader:
    """Reads splits as an experiment and a call of the program want them."""

    choices: ReadingChoices
    sources: Sources
    _refs: dict[tuple[str, Split, str], SplitRef] = field(default_factory=dict, repr=False, compare=False)

    def ref(self, task: Task, split: Split, language: str) -> SplitRef:
        """A split with the digest of its content; it is read, and every row of it checked."""
        key = (task.name, split, language)
        if key not in self._refs:
            # What is said of a task holds for the controls that are made of it, too.
            said = self.choices.splits.get(task.name, self.choices.splits.get(task.base.name, {}))
            published = said.get(split, task.splits[split])
            question_field = self.choices.question_field
            self._refs[key] = make_ref(task, split, language, published, question_field, self.sources)
        return self._refs[key]

    def require_readable(self, splits: Iterable[tuple[Task, Split, str]]) -> None:
        """Reads splits and tells what is wrong with all of them at once.

        Args:
            splits: task, split and language of each.

        Raises:
            DataError: with the message of every split that cannot be read.
        """
        errors: dict[str, DataError] = {}
        for task, split, language in splits:
            try:
                self.ref(task, split, language)
            except HubError:
                raise  # what cannot be reached once need not be tried twelve times
            except DataError as error:
                errors.setdefault(str(error), error)
        if len(errors) == 1:
            raise next(iter(errors.values()))
        if errors:
            raise DataError("\n".join(errors))

    def training_refs(self, tasks: Iterable[Task]) -> tuple[SplitRef, ...]:
        """Training and validation examples of each task, in English."""
        return tuple(self.ref(task, split, TRAINING_LANGUAGE) for task in tasks for split in TRAINING_SPLITS)


def make_ref(
    task: Task, split: Split, language: str, published: str, question_field: QuestionField, sources: Sources
) -> SplitRef:
    """A split, read and described.

    Raises:
        DataError: if files or rows are missing or faulty.
    """
    revisions: tuple[tuple[str, str], ...] = ()
    if sources.data_dir is None:
        asked = task.hub_datasets(split, language, published)
        revisions = tuple((repo, _commit(sources.resolver, repo, revision)) for repo, revision in asked)
    reading = Reading(published, question_field, sources.on_bad_row, revisions)
    found = read_examples(task.name, split, language, reading, sources.data_dir, _Cache(sources.cache))
    return SplitRef(
        task=task.name,
        split=split,
        language=language,
        digest=found.digest,
        reading=reading,
        source=found.source,
        num_examples=len(found.examples),
        num_repaired=found.num_repaired,
        num_skipped=len(found.problems),
        num_unlabelled=found.num_unlabelled,
        labels=task.format.labels_in(found.examples) if split == "train" else (),
    )


def _commit(resolver: Resolver, repo: str, revision: str) -> str:
    try:
        return resolver.commit("dataset", repo, revision)
    except HubError as error:
        raise HubError(f"{error} Or give the folder that holds the published files: --data-dir DIR.") from None


@dataclass(frozen=True)
class _Cache:
    """A cache as an argument that makes no difference: the examples are the same wherever they are kept."""

    cache: ExampleCache | None = field(compare=False)


@lru_cache(maxsize=512)
def read_examples(
    task: str, split: Split, language: str, reading: Reading | None, data_dir: Path | None, cache: _Cache
) -> ExampleSet:
    """The examples of a split, read once a process."""
    return load_examples(TASKS[task], split, language, reading, data_dir, cache.cache)


def examples_of(ref: SplitRef, data_dir: Path | None, cache: ExampleCache | None = None) -> ExampleSet:
    """The examples that a reference names, read again where this process has not read them.

    Args:
        cache: where large splits are kept. They are not in memory, then (see `mapped_rows`): their number is known, an
            index or a slice with a step costs little, and to go through all of a million takes some 10 seconds.
    """
    return read_examples(ref.task, ref.split, ref.language, ref.reading, data_dir, _Cache(cache))


def require_no_leak(
    trained: Iterable[SplitRef],
    evaluated: Iterable[SplitRef],
    data_dir: Path | None,
    cache: ExampleCache | None = None,
) -> None:
    """Makes sure that nothing is trained on, or selected by, items that are evaluated.

    Args:
        trained: training and validation splits.
        evaluated: test splits, of any language: translations of an item share its id.

    Raises:
        ConfigError: naming every pair of splits that shares items, with some of these.
    """
    seen = list(dict.fromkeys(trained))
    tested = list(dict.fromkeys(evaluated))
    pairs = [(one, other) for one in seen if one.split == "train" for other in seen if other.split == "validation"]
    # One language stands for all: they are parallel, and English alone may lack items that others have.
    pairs += [(one, other) for one in seen for other in tested]
    problems: dict[str, None] = {}
    for one, other in pairs:
        told = _shared(one, other, data_dir, cache)
        if told:
            where = other.name if other.split == "validation" else f"{other.task}/test"
            problems[
                f"leak: {one.name} (published as {_published(one)}) holds items of {where} ({told}). "
                "Map another published split with `splits`, or leave the task out."
            ] = None
    if problems:
        raise ConfigError(problems)


def _shared(one: SplitRef, other: SplitRef, data_dir: Path | None, cache: ExampleCache | None) -> str:
    """What two splits share that they must not, in words; empty where there is nothing."""
    if one.digest == other.digest or (one.task, _published(one)) == (other.task, _published(other)):
        return "all of them"
    if _is_drawn_from(one, other) or _is_drawn_from(other, one):
        return "rows of one are drawn from the other"
    family = TASKS[one.task].item_family
    if family is None or family != TASKS[other.task].item_family:
        return ""  # as `shared_items` would find, but without a million examples being looked at
    shared = shared_items(examples_of(one, data_dir, cache), examples_of(other, data_dir, cache))
    return f"{len(shared)} items, for example {', '.join(shared[:3])}" if shared else ""


def _is_drawn_from(one: SplitRef, other: SplitRef) -> bool:
    """Whether a published split is a sample or a part of the other one, by what their task declares."""
    if one.reading is None or other.reading is None or TASKS[one.task].base.name != TASKS[other.task].base.name:
        return False
    part = TASKS[one.task].source.find(one.reading.published, one.language)
    return part is not None and other.reading.published in part.drawn_from


def data_notes(refs: Iterable[SplitRef]) -> tuple[str, ...]:
    """What people should know of the data that was read: mapped splits, repaired and skipped rows.

    A store may hold runs of tasks, or of splits of them, that this version has none of; nothing is held against those.
    """
    distinct = list(dict.fromkeys(refs))
    return (*_mapped(distinct), *_counted(distinct))


def _mapped(refs: Sequence[SplitRef]) -> Iterator[str]:
    told = dict.fromkeys(
        (ref.task, ref.split, ref.reading.published)
        for ref in refs
        if ref.reading is not None
        and ref.task in TASKS
        and ref.reading.published != TASKS[ref.task].splits.get(ref.split, ref.split)
    )
    for task, split, published in told:
        yield f"{task}: the configuration takes the published split {published!r} as {split}."


def _counted(refs: Sequence[SplitRef]) -> Iterator[str]:
    for ref in refs:
        if ref.reading is None or ref.task not in TASKS:
            continue
        part = TASKS[ref.task].source.find(ref.reading.published, ref.language)
        found = ref.num_examples + ref.num_skipped + ref.num_unlabelled
        # What a control makes of a split may be more or fewer.
        if part is not None and TASKS[ref.task].derivation is None and part.size not in (None, found):
            yield f"{ref.name}: {found:,} rows, but {part.size:,} are published. Is the file whole?"
    for task in dict.fromkeys(ref.task for ref in refs):
        of_task = [ref for ref in refs if ref.task == task]
        repaired = _by_split({ref: ref.num_repaired for ref in of_task})
        if repaired:
            yield (
                f"{task}: {repaired[0]} rows had a wrong `question` upstream and were repaired ({repaired[1]}); "
                "question_field: as-published leaves them."
            )
        if any(ref.reading is not None and ref.reading.question_field == "as-published" for ref in of_task):
            yield f"{task}: `question` is used as published, wrong values included (question_field: as-published)."
        unlabelled = _by_split({ref: ref.num_unlabelled for ref in of_task})
        if unlabelled:
            yield f"{task}: {unlabelled[0]} rows have no label of the publisher's and were left out ({unlabelled[1]})."
        skipped = _by_split({ref: ref.num_skipped for ref in of_task})
        if skipped:
            yield f"{task}: {skipped[0]} rows could not be read and were left out ({skipped[1]})."


def _by_split(numbers: Mapping[SplitRef, int]) -> tuple[int, str] | None:
    """The sum of rows, and those of each split in words; None where there are none."""
    there = {(ref.split, ref.language): number for ref, number in numbers.items() if number}
    each = ", ".join(f"{language} {split} {number}" for (split, language), number in sorted(there.items()))
    return (sum(there.values()), each) if there else None


def _published(ref: SplitRef) -> str:
    return repr(ref.reading.published) if ref.reading is not None else ref.split


def texts_digest(refs: Sequence[SplitRef]) -> str | None:
    """SHA-256 of the text that a tokenizer of our own is trained on, in its order; None where there is none."""
    return digest([ref.digest for ref in refs]) if refs else None


def refs_to_json(refs: Iterable[SplitRef]) -> dict[str, dict[str, Any]]:
    """References as a run records them: name → everything about it."""
    return {ref.name: {k: v for k, v in asdict(ref).items() if k not in ("task", "split", "language")} for ref in refs}


def refs_from_json(recorded: Mapping[str, Any]) -> tuple[SplitRef, ...]:
    """The references that `refs_to_json` was given; a digest alone is what earlier versions recorded."""
    return tuple(_ref_from_json(name, fields) for name, fields in recorded.items())


def _ref_from_json(name: str, fields: Any) -> SplitRef:
    task, split, language = name.split("/")
    if isinstance(fields, str):
        return SplitRef(task, split, language, fields)  # type: ignore[arg-type]  # recorded by ourselves
    reading = fields["reading"]
    if reading is not None:
        pairs = tuple((repo, commit) for repo, commit in reading["revisions"])
        reading = Reading(**{**reading, "revisions": pairs})
    fields = {**fields, "reading": reading, "labels": tuple(fields.get("labels", ()))}
    return SplitRef(task, split, language, **fields)  # type: ignore[arg-type]
