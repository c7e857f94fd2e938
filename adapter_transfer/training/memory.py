"""How much memory a phase takes, by arithmetic: what lies where, byte by byte, before anything is loaded. No torch.

Weights, gradients and moments follow from the parameters; activations and what comes and goes from the operations that
a step is made of (`backbones.tape`). There is no fitted constant. What is left out: what loading takes for a moment,
Python and its libraries (named as headroom), and the tokens themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter_transfer.backbones.encoder_tape import CHOICE_HEAD, BodyWeights, HeadShape, Pass, record_encoder
from adapter_transfer.backbones.lifetimes import GradientFate, Peaks, measure
from adapter_transfer.backbones.sizes import EncoderShape, count_parameters
from adapter_transfer.backbones.tape import FULL, HALF, Device, Tape, Weight
from adapter_transfer.backbones.zoo import QUANTIZED, Precision
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.training.settings import TrainingSettings

_HALVES: frozenset[Precision] = frozenset({"bf16", "fp16"})
_QUANTIZED_BITS: Mapping[Precision, int] = {"int8": 8, "nf4": 4}
_NF4_BLOCK = 64
"""Numbers that share an fp32 scale (Dettmers et al. 2023, arXiv 2305.14314, section 3, without double quantization)."""

_MOMENTS = 2
_MOMENT_BLOCK = 256
"""Numbers of an 8-bit moment that share an fp32 scale (Dettmers et al. 2022, arXiv 2110.02861; bitsandbytes 0.50)."""
_SMALLEST_8BIT = 4096
"""Entries from which on bitsandbytes keeps a parameter's moments in 8 bits."""
_SMALLEST_PAGED = 100_000
"""Entries from which on bitsandbytes keeps them in pages."""
_CPU_TEMPORARIES = 6
"""fp32 copies of a parameter that bitsandbytes' update on the CPU makes: moments, gradient, weights, products."""

MIB = 2**20
CUDA_CONTEXT_BYTES = 512 * MIB
"""What a process takes on a card before its first tensor: driver, kernels, libraries' workspaces (about 0.5 GiB)."""
FRAGMENTATION_SHARE = 0.05
"""Of the peak: what torch's allocator holds in pieces that fit nothing. A margin, not an estimate."""
LIBRARIES_BYTES = 512 * MIB
"""Resident memory of a process that has imported torch, transformers and adapters, and used them (measured: 0.45)."""


@dataclass(frozen=True)
class Workload:
    """One phase on one device, as far as memory and arithmetic depend on it.

    Attributes:
        fields: of the encoder's `config.json`, `vocab_size` being the rows that its table has in memory.
        precision: of the run.
        method: its name.
        method_settings: resolved, defaults included.
        training: hyper-parameters of the phase (of an evaluation: whatever the run has; only `dropout` is not used).
        rows: B, rows of the largest micro-batch.
        length: T, tokens of its longest row, to which the others are padded.
        num_adapters: that are active at the same time: 2 in a stack or a sum.
        num_trained_adapters: of these, the upper ones; 0 only in an evaluation.
        accumulates: a step has several micro-batches, so that gradients lie there while the next one runs forward.
        device: where it runs.
        is_training: False for an evaluation.
        head: that answers.
        other_heads: of a mixture's other tasks. They are there and have moments, but no gradients while this one works.
    """

    fields: Mapping[str, Any]
    precision: Precision
    method: str
    method_settings: Mapping[str, Any]
    training: TrainingSettings
    rows: int
    length: int
    num_adapters: int = 1
    num_trained_adapters: int = 1
    accumulates: bool = False
    device: Device = "cuda"
    is_training: bool = True
    head: HeadShape = CHOICE_HEAD
    other_heads: tuple[HeadShape, ...] = ()

    @property
    def is_full(self) -> bool:
        return METHODS[self.method].kind == "full"

    @property
    def shape(self) -> EncoderShape:
        return EncoderShape.of(self.fields, self.training.dropout)

    @property
    def is_half(self) -> bool:
        """Whether products are computed in 16 bits, as `backbones.precision.compute_dtype` has it."""
        return self.precision in _HALVES or (self.precision in QUANTIZED and self.device == "cuda")

    @property
    def body(self) -> BodyWeights:
        """How the encoder's weights are kept, as `backbones.precision.weights_dtype` has it."""
        if self.is_full and self.is_training:
            width = HALF if self.training.master_weights == "bf16" else FULL
            return BodyWeights(width, trains=True)
        is_wide = not self.is_half or (self.is_full and self.training.master_weights == "fp32")
        bits = _QUANTIZED_BITS.get(self.precision)
        return BodyWeights(FULL if is_wide else HALF, trains=False, quantized_bits=bits)


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a phase takes on its device.

    Attributes:
        weights: encoder, adapters and heads.
        gradients: of weights, at their most.
        optimizer: its moments, without those in pages.
        activations: what the backward pass needs of the forward pass, at its most; in an evaluation, of one layer.
        workspace: what comes and goes within one operation, as far as it adds to the peak.
        peak: the largest sum of these that exists at one time; less than all of them where gradients come as
            activations go.
        headroom: what the device needs beyond, by name.
        host: bytes in the computer's own memory where the device is a card: moments in pages (as far as the card does
            not hold them), and the best weights so far.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    workspace: int
    peak: int
    headroom: Mapping[str, int] = field(default_factory=dict)
    host: int = 0

    @property
    def total(self) -> int:
        """What the device must have."""
        return self.peak + sum(self.headroom.values())


