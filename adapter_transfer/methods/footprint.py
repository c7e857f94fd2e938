"""What a method adds to an encoder: how many parameters, and which operations. One function a method. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adapter_transfer.backbones.encoder_tape import NOTHING, Insertion
from adapter_transfer.backbones.sizes import EncoderShape
from adapter_transfer.methods.insertions import (
    Bottlenecks,
    Interventions,
    KroneckerBottlenecks,
    LowRank,
    Prefixes,
    Scaling,
    Settings,
    adapted_places,
    bottleneck_size,
    has_norm,
)

Count = Callable[[Settings, EncoderShape], int]
"""(resolved settings, the encoder's sizes) → a number for one adapter, in all layers."""


def _none(settings: Settings, shape: EncoderShape) -> int:
    return 0


def _no_insertion(settings: Settings, trained: tuple[bool, ...]) -> Insertion:
    return NOTHING


@dataclass(frozen=True)
class Footprint:
    """What one adapter of a method takes.

    Attributes:
        parameters: of one adapter.
        fixed: numbers (fp32) that it keeps beside its parameters and that never train.
        insertion: (resolved settings, of each adapter whether it trains) → what they do in a forward pass.
    """

    parameters: Count = _none
    fixed: Count = _none
    insertion: Callable[[Settings, tuple[bool, ...]], Insertion] = _no_insertion


NO_FOOTPRINT = Footprint()
"""Full fine-tuning adds nothing."""


def _bottleneck(settings: Settings, shape: EncoderShape) -> int:
    """Two matrices of D×b, two biases, and the two vectors of a norm of its own, if it has one."""
    size, narrow = shape.hidden_size, bottleneck_size(settings, shape.hidden_size)
    return 2 * size * narrow + narrow + size + (2 * size if has_norm(settings) else 0)


def _one_bottleneck(settings: Settings, shape: EncoderShape) -> int:
    return shape.num_layers * _bottleneck(settings, shape)


def _two_bottlenecks(settings: Settings, shape: EncoderShape) -> int:
    return 2 * shape.num_layers * _bottleneck(settings, shape)


def _compacter(settings: Settings, shape: EncoderShape) -> int:
    """Factors of rank r of every matrix's second factor, biases, and n first factors of n×n that all layers share."""
    size, narrow = shape.hidden_size, bottleneck_size(settings, shape.hidden_size)
    each = 2 * settings["phm_rank"] * (size + narrow) + narrow + size + (2 * size if has_norm(settings) else 0)
    return int(2 * shape.num_layers * each + settings["phm_dim"] ** 3)


def _low_rank(settings: Settings, shape: EncoderShape) -> int:
    """A: r×in and B: out×r for each place."""
    return int(shape.num_layers * settings["r"] * sum(sum(shape.linear_size(p)) for p in adapted_places(settings)))


def _vectors(settings: Settings, shape: EncoderShape) -> int:
    """A number for each output of each place."""
    return sum(shape.num_layers * shape.linear_size(place)[1] for place in adapted_places(settings))


def _low_rank_with_magnitude(settings: Settings, shape: EncoderShape) -> int:
    return _low_rank(settings, shape) + _vectors(settings, shape)


def _prefix(settings: Settings, shape: EncoderShape) -> int:
    """Keys and values themselves, or tokens and the network of two layers that makes them."""
    size, length = shape.hidden_size, settings["prefix_length"]
    width = 2 * shape.num_layers * size
    if settings["flat"]:
        return int(length * width)
    narrow = settings["bottleneck_size"]
    return int(length * size + (size * narrow + narrow) + (narrow * width + width))


def _intervention(settings: Settings, shape: EncoderShape) -> int:
    """A source of D×r with bias, and r orthogonal rows as reflections."""
    return int(shape.num_layers * settings["r"] * (2 * shape.hidden_size + 1))


def _orthogonal_bases(settings: Settings, shape: EncoderShape) -> int:
    """Torch keeps a D×D matrix beside the reflections, which say how the rows differ from its own."""
    return shape.num_layers * shape.hidden_size**2


SEQ_BN = Footprint(
    _one_bottleneck, insertion=lambda s, trained: Bottlenecks(s, trained, ("feed_forward",), is_normed_first=True)
)
DOUBLE_SEQ_BN = Footprint(
    _two_bottlenecks, insertion=lambda s, trained: Bottlenecks(s, trained, ("attention", "feed_forward"))
)
PAR_BN = Footprint(
    _one_bottleneck, insertion=lambda s, trained: Bottlenecks(s, trained, ("feed_forward",), is_parallel=True)
)
COMPACTER = Footprint(
    _compacter, insertion=lambda s, trained: KroneckerBottlenecks(s, trained, ("attention", "feed_forward"))
)
LORA = Footprint(_low_rank, insertion=LowRank)
DORA = Footprint(_low_rank_with_magnitude, insertion=lambda s, trained: LowRank(s, trained, has_magnitude=True))
IA3 = Footprint(_vectors, insertion=Scaling)
PREFIX = Footprint(_prefix, insertion=Prefixes)
REFT = Footprint(_intervention, _orthogonal_bases, Interventions)
