"""When the tensors of a tape come and go: how much memory a forward and a backward pass take at their most. No torch.

A tensor lives until its last reader has run, or until the backward pass has come by what saved it. Gradients of
activations live from the operation that makes them to the one that reads them; gradients of weights stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from adapter_transfer.backbones.tape import Operation, Storage, Tape, Tensor, Weight

GradientFate = Literal["kept", "added", "used"]
"""What becomes of a weight's gradient: it is kept for the step; it is added to what earlier micro-batches left; or it
is used at once and freed."""


@dataclass(frozen=True)
class Peaks:
    """Bytes beyond what is there before and after (weights, optimizer).

    Attributes:
        saved: for the backward pass, when the forward pass has ended.
        forward: at most, while the forward pass runs.
        backward: at most, while the backward pass runs: what is still saved, and gradients (those of weights as far as
            they have been made and stay).
        gradients: of all weights.
        largest_gradient: of one operation's weights.
    """

    saved: int
    forward: int
    backward: int
    gradients: int
    largest_gradient: int


def measure(
    tape: Tape,
    *,
    fate: GradientFate = "kept",
    update_scratch: Callable[[Weight], int] = lambda weight: 0,
    segments: Sequence[int] = (),
) -> Peaks:
    """Runs a tape forward and backward.

    Args:
        update_scratch: bytes that come and go where a weight is updated at once (`used`).
        segments: numbers of the operations at which checkpointed parts (layers) begin, and of the one after the last;
            of these, only what they are given is saved, and the rest computed again (Chen et al. 2016, arXiv
            1604.06174). Empty where there is no checkpointing.
    """
    memory = _Memory()
    runs = _last_reads(tape)
    _forward(tape, memory, runs, segments)
    saved, forward = memory.current, memory.peak
    memory.peak = 0
    backward = _Backward(memory, fate, update_scratch)
    if tape.keeps_grad:
        operations = tape.operations
        if segments:
            backward.over(operations[segments[-1] :])
            for start, end in zip(reversed(segments[:-1]), reversed(segments[1:]), strict=True):
                _recompute(operations[start:end], memory)
                backward.over(operations[start:end])
            backward.over(operations[: segments[0]])
        else:
            backward.over(operations)
    return Peaks(saved, forward, memory.peak, backward.made, backward.largest)


def recomputed(operations: Sequence[Operation]) -> Sequence[Operation]:
    """Those of a checkpointed segment that are computed again: none after what the backward pass needs last.

    (The early stop of torch's checkpointing. What an operation keeps of its inputs is noted before it computes.)
    """
    for number in range(len(operations), 0, -1):
        operation = operations[number - 1]
        if operation.saved:
            keeps_own = any(storage in operation.made for storage in operation.saved)
            return operations[: number if keeps_own else number - 1]
    return ()


@dataclass
class _Memory:
    """Bytes that are held, and the most there have been."""

    current: int = 0
    peak: int = 0
    holders: dict[Storage, int] = field(default_factory=dict)

    def hold(self, storage: Storage) -> None:
        count = self.holders.get(storage, 0)
        if not count:
            self.current += storage.num_bytes
        self.holders[storage] = count + 1

    def drop(self, storage: Storage) -> None:
        count = self.holders[storage]
        if count == 1:
            del self.holders[storage]
            self.current -= storage.num_bytes
        else:
            self.holders[storage] = count - 1

    def touch(self, scratch: int = 0) -> None:
        self.peak = max(self.peak, self.current + scratch)


def _last_reads(tape: Tape) -> list[list[Storage]]:
    """For each operation, the storages that nothing reads after it."""
    last: dict[Storage, int] = {}
    made: set[Storage] = set()
    for number, operation in enumerate(tape.operations):
        for storage in operation.made:
            last[storage] = number
            made.add(storage)
        for x in operation.inputs:
            last[x.storage] = number
    for storage in tape.kept_casts.values():
        last[storage] = len(tape.operations) - 1
    ends: list[list[Storage]] = [[] for _ in tape.operations]
    for storage, number in last.items():
        if storage in made:
            ends[number].append(storage)
    return ends


def _forward(tape: Tape, memory: _Memory, ends: list[list[Storage]], segments: Sequence[int]) -> None:
    inside = range(segments[0], segments[-1]) if segments else range(0)
    starts = frozenset(segments[:-1])
    for number, operation in enumerate(tape.operations):
        for storage in operation.made:
            memory.hold(storage)
        memory.touch(operation.scratch)
        if number in starts:
            memory.hold(operation.inputs[0].storage)  # what the segment is given
        if number not in inside:
            for storage in operation.saved:
                memory.hold(storage)
        for storage in ends[number]:
            memory.drop(storage)


def _recompute(operations: Sequence[Operation], memory: _Memory) -> None:
    """A segment's forward pass once more, saving what its operations save."""
    last: dict[Storage, int] = {}
    computed = len(recomputed(operations))
    for number, operation in enumerate(operations):
        last.update(dict.fromkeys(operation.made, number))
        last.update({x.storage: number for x in operation.inputs if x.storage in last})
    for number, operation in enumerate(operations):
        if number < computed:
            for storage in operation.made:
                memory.hold(storage)
            memory.touch(operation.scratch)
        for storage in operation.saved:
            memory.hold(storage)
        for storage in {*operation.made, *(x.storage for x in operation.inputs)}:
            if last.get(storage) == number and storage in memory.holders:
                memory.drop(storage)
    # Its input was held for it; from here on it is held by what saved it.
    memory.drop(operations[0].inputs[0].storage)


@dataclass
class _Backward:
    """The backward pass: gradients by the tensor that they are of."""

    memory: _Memory
    fate: GradientFate
    update_scratch: Callable[[Weight], int]
    gradients: dict[Tensor, Storage] = field(default_factory=dict)
    made: int = 0
    largest: int = 0

    def over(self, operations: Sequence[Operation]) -> None:
        for operation in reversed(operations):
            if operation.output.needs_grad:
                self._step(operation)

    def _step(self, operation: Operation) -> None:
        memory = self.memory
        given = self.gradients.pop(operation.output, None)
        passing: list[Storage] = []
        for x in operation.inputs:
            if not x.needs_grad:
                continue
            is_same = operation.shares_gradient and given is not None and given.num_bytes == x.num_bytes
            gradient = given if is_same and given is not None else Storage(x.num_bytes)
            memory.hold(gradient)
            if x in self.gradients:
                passing.append(gradient)  # added to what is there
            else:
                self.gradients[x] = gradient
        of_weights = sum(weight.numel * weight.width for weight in operation.weights)
        scratch = operation.scratch_backward
        if self.fate == "kept":
            memory.current += of_weights
        elif operation.weights:
            updating = max(map(self.update_scratch, operation.weights)) if self.fate == "used" else 0
            scratch = max(scratch + of_weights, of_weights + updating)
        memory.touch(scratch)
        for gradient in passing:
            memory.drop(gradient)
        for storage in operation.saved:
            memory.drop(storage)
        if given is not None:
            memory.drop(given)
        self.made += of_weights
        self.largest = max(self.largest, of_weights)