def largest_micro_batch(
    *, length: int, rows_each: int, batch_size: int, token_budget: int | None, largest_example: int = 1
) -> tuple[int, int]:
    """Rows and tokens a row, (B, T), of the largest micro-batch that `batching.micro_batches` can make.

    Args:
        length: tokens of the longest row there is.
        rows_each: rows of one example, which stay together in training; 1 in evaluation, and where examples differ.
        batch_size: examples of one step; rows of it, where examples differ; in evaluation, rows in all.
        token_budget: None where a step is not cut (`TrainingSettings.updates_in_backward`).
        largest_example: rows of the largest example, where they differ: they are never parted.
    """
    fitting = batch_size if token_budget is None else token_budget // (rows_each * length)
    examples = max(1, min(batch_size, fitting))
    return max(examples * rows_each, largest_example), length


def trained_parameters(workload: Workload) -> int:
    """Parameters that train, those of every head included."""
    if workload.is_full:
        return count_parameters(workload.fields).total + _head_parameters(workload)
    each = METHODS[workload.method].footprint.parameters(workload.method_settings, workload.shape)
    return workload.num_trained_adapters * each + _head_parameters(workload)


def _head_parameters(workload: Workload) -> int:
    """Of all heads."""
    size = workload.shape.hidden_size
    return sum(weight.numel for head in (workload.head, *workload.other_heads) for weight in head.weights(size))


def record_pass(workload: Workload) -> tuple[Tape, list[int]]:
    """The forward pass of the largest micro-batch, and the operations at which layers begin (and the last one ends)."""
    tape = Tape(workload.device, workload.is_half, keeps_grad=workload.is_training)
    run = Pass(tape, workload.shape, workload.body, workload.rows, workload.length)
    lower = workload.num_adapters - workload.num_trained_adapters
    trained = tuple(number >= lower for number in range(workload.num_adapters))
    insertion = METHODS[workload.method].footprint.insertion(workload.method_settings, trained)
    return tape, record_encoder(run, insertion, workload.head)


def estimate_memory(workload: Workload) -> MemoryEstimate:
    """Peak memory of the phase, in some milliseconds."""
    tape, layers = record_pass(workload)
    weights = _weight_bytes(workload)
    if not workload.is_training:
        peaks = measure(tape)
        return _estimate(workload, weights, 0, 0, 0, peaks.forward, weights + peaks.forward)
    training = workload.training
    used = {weight for operation in tape.operations for weight in operation.weights}
    idle = (weight for head in workload.other_heads for weight in head.weights(workload.shape.hidden_size))
    trained = (*used, *idle)
    moments, paged = _moment_bytes(workload, trained)
    peaks = measure(
        tape,
        fate=_fate(workload),
        update_scratch=lambda weight: _update_scratch(workload, weight),
        segments=layers if training.gradient_checkpointing else (),
    )
    updating = max((_update_scratch(workload, weight) for weight in trained), default=0)
    return _estimate(workload, weights, moments, paged, *_step(workload, peaks, weights + moments, updating))


