"""What the adapters of each method do in a forward pass, as operations on a tape. No torch.

The order of operations is that of the adapters library (1.3.0: `methods/modeling.py`, `lora.py`, `prefix_tuning.py`,
`reft.py`), copies that it makes on its way included, since these are what memory is taken by. An insertion is made for
one tape and used once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter_transfer.backbones.encoder_tape import Block, NoInsertion, Pass, Place, norm
from adapter_transfer.backbones.tape import FULL, INDEX, Activation, Storage, Tensor, Weight

Settings = Mapping[str, Any]

_PLACE_OF_MATRIX: Mapping[str, Place] = {"q": "query", "k": "key", "v": "value"}


def bottleneck_size(settings: Settings, hidden_size: int) -> int:
    """Width of a bottleneck, as the library computes it."""
    return max(1, int(hidden_size // settings["reduction_factor"]))


def has_norm(settings: Settings) -> bool:
    """Whether a bottleneck norms what it is given by a norm of its own; left out of resolved settings, it does not."""
    return bool(settings.get("ln_before", False))


def adapted_places(settings: Settings) -> tuple[Place, ...]:
    """The linear layers of a block that LoRA and its kin act on."""
    places: list[Place] = [_PLACE_OF_MATRIX[name] for name in settings["attn_matrices"]]
    if settings["intermediate_lora"]:
        places.append("intermediate")
    if settings["output_lora"]:
        places.append("output")
    return tuple(places)


@dataclass(frozen=True)
class Bottlenecks(NoInsertion):
    """Bottlenecks at the end of half layers, one after the other.

    Attributes:
        trained: of each adapter, from the lowest up, whether it trains.
        blocks: after which half layers they stand.
        is_normed_first: what they are given is the block's sum, and (post-LN) normed, which is done once more after.
        is_parallel: they are given what the block is given.
    """

    settings: Settings
    trained: tuple[bool, ...]
    blocks: tuple[Block, ...]
    is_normed_first: bool = False
    is_parallel: bool = False

    def block(self, run: Pass, block: Block, hidden: Tensor, residual: Tensor) -> Tensor | None:
        if block not in self.blocks:
            return None
        tape, is_pre_norm = run.tape, run.shape.is_pre_norm
        output = hidden
        for trains in self.trained:
            given, beside = output, output
            if self.is_parallel:
                given = residual
            elif self.is_normed_first:
                given = tape.add(output, residual)
                if not is_pre_norm:
                    given = norm(run, given)
            if has_norm(self.settings):
                size = run.shape.hidden_size
                given = tape.norm(given, size, Weight(size, trains=trains), Weight(size, trains=trains))
            up = tape.new(self._projections(run, given, trains))  # times its scaling
            output = up if self.is_parallel else tape.add(up, beside)
        if self.is_parallel:
            output = tape.add(output, hidden)
        result = output if is_pre_norm else norm(run, tape.add(output, residual))
        tape.hold(hidden, up, output)
        return result

    def _projections(self, run: Pass, x: Tensor, trains: bool) -> Tensor:
        size = run.shape.hidden_size
        narrow = bottleneck_size(self.settings, size)
        activation: Activation = self.settings["non_linearity"]
        down = run.tape.linear(x, size, narrow, Weight(size * narrow, trains=trains), Weight(narrow, trains=trains))
        inner = run.tape.activation(down, activation)
        return run.tape.linear(inner, narrow, size, Weight(size * narrow, trains=trains), Weight(size, trains=trains))


@dataclass(frozen=True)
class KroneckerBottlenecks(Bottlenecks):
    """Bottlenecks whose matrices are made anew for each product."""

    def start(self, run: Pass) -> None:
        for trains in self.trained:  # the first factors, which all layers share
            run.tape.leaf(Weight(self.settings["phm_dim"] ** 3, trains=trains))

    def _projections(self, run: Pass, x: Tensor, trains: bool) -> Tensor:
        size = run.shape.hidden_size
        narrow = bottleneck_size(self.settings, size)
        inner = run.tape.activation(self._project(run, x, size, narrow, trains), self.settings["non_linearity"])
        return self._project(run, inner, narrow, size, trains)

    def _project(self, run: Pass, x: Tensor, num_in: int, num_out: int, trains: bool) -> Tensor:
        tape, parts, rank = run.tape, self.settings["phm_dim"], self.settings["phm_rank"]
        left = tape.leaf(Weight(num_in * rank, trains=trains))
        right = tape.leaf(Weight(rank * num_out, trains=trains))
        factor = tape.product(left, right, num_in * num_out // parts, 2.0 * rank * num_in * num_out / parts)
        # All Kronecker products beside each other, the same in the order of the matrix, and their sum.
        whole = parts * num_in * num_out
        spread = tape.new(factor, numel=whole, kept=(factor.storage,))
        matrix = tape.new(tape.new(spread, numel=whole), numel=num_in * num_out)
        y = tape.product(x, matrix, x.numel // num_in * num_out, 2.0 * x.numel * num_out)
        return tape.add_in_place(y, tape.leaf(Weight(num_out, trains=trains)))


@dataclass(frozen=True)
class LowRank(NoInsertion):
    """y + B·A·x at linear layers (LoRA), or its direction times a magnitude (DoRA)."""

    settings: Settings
    trained: tuple[bool, ...]
    has_magnitude: bool = False

    def projection(self, run: Pass, place: Place, x: Tensor, y: Tensor) -> Tensor:
        if place not in adapted_places(self.settings):
            return y
        tape, rank = run.tape, self.settings["r"]
        num_in, num_out = run.shape.linear_size(place)
        added = []
        for trains in self.trained:
            down = Weight(num_in * rank, trains=trains, is_used_as_is=False)
            up = Weight(rank * num_out, trains=trains, is_used_as_is=False)
            given = tape.dropout(x, self.settings["dropout"])
            inner = tape.product(given, tape.leaf(down), x.numel // num_in * rank, 2.0 * x.numel * rank)
            outer = tape.product(inner, tape.leaf(up), y.numel, 2.0 * y.numel * rank)
            added.append(tape.new(outer))  # times alpha / r
        total = added[0]
        if len(added) > 1:  # side by side, times their weights, and their mean
            total = tape.new(tape.new(tape.new(*added)), numel=y.numel)
        if self.has_magnitude:
            result = self._with_magnitude(run, num_in, num_out, tape.add(y, total))
        else:
            result = tape.add(y, tape.new(total))
        tape.hold(y, total)
        return result

    def _with_magnitude(self, run: Pass, num_in: int, num_out: int, y: Tensor) -> Tensor:
        """The norm of W + B·A is computed from the whole matrix, which is kept for its gradient."""
        tape, rank, trains = run.tape, self.settings["r"], self.trained[-1]
        # The same A and B as above: as what trains, they are counted there.
        update = Tensor(num_in * rank, FULL, tape.keeps_grad and trains, Storage(0))
        other = Tensor(rank * num_out, FULL, tape.keeps_grad and trains, Storage(0))
        whole = tape.product(update, other, num_in * num_out, 2.0 * rank * num_in * num_out)
        frozen = tape.leaf(run.weight(num_in * num_out, is_linear=True))
        adapted = tape.add(frozen, whole)
        length = tape.new(adapted, numel=num_out, kept=(adapted.storage,))
        magnitude = tape.leaf(Weight(num_out, trains=trains))
        return tape.scaled(y, tape.scaled(magnitude, length))


@dataclass(frozen=True)
class Scaling(NoInsertion):
    """y times a learned vector at linear layers (IA3), several of them multiplied."""

    settings: Settings
    trained: tuple[bool, ...]

    def projection(self, run: Pass, place: Place, x: Tensor, y: Tensor) -> Tensor:
        if place not in adapted_places(self.settings):
            return y
        tape, num_out = run.tape, run.shape.linear_size(place)[1]
        factor: Tensor | None = None
        for trains in self.trained:
            vector = tape.new(tape.leaf(Weight(num_out, trains=trains)), numel=run.rows * num_out)
            factor = tape.new(vector if factor is None else tape.scaled(factor, vector))
        assert factor is not None, "an assembly without adapters"
        return tape.scaled(y, tape.new(factor))


@dataclass(frozen=True)
class Prefixes(NoInsertion):
    """Keys and values before those of each layer's tokens."""

    settings: Settings
    trained: tuple[bool, ...]
    _made: list[Tensor] = field(default_factory=list)

    def start(self, run: Pass) -> None:
        for trains in self.trained:
            self._made.append(self._of_all_layers(run, trains))

    def keys(self, run: Pass, key: Tensor) -> tuple[Tensor, int]:
        length, size = self.settings["prefix_length"], run.shape.hidden_size
        num_keys = run.length
        for prefix in self._made:
            key = run.tape.new(prefix.view(run.rows * length * size), key)
            num_keys += length
        return key, num_keys

    def _of_all_layers(self, run: Pass, trains: bool) -> Tensor:
        tape, size, length = run.tape, run.shape.hidden_size, self.settings["prefix_length"]
        width = 2 * run.shape.num_layers * size
        if self.settings["flat"]:
            flat = tape.leaf(Weight(length * width, trains=trains)).view(run.rows * length * width)
            return tape.dropout(flat, self.settings["dropout"])
        narrow = self.settings["bottleneck_size"]
        places = tape.tensor(run.rows * length, INDEX)
        tokens = tape.embedding(places, size, Weight(length * size, trains=trains))
        down = tape.linear(tokens, size, narrow, Weight(size * narrow, trains=trains), Weight(narrow, trains=trains))
        inner = tape.activation(down, "tanh")
        made = tape.linear(inner, narrow, width, Weight(narrow * width, trains=trains), Weight(width, trains=trains))
        return tape.dropout(made, self.settings["dropout"])


