"""The forward pass of an encoder as a tape: embeddings, layers, head, with places where methods put something in.

The order of operations is that of transformers' classes (4.57: `XLMRobertaModel`, `BertModel` and `XLMRobertaXLModel`
with SDPA attention) and of our own `row_logits` and `summed_loss`. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from adapter_transfer.backbones.sizes import EncoderShape
from adapter_transfer.backbones.tape import FLAG, FULL, INDEX, Tape, Tensor, Weight

Place = Literal["query", "key", "value", "attention_output", "intermediate", "output"]
"""A linear layer of a block."""
Block = Literal["attention", "feed_forward"]
"""Half of a layer, which ends with a sum with what it was given and (post-LN) a norm."""


@dataclass(frozen=True)
class HeadShape:
    """A head with its loss. Its weights are fp32 and train.

    Attributes:
        num_logits: K, that it gives for a row, or for a token of it.
        label_level: what there is one label of: an example, which is answered from the first token of its rows; a row,
            whose label is two of its tokens; or a token.
    """

    num_logits: int = 1
    label_level: Literal["example", "row", "token"] = "example"

    @property
    def reads_tokens(self) -> bool:
        """Whether it reads every token of a row, not the first one only."""
        return self.label_level != "example"

    def weights(self, hidden_size: int) -> tuple[Weight, ...]:
        """Its parameters: D×K and a bias; before these, where it reads the first token only, D×D and a bias."""
        last = (hidden_size * self.num_logits, self.num_logits)
        sizes = last if self.reads_tokens else (hidden_size * hidden_size, hidden_size, *last)
        return tuple(Weight(numel, FULL, trains=True) for numel in sizes)


CHOICE_HEAD = HeadShape()
"""One logit a row."""


@dataclass(frozen=True)
class BodyWeights:
    """How the encoder's own weights are kept.

    Attributes:
        width: bytes of a number, where it is not quantized (and of what a quantized one is turned into).
        trains: whether they get gradients.
        quantized_bits: of the linear layers; None where they are kept as the rest.
    """

    width: int
    trains: bool
    quantized_bits: int | None = None


@dataclass(frozen=True)
class Pass:
    """What every part of one forward pass knows.

    Attributes:
        rows: B.
        length: T.
    """

    tape: Tape
    shape: EncoderShape
    body: BodyWeights
    rows: int
    length: int

    @property
    def num_tokens(self) -> int:
        return self.rows * self.length

    def weight(self, numel: int, *, is_linear: bool = False) -> Weight:
        """One of the encoder's own parameters."""
        return Weight(numel, self.body.width, self.body.trains, self.body.quantized_bits if is_linear else None)


class Insertion(Protocol):
    """What adapters do at the places of an encoder; `NoInsertion` does nothing at any."""

    def start(self, run: Pass) -> None:
        """Before the first layer."""

    def projection(self, run: Pass, place: Place, x: Tensor, y: Tensor) -> Tensor:
        """After a linear layer that made `y` of `x`."""

    def keys(self, run: Pass, key: Tensor) -> tuple[Tensor, int]:
        """Keys (or values) of the attention, and how many there are for each row."""

    def block(self, run: Pass, block: Block, hidden: Tensor, residual: Tensor) -> Tensor | None:
        """After a half layer's last linear layer and, post-LN, its dropout.

        Returns:
            Post-LN: the block's result, its sum and norm included; None where nothing is put in.
            Pre-LN: what goes on to the model's own dropout and sum.
        """

    def layer(self, run: Pass, hidden: Tensor) -> Tensor:
        """After a layer."""


@dataclass(frozen=True)
class NoInsertion:
    """Nothing is put in anywhere."""

    def start(self, run: Pass) -> None:
        return None

    def projection(self, run: Pass, place: Place, x: Tensor, y: Tensor) -> Tensor:
        return y

    def keys(self, run: Pass, key: Tensor) -> tuple[Tensor, int]:
        return key, run.length

    def block(self, run: Pass, block: Block, hidden: Tensor, residual: Tensor) -> Tensor | None:
        return None

    def layer(self, run: Pass, hidden: Tensor) -> Tensor:
        return hidden


NOTHING = NoInsertion()


def record_encoder(run: Pass, insertion: Insertion, head: HeadShape) -> list[int]:
    """Writes the forward pass of an encoder with a head and its loss on the run's tape.

    Returns:
        Numbers of the operations at which layers begin, then of the one after the last layer.
    """
    hidden = _embeddings(run)
    insertion.start(run)
    layers = []
    for _ in range(run.shape.num_layers):
        layers.append(len(run.tape.operations))
        hidden = _layer(run, insertion, hidden)
    layers.append(len(run.tape.operations))
    if run.shape.is_pre_norm:
        hidden = norm(run, hidden)
    (_head_of_tokens if head.reads_tokens else _head_of_rows)(run, hidden, head)
    return layers


def norm(run: Pass, x: Tensor) -> Tensor:
    """One of the encoder's layer norms."""
    hidden_size = run.shape.hidden_size
    return run.tape.norm(x, hidden_size, run.weight(hidden_size), run.weight(hidden_size))


