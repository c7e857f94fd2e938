"""A forward pass without numbers: which tensors there are, what autograd keeps of them, and when each one goes.

Memory and arithmetic of a model follow from the operations it is made of. This module says what one operation makes,
what torch's autograd saves for it, which copies autocast makes on its way, and how many floating-point operations it
is; `encoder_tape` says which operations an encoder is made of, and methods add their own. Nothing is fitted: each rule
is torch's (2.13; `tools/autograd/derivatives.yaml` and `aten/src/ATen/autocast_mode.h` there), and tests compare it
with the tensors that real small models save. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Device = Literal["cpu", "cuda"]
Activation = Literal["gelu", "relu", "tanh", "swish", "leakyrelu", "log_softmax"]

FULL, HALF, INDEX, FLAG = 4, 2, 8, 1
"""Bytes of a number: fp32; bf16 or fp16; int64; bool."""

_KEEPS_ITS_RESULT = ("relu", "tanh", "log_softmax")
"""Activations whose derivative is a function of what they give out, not of what they are given."""


class Storage:
    """Memory that one or more tensors are views of."""

    __slots__ = ("num_bytes",)

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes = num_bytes


class Tensor:
    """A tensor that a forward pass makes: its size, the bytes of a number, and whether a gradient flows to it."""

    __slots__ = ("needs_grad", "numel", "storage", "width")

    def __init__(self, numel: int, width: int, needs_grad: bool, storage: Storage | None = None) -> None:
        self.numel = numel
        self.width = width
        self.needs_grad = needs_grad
        self.storage = storage or Storage(numel * width)

    @property
    def num_bytes(self) -> int:
        return self.numel * self.width

    def view(self, numel: int | None = None) -> Tensor:
        """The same memory under another shape, or a part of it."""
        return Tensor(self.numel if numel is None else numel, self.width, self.needs_grad, self.storage)


@dataclass(frozen=True, eq=False, slots=True)
class Weight:
    """A parameter of the model.

    Attributes:
        width: bytes of a number, as it is kept (quantized ones: as they are computed with).
        trains: whether it gets a gradient.
        quantized_bits: of a number as it is kept, 4 or 8; None where it is kept as it is computed with. A quantized
            weight is turned into numbers for each product, forward and backward, and these are thrown away again.
        is_used_as_is: it enters products as the leaf that it is. Autocast keeps its copy of such a weight until the
            forward pass ends; of a transposed or computed one it makes a new copy for each product.
    """

    numel: int
    width: int = FULL
    trains: bool = False
    quantized_bits: int | None = None
    is_used_as_is: bool = True


@dataclass(frozen=True, eq=False, slots=True)
class Operation:
    """One step of the forward pass.

    Attributes:
        inputs: tensors that it reads and, where they need one, gives a gradient to.
        made: storages that exist from here on, the output's among them.
        saved: storages that autograd keeps until the backward pass has come by.
        weights: that get a gradient here.
        shares_gradient: its inputs' gradients are its output's, not copies.
        scratch: bytes that come and go, forward.
        scratch_backward: bytes that come and go, backward.
        flops: of products, forward; a multiplication and an addition are two. (The rest is a hundredth or less.)
        flops_backward: what the gradients that are needed take.
    """

    inputs: tuple[Tensor, ...]
    output: Tensor
    made: tuple[Storage, ...] = ()
    saved: tuple[Storage, ...] = ()
    weights: tuple[Weight, ...] = ()
    shares_gradient: bool = False
    scratch: int = 0
    scratch_backward: int = 0
    flops: float = 0.0
    flops_backward: float = 0.0


@dataclass
class Tape:
    """The operations of one forward pass, in order.

    Attributes:
        device: whose kernels run.
        is_half: products are computed in 16 bits under autocast.
        keeps_grad: False where no gradients are taken (an evaluation), so that nothing is saved.
        kept_casts: autocast's copies of weights, which stay until the forward pass ends, saved or not.
    """

    device: Device
    is_half: bool
    keeps_grad: bool = True
    operations: list[Operation] = field(default_factory=list)
    kept_casts: dict[Weight, Storage] = field(default_factory=dict)

    def tensor(self, numel: int, width: int = FULL) -> Tensor:
        """A tensor that is there from the start, such as token ids."""
        made = Tensor(numel, width, False)
        return self._record((), made, (made.storage,))

    def hold(self, *tensors: Tensor) -> None:
        """Says that a variable still names these tensors here, whoever has read them before."""
        self._record(tensors, Tensor(0, 0, False))

    def embedding(self, indices: Tensor, hidden_size: int, weight: Weight) -> Tensor:
        """Rows of a table; the indices are kept for the table's gradient."""
        output = self._output(indices.numel * hidden_size, weight.width, (), (weight,))
        return self._record((indices,), output, (output.storage,), (indices.storage,), (weight,))

    def leaf(self, weight: Weight) -> Tensor:
        """A parameter that is used as a tensor; its memory is counted among the weights."""
        output = Tensor(weight.numel, weight.width, self.keeps_grad and weight.trains, Storage(0))
        return self._record((), output, (), (), (weight,))

    def linear(self, x: Tensor, num_in: int, num_out: int, weight: Weight, bias: Weight | None = None) -> Tensor:
        """x·Wᵀ + b, (…, num_in) → (…, num_out). W's gradient needs x, and x's gradient needs W."""
        if weight.quantized_bits is not None:
            return self._quantized_linear(x, num_in, num_out, weight)
        read = self._to_half(x)
        copy, made = self._weight_copy(weight)
        if bias is not None:
            made += self._weight_copy(bias)[1]
        width = HALF if self.is_half else max(x.width, weight.width)
        output = self._output(x.numel // num_in * num_out, width, (x,), (weight, *((bias,) if bias else ())))
        saved = [read.storage] if weight.trains else []
        if copy is not None and x.needs_grad:
            saved.append(copy)
        flops = 2.0 * x.numel * num_out
        return self._record(
            (x,),
            output,
            (output.storage, *_copied(x, read), *made),
            saved,
            (weight, *((bias,) if bias else ())),
            # Gradients come in the product's width, and are widened after it.
            scratch_backward=(weight.numel * width if weight.trains and weight.width > width else 0)
            + (read.num_bytes if read is not x and x.needs_grad else 0),
            flops=flops,
            flops_backward=flops * (weight.trains + x.needs_grad),
        )

    def _quantized_linear(self, x: Tensor, num_in: int, num_out: int, weight: Weight) -> Tensor:
        """The layers of bitsandbytes 0.50: they give out what they are given, 16 or 32 bits, whatever they compute in.

        In 8 bits, what was given is kept, though nothing reads it. (As an attribute, which no hook on saved tensors
        shows; on the CPU such a layer trains by another function, which keeps it as well.)
        """
        read = self._to_half(x) if weight.quantized_bits == 4 else x
        output = self._output(x.numel // num_in * num_out, x.width, (x,))
        computed = Tensor(output.numel, read.width, False) if read is not x else output
        saved = (x.storage,) if weight.quantized_bits == 8 and x.needs_grad else ()
        numbers = weight.numel * read.width
        flops = 2.0 * x.numel * num_out
        return self._record(
            (x,),
            output,
            (output.storage, *_copied(x, read), *_copied(output, computed)),
            saved,
            scratch=numbers,
            scratch_backward=numbers,
            flops=flops,
            flops_backward=flops,
        )

    def product(self, x: Tensor, y: Tensor, numel: int, flops: float) -> Tensor:
        """A product of two computed tensors; each one's gradient needs the other."""
        reads = self._to_half(x), self._to_half(y)
        output = self._output(numel, max(read.width for read in reads), (x, y))
        saved = [read.storage for read, other in zip(reads, (y, x), strict=True) if other.needs_grad]
        return self._record(
            (x, y),
            output,
            (output.storage, *_copied(x, reads[0]), *_copied(y, reads[1])),
            saved,
            flops=flops,
            flops_backward=flops * (x.needs_grad + y.needs_grad),
        )

    def norm(self, x: Tensor, hidden_size: int, weight: Weight, bias: Weight) -> Tensor:
        """Layer norm: its input is kept, with mean and deviation of each row."""
        # Under autocast it is computed in fp32 on a GPU, and on the CPU as the input is.
        is_widened = self.is_half and self.device == "cuda" and x.width != FULL
        read = Tensor(x.numel, FULL, x.needs_grad) if is_widened else x
        statistics = Storage(2 * (x.numel // hidden_size) * read.width)
        output = self._output(x.numel, read.width, (x,), (weight, bias))
        made = (output.storage, statistics, *_copied(x, read))
        return self._record((x,), output, made, (read.storage, statistics), (weight, bias))

    def dropout(self, x: Tensor, probability: float) -> Tensor:
        """Dropout keeps its mask: a flag for each number on a GPU, the factors themselves on the CPU."""
        if not self.keeps_grad or probability == 0:
            return x
        output = self._output(x.numel, x.width, (x,))
        mask = Storage(x.numel * (FLAG if self.device == "cuda" else x.width))
        return self._record((x,), output, (output.storage, mask), (mask,))

    def activation(self, x: Tensor, kind: Activation) -> Tensor:
        """A function of each number (a log-softmax too, which has one of each row's numbers)."""
        output = self._output(x.numel, x.width, (x,))
        kept = output if kind in _KEEPS_ITS_RESULT else x
        return self._record((x,), output, (output.storage,), (kept.storage,))

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """A sum, as wide as the wider of the two."""
        output = self._output(max(x.numel, y.numel), max(x.width, y.width), (x, y))
        return self._record((x, y), output, (output.storage,), shares_gradient=True)

    def add_in_place(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum in the memory of `x`."""
        output = Tensor(x.numel, x.width, self.keeps_grad and (x.needs_grad or y.needs_grad), x.storage)
        return self._record((x, y), output, shares_gradient=True)

    def new(
        self, *inputs: Tensor, numel: int | None = None, width: int | None = None, kept: Iterable[Storage] = ()
    ) -> Tensor:
        """Something new of the same numbers: times a constant, joined, repeated, moved to other places.

        Args:
            kept: storages that autograd keeps for it, such as indices.
        """
        numel = sum(x.numel for x in inputs) if numel is None else numel
        output = self._output(numel, width or max(x.width for x in inputs), inputs)
        return self._record(inputs, output, (output.storage,), kept)

    def scaled(self, x: Tensor, factor: Tensor) -> Tensor:
        """A product with a smaller tensor that is broadcast; each one's gradient needs the other."""
        output = self._output(x.numel, max(x.width, factor.width), (x, factor))
        saved = [s for s, other in ((x.storage, factor), (factor.storage, x)) if other.needs_grad]
        # The factor's gradient is as large as x before it is summed up.
        wide = output.num_bytes if factor.needs_grad else 0
        return self._record((x, factor), output, (output.storage,), saved, scratch_backward=wide)

    def attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        rows: int,
        heads: int,
        length: int,
        num_keys: int,
        probability: float,
        is_heads_first: bool,
    ) -> Tensor:
        """softmax(QKᵀ)V, (B, T, D) from (B, K, D), by the kernel that torch's `scaled_dot_product_attention` takes.

        The CPU has a fused kernel where there is no dropout; with it, every weight of the attention is there, three
        times. A GPU takes its memory-efficient kernel for both (Rabe and Staats 2021, arXiv 2112.05682), which computes
        the weights again in the backward pass.

        Args:
            is_heads_first: how the inputs lie in memory.
        """
        given = (query, key, value)
        inputs = tuple(self._to_half(x) for x in given)
        casts = [storage for x, y in zip(given, inputs, strict=True) for storage in _copied(x, y)]
        output = self._output(query.numel, inputs[0].width, inputs)
        num_weights = rows * heads * length * num_keys
        flops = 4.0 * query.numel * num_keys
        is_fused = self.device == "cuda" or probability == 0 or not self.keeps_grad
        if is_fused:
            sums = Storage(rows * heads * length * FULL)  # of each row of weights
            # The CPU's kernel gives out what it is given: with the heads first, what goes on is a copy.
            mixed = (Storage(output.num_bytes),) if is_heads_first and self.device == "cpu" else ()
            made = (output.storage, *mixed, sums, *casts)
            saved = (*(x.storage for x in inputs), *(mixed or (output.storage,)), sums)
            scratch, backward = 0, 2.5
        else:
            # In fp32, whatever the inputs are: Q, K and V with the heads before the tokens; the weights, the mask and
            # their product.
            copies = [Storage(x.numel * FULL) for x in inputs]
            weights, mask, masked = (Storage(num_weights * FULL) for _ in range(3))
            made = (output.storage, *copies, weights, mask, masked)
            needs_query, needs_key, needs_value = (x.needs_grad for x in inputs)
            # Each factor of a product is kept where the other one's gradient is asked for.
            asked = ((copies[0], needs_key), (copies[1], needs_query), (masked, needs_value))
            saved = tuple(storage for storage, is_asked in asked if is_asked)
            if needs_query or needs_key:
                saved += (weights, mask, copies[2])
            scratch, backward = num_weights * FULL, 2.0
        return self._record(
            given,
            output,
            made,
            saved,
            scratch=scratch,
            scratch_backward=2 * scratch,
            flops=flops,
            flops_backward=backward * flops,
        )

    def _output(self, numel: int, width: int, inputs: Iterable[Tensor], weights: Iterable[Weight] = ()) -> Tensor:
        needs_grad = any(x.needs_grad for x in inputs) or any(weight.trains for weight in weights)
        return Tensor(numel, width, self.keeps_grad and needs_grad)

    def _record(
        self,
        inputs: tuple[Tensor, ...],
        output: Tensor,
        made: tuple[Storage, ...] = (),
        saved: Iterable[Storage] = (),
        weights: tuple[Weight, ...] = (),
        *,
        scratch: int = 0,
        scratch_backward: int = 0,
        flops: float = 0.0,
        flops_backward: float = 0.0,
        shares_gradient: bool = False,
    ) -> Tensor:
        """Writes an operation down; one that no gradient comes back to keeps nothing."""
        if not output.needs_grad:
            saved, weights, flops_backward = (), (), 0.0
        self.operations.append(
            Operation(
                inputs,
                output,
                made,
                tuple(saved),
                tuple(weight for weight in weights if weight.trains),
                shares_gradient,
                scratch,
                scratch_backward,
                flops,
                flops_backward,
            )
        )
        return output

    def _to_half(self, x: Tensor) -> Tensor:
        """What a product under autocast reads: a copy in 16 bits, where `x` has more."""
        return Tensor(x.numel, HALF, x.needs_grad) if self.is_half and x.width == FULL else x

    def _weight_copy(self, weight: Weight) -> tuple[Storage | None, tuple[Storage, ...]]:
        """Autocast's copy of a weight in 16 bits: (the copy, or None where there is none; what is new of it)."""
        if not self.is_half or weight.width == HALF:
            return None, ()
        if not (weight.is_used_as_is and weight.trains and self.keeps_grad):
            copy = Storage(weight.numel * HALF)
            return copy, (copy,)
        if weight in self.kept_casts:
            return self.kept_casts[weight], ()
        copy = self.kept_casts[weight] = Storage(weight.numel * HALF)
        return copy, (copy,)


def _copied(given: Tensor, read: Tensor) -> tuple[Storage, ...]:
    return () if read is given else (read.storage,)
