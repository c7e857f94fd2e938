"""When tensors come and go, on tapes short enough to follow by hand."""

from __future__ import annotations

import pytest

from adapter_transfer.backbones.lifetimes import measure
from adapter_transfer.backbones.tape import FULL, Tape, Weight

N = 10
X = N * FULL


def two_products(*, trains: bool) -> Tape:
    """x → x·W → gelu → ·W, all of N numbers, weights of N·N."""
    tape = Tape("cpu", is_half=False)
    x = tape.tensor(N)
    hidden = tape.linear(x, N, N, Weight(N * N, trains=trains))
    hidden = tape.activation(hidden, "gelu")
    tape.linear(hidden, N, N, Weight(N * N, trains=True))
    return tape


def test_a_frozen_first_product_leaves_nothing():
    peaks = measure(two_products(trains=False))
    # Only what the last product was given is kept; nothing flows back into it.
    assert (peaks.saved, peaks.forward, peaks.gradients) == (X, 2 * X, N * N * FULL)


def test_what_trains_keeps_what_it_was_given():
    peaks = measure(two_products(trains=True))
    assert peaks.saved == 3 * X  # x, before gelu, after gelu
    assert peaks.forward == 4 * X
    assert peaks.gradients == peaks.largest_gradient * 2 == 2 * N * N * FULL
    # At the end of the backward pass: both weights' gradients, x, and the gradient before gelu.
    assert peaks.backward == 2 * N * N * FULL + 2 * X


@pytest.mark.parametrize(("fate", "expected"), [("added", 1), ("used", 3)])
def test_gradients_that_do_not_stay(fate, expected):
    weight = N * N * FULL
    peaks = measure(two_products(trains=True), fate=fate, update_scratch=lambda _: 2 * weight)
    assert peaks.backward == expected * weight + 4 * X


def test_a_checkpointed_segment_keeps_what_it_was_given_and_is_computed_again():
    tape = Tape("cpu", is_half=False)
    hidden, starts = tape.linear(tape.tensor(N), N, N, Weight(N * N, trains=True)), []
    for _ in range(5):
        starts.append(len(tape.operations))
        hidden = tape.activation(tape.linear(hidden, N, N, Weight(N * N, trains=True)), "gelu")
    segments = [*starts, len(tape.operations)]
    plain, checkpointed = measure(tape), measure(tape, segments=segments)
    assert plain.saved == 11 * X  # x, then two a segment
    assert checkpointed.saved == 6 * X  # x, then each segment's input
    assert checkpointed.backward < plain.backward + X
    assert checkpointed.gradients == plain.gradients


def test_an_evaluation_keeps_nothing():
    tape = Tape("cpu", is_half=False, keeps_grad=False)
    hidden = tape.tensor(N)
    for _ in range(9):
        hidden = tape.activation(hidden, "gelu")
    peaks = measure(tape)
    assert (peaks.saved, peaks.forward, peaks.backward) == (0, 2 * X, 0)
