"""Examples on disk: a large split is read and checked once, written down as it is read, and mapped from then on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from adapter_transfer.durable import JSONObject, storage_errors
from adapter_transfer.errors import StoreError
from adapter_transfer.tasks.cache_entries import find_entry, new_entry, publish_entry
from adapter_transfer.tasks.formats import Example, Label, LabelLevel
from adapter_transfer.tasks.mapped_rows import BATCH_ROWS, MappedRows, open_batches
from adapter_transfer.tasks.schema import CheckedRow, RowProblem

if TYPE_CHECKING:
    import pyarrow as pa

LARGE_SPLIT = 20_000
"""Examples up to which a split is read into memory every time: in a second or two, and some 20 MB."""
_TELL_EVERY = 10_000
_FILE = "examples.arrow"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckedExamples:
    """What the schema pass has made of a split.

    Attributes:
        premises: of each example, in order.
        digest: SHA-256 of the examples (see `ExampleSet`).
        source: the files, for people.
    """

    examples: Sequence[Example]
    premises: Sequence[str]
    digest: str
    source: str
    num_repaired: int = 0
    num_unlabelled: int = 0
    problems: tuple[RowProblem, ...] = ()


@dataclass(frozen=True)
class ExampleCache:
    """Where the examples of large splits are kept.

    Attributes:
        folder: that holds the entries; made when the first is.
        make_ready: called before anything is written, for a folder that others own.
        on_rows: told the name of a split, how many examples of it have been read, and whether these are all.
        most_in_memory: examples of a split that is not kept here.
    """

    folder: Path
    make_ready: Callable[[], object] = field(default=lambda: None, repr=False)
    on_rows: Callable[[str, int, bool], None] = field(default=lambda name, done, is_all: None, repr=False)
    most_in_memory: int = LARGE_SPLIT

    def find(self, key: str, level: LabelLevel) -> CheckedExamples | None:
        """An entry; None where there is no (whole) one."""
        noted = find_entry(self.folder / key)
        return None if noted is None else _read(self.folder / key, noted, level)


class Collector:
    """Collects the examples of a split as they are checked: in memory at first, in a cache's entry if they are many.

    To be used as a context, at whose end an entry that was not finished is removed.
    """

    def __init__(self, cache: ExampleCache | None, key: str, name: str, level: LabelLevel) -> None:
        """Begins with nothing.

        Args:
            cache: None keeps everything in memory, however much there is.
            key: of the entry.
            name: of the split, for people.
            level: of the labels, which says what they look like.
        """
        self._cache, self._key, self._name, self._level = cache, key, name, level
        self._examples: list[Example] = []
        self._premises: list[str] = []
        self._problems: list[RowProblem] = []
        self._num_read = self._num_repaired = self._num_unlabelled = 0
        self._stack = ExitStack()
        self._spill: _Spill | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def adding(self, rows: Iterable[CheckedRow | RowProblem | None]) -> Iterator[Example]:
        """Takes in what `checked_rows` gives, and passes on the examples."""
        for row in rows:
            if row is None:
                self._num_unlabelled += 1
            elif isinstance(row, RowProblem):
                self._problems.append(row)
            else:
                self._add(row)
                yield row.example

    def finish(self, digest: str, source: str) -> CheckedExamples:
        """Everything that was taken in.

        Raises:
            StoreError: if the disk cannot be written.
        """
        counts = {"num_repaired": self._num_repaired, "num_unlabelled": self._num_unlabelled}
        if self._cache is None or self._spill is None:
            examples, premises = tuple(self._examples), tuple(self._premises)
            return CheckedExamples(examples, premises, digest, source, problems=tuple(self._problems), **counts)
        self._spill.write(self._examples, self._premises)
        self._spill.close()
        folder = self._cache.folder / self._key
        problems = [asdict(problem) for problem in self._problems]
        said = {"digest": digest, "source": source, "problems": problems, **counts}
        noted = publish_entry(self._spill.folder, folder, said)
        self._cache.on_rows(self._name, self._num_read, True)
        return _read(folder, noted, self._level)

    def _add(self, row: CheckedRow) -> None:
        self._examples.append(row.example)
        self._premises.append(row.premise)
        self._num_read += 1
        self._num_repaired += row.is_repaired
        if self._cache is None:
            return
        if self._spill is None and self._num_read > self._cache.most_in_memory:
            self._spill = self._begin(self._cache)
        if self._spill is not None and len(self._examples) >= BATCH_ROWS:
            whole = len(self._examples) // BATCH_ROWS * BATCH_ROWS
            self._spill.write(self._examples[:whole], self._premises[:whole])
            del self._examples[:whole], self._premises[:whole]
        if self._spill is not None and self._num_read % _TELL_EVERY == 0:
            self._cache.on_rows(self._name, self._num_read, False)

    def _begin(self, cache: ExampleCache) -> _Spill | None:
        """The file of an entry; None where nothing can be written, as in a store that is only to be read."""
        try:
            cache.make_ready()
            folder = self._stack.enter_context(new_entry(cache.folder / self._key))
            return self._stack.enter_context(_Spill(folder, self._level))
        except StoreError as error:
            logger.warning("%s is read into memory: %s", self._name, error)
            self._cache = None
            return None


class _Spill:
    """The file that examples are written to, in batches of which only the last is smaller than `BATCH_ROWS`."""

    def __init__(self, folder: Path, level: LabelLevel) -> None:
        # Loads slowly, and is needed for large splits only.
        import pyarrow as pa

        self.folder, self._labels, self._arrow = folder, _LABELS[level], pa
        self._schema = _schema(self._labels)
        self._is_closed = False
        with storage_errors("write", folder):
            self._writer = pa.ipc.new_file(str(folder / _FILE), self._schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._is_closed:  # and the file is about to be removed
            self.close()

    def write(self, examples: Sequence[Example], premises: Sequence[str]) -> None:
        for start in range(0, len(examples), BATCH_ROWS):
            part = examples[start : start + BATCH_ROWS]
            texts = zip(part, premises[start : start + BATCH_ROWS], strict=True)
            columns = [
                [example.id for example in part],
                # Most often it is the first segment of the first row, and need not be written twice.
                [None if premise == example.rows[0][0] else premise for example, premise in texts],
                [[first for first, _ in example.rows] for example in part],
                [[second for _, second in example.rows] for example in part],
                *self._labels.columns([example.label for example in part]),
            ]
            arrays = [
                self._arrow.array(column, type=field.type) for column, field in zip(columns, self._schema, strict=True)
            ]
            with storage_errors("write", self.folder):
                self._writer.write_batch(self._arrow.record_batch(arrays, schema=self._schema))

    def close(self) -> None:
        """To be called once: a second time would write the file's end again."""
        self._is_closed = True
        with storage_errors("write", self.folder):
            self._writer.close()