def _step(workload: Workload, peaks: Peaks, standing: int, updating: int) -> tuple[int, int, int]:
    """Of one optimizer step: bytes of gradients, of activations, and the peak over forward, backward and update."""
    is_at_once = workload.training.updates_in_backward
    gradients = peaks.largest_gradient if is_at_once else peaks.gradients
    before = peaks.gradients if workload.accumulates and not is_at_once else 0
    during = max(peaks.forward, peaks.backward) + before
    update = 0 if is_at_once else peaks.gradients + updating
    return gradients, peaks.saved, standing + max(during, update)


def _fate(workload: Workload) -> GradientFate:
    if workload.training.updates_in_backward:
        return "used"
    return "added" if workload.accumulates else "kept"


def _estimate(
    workload: Workload, weights: int, moments: int, paged: int, gradients: int, activations: int, peak: int
) -> MemoryEstimate:
    standing = weights + moments
    is_added = workload.accumulates and not workload.training.updates_in_backward
    resting = gradients + activations if is_added else max(gradients, activations)
    best = 0
    if workload.is_training and workload.training.select == "best":
        best = trained_parameters(workload) * workload.body.width if workload.is_full else 0
    if workload.device == "cuda":
        headroom = {"CUDA context": CUDA_CONTEXT_BYTES, "fragmentation": int(FRAGMENTATION_SHARE * peak)}
        host = paged + best
    else:
        # What is freed in the C library's heap is often not found again by torch's aligned blocks (before glibc 2.38),
        # so that it grows by up to the size of what a step makes and frees.
        headroom = {"Python and libraries": LIBRARIES_BYTES, "best weights": best, "holes in the heap": activations}
        host = 0
    return MemoryEstimate(
        weights=weights,
        gradients=gradients,
        optimizer=moments,
        activations=activations,
        workspace=max(0, peak - standing - resting),
        peak=peak,
        headroom={name: size for name, size in headroom.items() if size},
        host=host,
    )


def _weight_bytes(workload: Workload) -> int:
    """Of the encoder, every adapter and head."""
    shape, body = workload.shape, workload.body
    encoder = count_parameters(workload.fields).total
    quantized = shape.linear_parameters if body.quantized_bits is not None else 0
    size = (encoder - quantized) * body.width
    if body.quantized_bits == 4:
        size += quantized // 2 + quantized // _NF4_BLOCK * FULL
    elif body.quantized_bits == 8:
        size += quantized
    if not workload.is_full:
        footprint, settings = METHODS[workload.method].footprint, workload.method_settings
        each = footprint.parameters(settings, shape) + footprint.fixed(settings, shape)
        size += workload.num_adapters * each * FULL
    return size + _head_parameters(workload) * FULL


def _moment_bytes(workload: Workload, trained: Iterable[Weight]) -> tuple[int, int]:
    """Of the optimizer's two moments: on the device, and in pages."""
    name = workload.training.optimizer
    on_device = paged = 0
    for weight in trained:
        is_table = workload.is_full and weight.numel == workload.shape.word_parameters
        is_small = weight.numel < _SMALLEST_8BIT
        if name.endswith("-8bit") and not is_table and not is_small:
            blocks = -(-weight.numel // _MOMENT_BLOCK)
            numbers, scales = _MOMENTS * weight.numel, _MOMENTS * blocks * FULL
        else:
            numbers, scales = _MOMENTS * weight.numel * FULL, 0
        if name.startswith("paged-") and workload.device == "cuda" and weight.numel >= _SMALLEST_PAGED:
            paged += numbers
            on_device += scales
        else:
            on_device += numbers + scales
    return on_device, paged


def _update_scratch(workload: Workload, weight: Weight) -> int:
    """Bytes that come and go while one parameter is moved."""
    scratch = 0
    if weight.width == HALF:
        scratch += 2 * weight.numel * FULL  # weights and gradient in fp32, for the time of their update
    is_table = workload.is_full and weight.numel == workload.shape.word_parameters
    name = workload.training.optimizer
    is_bitsandbytes = name.startswith("paged-") or (name.endswith("-8bit") and not is_table)
    if is_bitsandbytes and workload.device == "cpu":
        scratch += _CPU_TEMPORARIES * weight.numel * FULL
    return scratch
