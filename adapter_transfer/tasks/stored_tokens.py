"""Tokens on disk: a large split is tokenized once, piece by piece, and mapped into memory from then on.

An entry holds the arrays of `EncodedExamples`, each end to end in one Arrow file, so that they are used where they lie.
What is said of single examples (ids, references) is read from the examples themselves when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from adapter_transfer.canonical import digest
from adapter_transfer.durable import JSONObject, storage_errors
from adapter_transfer.tasks.cache_entries import code_digest, find_entry, new_entry, publish_entry
from adapter_transfer.tasks.encoding import concatenate
from adapter_transfer.tasks.formats import Cutting, EncodedExamples, Example, Format, LabelLevel, Tokenizer
from adapter_transfer.tasks.mapped_rows import View, open_batches
from adapter_transfer.tasks.stored_examples import LARGE_SPLIT
from adapter_transfer.tasks.task import ExampleSet

_EXAMPLES_AT_ONCE = 512
"""A tokenizer's own record of a row that it cut takes a quarter of a megabyte."""
_FILE = "tokens.arrow"
_DTYPES = {"tokens": np.int32, "token_types": np.uint8, "places": np.int32}
_BOUNDS = ("offsets", "first_rows")


@dataclass(frozen=True)
class TokenCache:
    """Where the tokens of large splits are kept.

    Attributes:
        folder: that holds the entries; made when the first is.
        on_examples: told the task, how many examples of it have been tokenized, and how many there are.
        most_in_memory: examples of a split that is not kept here.
    """

    folder: Path
    on_examples: Callable[[str, int, int], None] = field(default=lambda task, done, total: None, repr=False)
    most_in_memory: int = LARGE_SPLIT

    def encode(
        self, examples: ExampleSet, format: Format, tokenizer: Tokenizer, cutting: Cutting, tokenizer_digest: str
    ) -> EncodedExamples:
        """Token ids of every row of a split; of a large one from the cache if it is there, and into it if not.

        Args:
            tokenizer_digest: of whatever the tokenizer depends on.

        Raises:
            StoreError: if the disk cannot be written.
        """
        if len(examples.examples) <= self.most_in_memory:
            pieces = _pieces(examples.examples)
            return concatenate([format.encode(piece, examples.language, tokenizer, cutting) for piece in pieces])
        asked = [examples.digest, len(examples.examples), repr(format), tokenizer_digest]
        key = digest(["tokens", code_digest(), *asked, cutting.max_length, cutting.doc_stride])
        noted = find_entry(self.folder / key)
        if noted is None:
            noted = self._make(self.folder / key, examples, format, tokenizer, cutting)
        return _open(self.folder / key, noted, examples, format)

    def _make(
        self, folder: Path, examples: ExampleSet, format: Format, tokenizer: Tokenizer, cutting: Cutting
    ) -> JSONObject:
        total = len(examples.examples)
        self.on_examples(examples.task, 0, total)
        with new_entry(folder) as temporary:
            with _Columns(temporary) as columns:
                num_done = 0
                for part in _pieces(examples.examples):
                    columns.add(format.encode(part, examples.language, tokenizer, cutting))
                    num_done += len(part)
                    self.on_examples(examples.task, num_done, total)
            columns.join(temporary / _FILE)
            said = {"num_truncated": columns.num_truncated, "widths": columns.widths}
            return publish_entry(temporary, folder, said)


def _pieces(examples: Iterable[Example]) -> Iterator[list[Example]]:
    remaining = iter(examples)
    while piece := list(islice(remaining, _EXAMPLES_AT_ONCE)):
        yield piece


class _Columns:
    """A file for each array, which pieces are added to; a context, after which they are joined."""

    def __init__(self, folder: Path) -> None:
        self.num_truncated = 0
        self.widths: dict[str, int | None] = {}
        self._folder, self._stack = folder, ExitStack()
        self._files: dict[str, BinaryIO] = {}
        self._ends = dict.fromkeys(_BOUNDS, 0)

    def __enter__(self) -> _Columns:
        return self

    def __exit__(self, *exception: object) -> None:
        with storage_errors("write", self._folder):
            self._stack.close()

    def add(self, piece: EncodedExamples) -> None:
        arrays: dict[str, npt.NDArray[Any] | None] = {
            name: getattr(piece, name) for name in ("tokens", "labels", "token_types", "places")
        }
        for name in _BOUNDS:
            bounds = getattr(piece, name)
            # Of bounds that stand one behind the other, only the very first begins with a 0.
            arrays[name] = bounds[0 if name not in self._files else 1 :] + self._ends[name]
            self._ends[name] += int(bounds[-1])
        with storage_errors("write", self._folder):
            for name, values in arrays.items():
                if values is not None:
                    self._file(name, values).write(np.ascontiguousarray(values, _DTYPES.get(name, np.int64)).data)
        self.num_truncated += piece.num_truncated

    def join(self, path: Path) -> None:
        """Writes all of them to one Arrow file, each as the single value of a column of lists."""
        arrays = {}
        with storage_errors("write", path):
            for name in self._files:
                raw = self._folder / name
                dtype = np.dtype(_DTYPES.get(name, np.int64))
                values = pa.Array.from_buffers(
                    pa.from_numpy_dtype(dtype),
                    raw.stat().st_size // dtype.itemsize,
                    [None, pa.memory_map(str(raw)).read_buffer()],
                )
                arrays[name] = pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values)
            batch = pa.RecordBatch.from_pydict(arrays)
            with pa.ipc.new_file(str(path), batch.schema) as writer:
                writer.write_batch(batch)
            for name in self._files:
                (self._folder / name).unlink()

    def _file(self, name: str, values: npt.NDArray[Any]) -> BinaryIO:
        if name not in self._files:
            self._files[name] = self._stack.enter_context((self._folder / name).open("wb"))
            self.widths[name] = values.shape[1] if values.ndim > 1 else None
        return self._files[name]


def _open(folder: Path, noted: JSONObject, examples: ExampleSet, format: Format) -> EncodedExamples:
    """The tokens of a whole entry, mapped: nothing is copied, and nothing can be written."""
    (batch,) = open_batches(folder / _FILE)
    arrays = {}
    for name, width in noted["widths"].items():
        values = batch.column(name).values.to_numpy(zero_copy_only=True)
        arrays[name] = values if width is None else values.reshape(-1, width)
    reference = _REFERENCES[format.label_level]
    return EncodedExamples(
        **arrays,
        ids=View(examples.examples, lambda example: example.id),
        languages=(examples.language,) * len(examples.examples),
        format=format,
        num_truncated=noted["num_truncated"],
        references=() if reference is None else View(examples.examples, reference),
    )


_REFERENCES: Mapping[LabelLevel, Callable[[Example], Any] | None] = {
    # As the formats themselves have it (see `windows`).
    "example": None,
    "row": lambda example: (example.rows[0][1], example.label),
    "token": lambda example: example.label,
}
