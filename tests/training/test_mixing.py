"""Which task each step of a mixture is of: shares, keyed draws, epochs of each task."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from adapter_transfer.errors import ConfigError
from adapter_transfer.training.mixing import StepDraws, mixture_size, sampling_shares
from adapter_transfer.training.settings import TrainingSettings
from adapter_transfer.training.streams import example_order

NUM_DRAWS = 10_000
SIZES = (1_100_000, 131_072, 87_599, 9_741)


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(learning_rate=1e-4, **changes)


def draws(sizes=SIZES, seed=1, purpose="intermediate/multi", names=("anli", "mnli", "squad1", "csqa"), **changes):
    return StepDraws(names[: len(sizes)], tuple(sizes), settings(**changes), seed, purpose)


def normalized(*numbers: float) -> list[float]:
    return [number / sum(numbers) for number in numbers]


RULES = [
    ({}, normalized(2**17, 131_072, 87_599, 9_741)),  # the paper's, by default
    ({"sampling": "capped", "sampling_cap": 50_000}, normalized(50_000, 50_000, 50_000, 9_741)),
    ({"sampling": "proportional"}, normalized(*SIZES)),
    ({"sampling": "temperature"}, normalized(*(math.sqrt(size) for size in SIZES))),
    ({"sampling": "temperature", "sampling_temperature": 5}, normalized(*(size**0.2 for size in SIZES))),
    ({"sampling": "temperature", "sampling_temperature": 1}, normalized(*SIZES)),
    ({"sampling": "uniform"}, [0.25] * 4),
]


@pytest.mark.parametrize(("changes", "expected"), RULES)
def test_shares_follow_the_formula(changes, expected):
    np.testing.assert_allclose(sampling_shares(SIZES, settings(**changes)), expected, rtol=1e-12)


@pytest.mark.parametrize(("changes", "expected"), RULES)
@pytest.mark.parametrize("seed", [1, 2])
def test_ten_thousand_draws_have_those_shares(changes, expected, seed):
    tasks = draws(seed=seed, max_steps=NUM_DRAWS, epochs=100, **changes).tasks
    assert tasks.shape == (NUM_DRAWS,)
    counts = np.bincount(tasks, minlength=4)
    for count, share in zip(counts, expected, strict=True):
        # Four standard deviations of a binomial count: one in 16,000 counts is further away.
        assert abs(count - NUM_DRAWS * share) <= 4 * math.sqrt(NUM_DRAWS * share * (1 - share))


def test_the_task_of_a_step_depends_on_its_number_and_the_key_alone():
    longer, shorter = draws(max_steps=5_000).tasks, draws(max_steps=70).tasks
    np.testing.assert_array_equal(longer[:70], shorter)
    assert not np.array_equal(draws(max_steps=70, seed=2).tasks, shorter)
    assert not np.array_equal(draws(max_steps=70, purpose="intermediate/other").tasks, shorter)


def test_each_tasks_examples_come_in_their_own_order_epoch_after_epoch():
    mixture = draws((40, 13, 7), batch_size=4, epochs=9, sampling="uniform")
    assert mixture.num_steps == 9 * 15
    seen: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for step in range(mixture.num_steps):
        examples = mixture.examples(step)
        task = mixture.tasks[step]
        assert 1 <= len(examples) <= 4
        seen[task] += examples.tolist()
    for task, size in enumerate((40, 13, 7)):
        name = f"intermediate/multi/{mixture.names[task]}"
        epochs = range(len(seen[task]) // size + 1)
        assert len(epochs) > 2
        expected = np.concatenate([example_order(1, name, epoch, size) for epoch in epochs])
        assert seen[task] == expected[: len(seen[task])].tolist()


def test_a_tasks_order_does_not_depend_on_what_it_is_mixed_with():
    def first_of(mixture: StepDraws, name: str) -> list[int]:
        steps = np.flatnonzero(mixture.tasks == mixture.names.index(name))
        return mixture.examples(int(steps[0])).tolist()

    one = draws((40, 30), names=("mnli", "squad1"), max_steps=50, epochs=50)
    other = draws((40, 50, 60), names=("mnli", "squad1", "csqa"), max_steps=50, epochs=50)
    assert first_of(one, "mnli") == first_of(other, "mnli")


def test_one_task_alone_is_not_drawn():
    alone = draws((13,), names=("micro-copa",), purpose="target/micro-copa", batch_size=4, epochs=3)
    assert alone.num_steps == 12
    assert not alone.tasks.any()
    order = np.concatenate([alone.examples(step) for step in range(12)])
    expected = np.concatenate([example_order(1, "target/micro-copa", epoch, 13) for epoch in range(3)])
    np.testing.assert_array_equal(order, expected)


def test_an_epoch_has_the_examples_that_count():
    assert mixture_size(SIZES, settings()) == 2 * 2**17 + 87_599 + 9_741
    assert mixture_size(SIZES, settings(sampling="proportional")) == sum(SIZES)
    assert mixture_size((1_100_000,), settings()) == 1_100_000  # nothing to balance
    assert draws(batch_size=32, epochs=2).num_steps == 2 * math.ceil((2 * 2**17 + 87_599 + 9_741) / 32)


@pytest.mark.parametrize(
    "changes", [{"sampling": "best"}, {"sampling_cap": 0}, {"sampling_temperature": 0.5}, {"doc_stride": -1}]
)
def test_what_no_sampling_can_be_is_refused(changes):
    with pytest.raises((ConfigError, ValueError)):
        settings(**changes)


def identity(*, is_mixture: bool = True, cuts_windows: bool = True, **changes: Any) -> dict[str, Any]:
    return settings(**changes).identity(is_mixture=is_mixture, cuts_windows=cuts_windows)


def test_sampling_is_part_of_a_runs_identity_only_where_it_was_chosen():
    plain = identity()
    assert not {"sampling", "sampling_cap", "sampling_temperature", "doc_stride"} & plain.keys()
    assert identity(sampling="uniform") == plain | {"sampling": "uniform"}
    assert identity(sampling_cap=10) == plain | {"sampling_cap": 10}
    assert identity(doc_stride=64) == plain | {"doc_stride": 64}
    by_root = {"sampling": "temperature", "sampling_temperature": 5}
    assert identity(**by_root) == plain | by_root


def test_what_nothing_comes_of_is_no_part_of_a_runs_identity():
    plain = identity()
    assert identity(sampling="uniform", sampling_cap=10, sampling_temperature=5) == plain | {"sampling": "uniform"}
    assert identity(is_mixture=False, sampling="uniform", sampling_cap=10) == plain
    assert identity(cuts_windows=False, doc_stride=64) == plain