@dataclass(frozen=True)
class Interventions(NoInsertion):
    """The first tokens' states are moved in a low-rank subspace (LoReFT)."""

    settings: Settings
    trained: tuple[bool, ...]
    _places: list[Tensor] = field(default_factory=list)

    def layer(self, run: Pass, hidden: Tensor) -> Tensor:
        tape, size, rank = run.tape, run.shape.hidden_size, self.settings["r"]
        trains = self.trained[0]  # the library runs no other
        count = run.rows * min(self.settings["prefix_positions"], run.length)
        if not self._places:
            self._places.append(tape.tensor(count * size, INDEX))
        places = self._places[0].storage
        # Joined with what it would gather from the rows' ends, which is nothing, in fp32.
        x = tape.new(tape.new(hidden, numel=count * size, kept=(hidden.storage, places)), width=FULL)
        reflections = Weight(size * rank, trains=trains)
        source = tape.linear(x, size, rank, Weight(size * rank, trains=trains), Weight(rank, trains=trains))
        projection = self._projection(run, tape.leaf(reflections))
        projected = tape.product(x, projection, count * rank, 2.0 * x.numel * rank)
        moved = tape.product(
            tape.add(source, projected), self._projection(run, _again(run, reflections)), count * size, 2.0 * x.numel
        )
        x = tape.new(tape.dropout(tape.add(x, moved), self.settings["dropout"]))
        return tape.new(hidden, x, numel=hidden.numel, width=hidden.width, kept=(places,))

    def _projection(self, run: Pass, reflections: Tensor) -> Tensor:
        """The orthogonal rows, made of reflections and a fixed D×D matrix each time that they are used."""
        size = run.shape.hidden_size
        fixed = run.tape.leaf(Weight(size * size))
        return run.tape.product(fixed, reflections, reflections.numel, 2.0 * size * reflections.numel)


def _again(run: Pass, weight: Weight) -> Tensor:
    """A parameter that is used once more; its gradient is added to the one that it has."""
    return Tensor(weight.numel, weight.width, run.tape.keeps_grad and weight.trains, Storage(0))
