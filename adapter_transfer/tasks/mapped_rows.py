"""Sequences that are not in memory: rows of an Arrow file that are decoded when they are asked for. Owns pyarrow's IPC.

A file holds batches of `BATCH_ROWS` rows each, the last of what is left, and is mapped into memory: the pages that are
read stand in the system's cache, and it takes them back when it needs the room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Self, TypeVar, overload

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1024

T = TypeVar("T")
S = TypeVar("S")


def open_batches(path: Path) -> list[pa.RecordBatch]:
    """The batches of an Arrow file, mapped into memory; none of their values is read.

    Raises:
        OSError, pyarrow.ArrowInvalid: if it is no whole Arrow file.
    """
    # Loads slowly, and is needed for large splits only.
    import pyarrow as pa

    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return [reader.get_batch(index) for index in range(reader.num_record_batches)]


class MappedRows(Sequence[T], Generic[T]):
    """Rows of an Arrow file, or every n-th of some of them.

    Its length is known, an index costs some 0.1 ms wherever it points, and a slice (with a step, too) is another such
    sequence that reads nothing. Whoever reads all of it does best to iterate: that decodes batch by batch.

    Args:
        batches: of `open_batches`; the sequence keeps the file mapped.
        decode: what the rows of a batch, or of a piece of it, are.
        indices: which rows; None is all.
    """

    def __init__(
        self,
        batches: Sequence[pa.RecordBatch],
        decode: Callable[[pa.RecordBatch], Iterable[T]],
        indices: range | None = None,
    ) -> None:
        self._batches, self._decode = batches, decode
        self._indices = range(sum(batch.num_rows for batch in batches)) if indices is None else indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> T | Self:
        if isinstance(index, slice):
            return type(self)(self._batches, self._decode, self._indices[index])
        batch, row = divmod(self._indices[index], BATCH_ROWS)
        return next(iter(self._decode(self._batches[batch].slice(row, 1))))

    def __iter__(self) -> Iterator[T]:
        if self._indices.step != 1:
            yield from (self[index] for index in range(len(self)))
            return
        first, behind = self._indices.start, self._indices.stop
        while first < behind:
            batch, row = divmod(first, BATCH_ROWS)
            piece = self._batches[batch].slice(row, behind - first)
            yield from self._decode(piece)
            first += piece.num_rows


class View(Sequence[T], Generic[S, T]):
    """What a function makes of each element of a sequence, when it is asked for."""

    def __init__(self, elements: Sequence[S], of: Callable[[S], T]) -> None:
        self._elements, self._of = elements, of

    def __len__(self) -> int:
        return len(self._elements)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> T | Self:
        if isinstance(index, slice):
            return type(self)(self._elements[index], self._of)
        return self._of(self._elements[index])

    def __iter__(self) -> Iterator[T]:
        return map(self._of, self._elements)