def _embeddings(run: Pass) -> Tensor:
    tape, shape, size = run.tape, run.shape, run.shape.hidden_size
    ids = tape.tensor(run.num_tokens, INDEX)
    words = tape.embedding(ids, size, run.weight(shape.vocab_size * size))
    # The type's indices are a view of a buffer of zeros, which is part of the model.
    types = tape.embedding(Tensor(run.num_tokens, 0, False), size, run.weight(shape.type_vocab_size * size))
    hidden = tape.add(words, types)
    positions = tape.tensor(run.num_tokens, INDEX)
    rows = tape.embedding(positions, size, run.weight(shape.max_position_embeddings * size))
    hidden = tape.add_in_place(hidden, rows)
    if not shape.is_pre_norm:
        hidden = norm(run, hidden)
    return tape.dropout(hidden, shape.hidden_dropout)


def _layer(run: Pass, insertion: Insertion, x: Tensor) -> Tensor:
    hidden = _attention_block(run, insertion, x)
    hidden = _feed_forward_block(run, insertion, hidden)
    hidden = insertion.layer(run, hidden)
    run.tape.hold(x)
    return hidden


def _attention_block(run: Pass, insertion: Insertion, x: Tensor) -> Tensor:
    tape, shape = run.tape, run.shape
    given = norm(run, x) if shape.is_pre_norm else x
    query = _linear(run, insertion, "query", given)
    key = _linear(run, insertion, "key", given)
    value = _linear(run, insertion, "value", given)
    if not shape.is_pre_norm:  # the adapters library's own attention layers copy all three, heads first
        query, key, value = (tape.new(x) for x in (query, key, value))
    key, num_keys = insertion.keys(run, key)
    value, _ = insertion.keys(run, value)
    mixed = tape.attention(
        query,
        key,
        value,
        rows=run.rows,
        heads=shape.num_heads,
        length=run.length,
        num_keys=num_keys,
        probability=shape.attention_dropout,
        is_heads_first=not shape.is_pre_norm,
    )
    hidden = _linear(run, insertion, "attention_output", mixed)
    hidden = _end(run, insertion, "attention", hidden, x, dropout=shape.hidden_dropout)
    tape.hold(mixed)
    return hidden


def _feed_forward_block(run: Pass, insertion: Insertion, x: Tensor) -> Tensor:
    tape, shape = run.tape, run.shape
    given = norm(run, x) if shape.is_pre_norm else x
    inner = tape.activation(_linear(run, insertion, "intermediate", given), "gelu")
    hidden = _linear(run, insertion, "output", inner)
    # XLMRobertaXLOutput has no dropout.
    dropout = 0.0 if shape.is_pre_norm else shape.hidden_dropout
    hidden = _end(run, insertion, "feed_forward", hidden, x, dropout=dropout)
    tape.hold(inner)
    return hidden


def _end(run: Pass, insertion: Insertion, block: Block, hidden: Tensor, residual: Tensor, *, dropout: float) -> Tensor:
    tape = run.tape
    if run.shape.is_pre_norm:
        inserted = insertion.block(run, block, hidden, residual)
        return tape.add(tape.dropout(hidden if inserted is None else inserted, dropout), residual)
    hidden = tape.dropout(hidden, dropout)
    done = insertion.block(run, block, hidden, residual)
    if done is None:
        done = norm(run, tape.add(hidden, residual))
    tape.hold(hidden, residual)
    return done


def _linear(run: Pass, insertion: Insertion, place: Place, x: Tensor) -> Tensor:
    num_in, num_out = run.shape.linear_size(place)
    y = run.tape.linear(x, num_in, num_out, run.weight(num_in * num_out, is_linear=True), run.weight(num_out))
    return insertion.projection(run, place, x, y)


def _head_of_rows(run: Pass, hidden: Tensor, head: HeadShape) -> None:
    """Dropout, D×D, tanh, dropout, D×K on each row's first token, and the loss."""
    tape, size, dropout = run.tape, run.shape.hidden_size, run.shape.hidden_dropout
    dense, dense_bias, last, last_bias = head.weights(size)
    first = tape.dropout(hidden.view(run.rows * size), dropout)
    state = tape.activation(tape.linear(first, size, size, dense, dense_bias), "tanh")
    logits = tape.linear(tape.dropout(state, dropout), size, head.num_logits, last, last_bias)
    tape.activation(logits, "tanh")  # the loss keeps as little as an activation of so few numbers


def _head_of_tokens(run: Pass, hidden: Tensor, head: HeadShape) -> None:
    """Dropout and D×K on every token, and the cross-entropy over a row's tokens or over each token's classes."""
    tape, size = run.tape, run.shape.hidden_size
    read = tape.dropout(hidden, run.shape.hidden_dropout)
    given = tape.linear(read, size, head.num_logits, *head.weights(size))
    logits = given if given.width == FULL else tape.new(given, width=FULL)
    scores, num_labels = logits, run.num_tokens
    if head.label_level == "row":
        padding = tape.tensor(run.num_tokens, FLAG)
        # The result of the mask lies as its input does, tokens before logits; with these first, it is a copy.
        scores = tape.new(tape.new(logits, kept=(padding.storage,)))
        num_labels = run.rows * head.num_logits
    chances = tape.activation(scores, "log_softmax")
    tape.new(chances, numel=num_labels, kept=(chances.storage,))
    tape.hold(given, logits)