def _read(folder: Path, noted: JSONObject, level: LabelLevel) -> CheckedExamples:
    """The examples of a whole entry, mapped."""
    batches = open_batches(folder / _FILE)
    return CheckedExamples(
        examples=MappedRows(batches, partial(_examples, _LABELS[level])),
        premises=MappedRows(batches, _premises),
        digest=noted["digest"],
        source=noted["source"],
        num_repaired=noted["num_repaired"],
        num_unlabelled=noted["num_unlabelled"],
        problems=tuple(RowProblem(**problem) for problem in noted["problems"]),
    )


_Kind = Literal["text", "texts", "number", "numbers"]


@dataclass(frozen=True)
class _LabelColumns:
    """How labels of one kind stand in columns.

    Attributes:
        fields: names of the columns, with what a value of each is.
        columns: the values of each, of some labels.
        labels: the labels again, from a list of values a column.
    """

    fields: tuple[tuple[str, _Kind], ...]
    columns: Callable[[Sequence[Any]], list[list[Any]]]
    labels: Callable[..., Iterable[Label]]


_TEXT_FIELDS: tuple[tuple[str, _Kind], ...] = (
    ("id", "text"),
    ("premise", "text"),
    ("firsts", "texts"),
    ("seconds", "texts"),
)
_LABELS: Mapping[LabelLevel, _LabelColumns] = {
    "example": _LabelColumns((("label", "number"),), lambda labels: [list(labels)], lambda indices: indices),
    "row": _LabelColumns(
        (("answers", "texts"), ("starts", "numbers")),
        lambda labels: [[[text for text, _ in answers] for answers in labels], [[n for _, n in a] for a in labels]],
        lambda texts, starts: (tuple(zip(*answers, strict=True)) for answers in zip(texts, starts, strict=True)),
    ),
    "token": _LabelColumns(
        (("tags", "texts"),), lambda labels: [list(map(list, labels))], lambda tags: map(tuple, tags)
    ),
}


def _schema(labels: _LabelColumns) -> pa.Schema:
    import pyarrow as pa

    types = {"text": pa.string(), "texts": pa.list_(pa.string()), "number": pa.int64(), "numbers": pa.list_(pa.int64())}
    return pa.schema([pa.field(name, types[kind]) for name, kind in (*_TEXT_FIELDS, *labels.fields)])


def _examples(labels: _LabelColumns, batch: pa.RecordBatch) -> Iterator[Example]:
    ids, firsts, seconds = (batch.column(name).to_pylist() for name in ("id", "firsts", "seconds"))
    read = labels.labels(*(batch.column(name).to_pylist() for name, _ in labels.fields))
    for id, first, second, label in zip(ids, firsts, seconds, read, strict=True):
        yield Example(id, tuple(zip(first, second, strict=True)), label)


def _premises(batch: pa.RecordBatch) -> Iterator[str]:
    firsts = batch.column("firsts")
    for index, premise in enumerate(batch.column("premise").to_pylist()):
        yield firsts[index][0].as_py() if premise is None else premise
