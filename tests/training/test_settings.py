"""Hyper-parameters: what belongs to a run's identity, and what does not go together."""

from __future__ import annotations

from typing import Any

import pytest

from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.training.settings import (
    DEFAULT_TOKEN_BUDGET,
    TrainingRule,
    TrainingSettings,
    require_applicable,
    resolve_training,
)

PLACE: dict[str, Any] = {"phase": "target", "method": "full", "backbone": "xl", "task": "xcopa"}


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings(learning_rate=1e-4, **changes)


def identity(**changes: Any) -> dict[str, Any]:
    return settings(**changes).identity(is_mixture=True, cuts_windows=True)


def test_what_came_later_changes_no_identity_until_it_is_used() -> None:
    # As the first runs had it: ids are made of it, and must not change.
    expected = {
        "learning_rate": 1e-4,
        "batch_size": 32,
        "epochs": 3,
        "max_steps": None,
        "max_length": 128,
        "max_train_examples": None,
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "warmup_share": 0.06,
        "schedule": "linear",
        "max_grad_norm": 1.0,
        "dropout": None,
        "validate_every": "epoch",
        "select": "best",
        "patience": None,
    }
    assert identity() == expected
    assert identity(gradient_checkpointing=True, token_budget=64) == expected
    changed = identity(update="backward", max_grad_norm=None, master_weights="bf16", optimizer="adamw-8bit")
    assert changed == expected | {
        "update": "backward",
        "max_grad_norm": None,
        "master_weights": "bf16",
        "optimizer": "adamw-8bit",
    }


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"update": "backward"}, "update: backward needs max_grad_norm: null: clipping by the global norm has to know"),
        (
            {"update": "backward", "max_grad_norm": None, "optimizer": "paged-adamw-8bit"},
            "use adamw-8bit, or update: step",
        ),
    ],
)
def test_what_does_not_go_together_is_told_in_one_message(changes: dict[str, Any], problem: str) -> None:
    # Two rules, each fine by itself.
    rules = [TrainingRule(learning_rate=1e-4, **{name: value}) for name, value in changes.items()]
    with pytest.raises(ConfigError) as caught:
        resolve_training(rules, **PLACE)
    assert str(caught.value).startswith("training: update: backward ")
    assert problem in str(caught.value)
    assert "(for phase 'target', method 'full', backbone 'xl', task 'xcopa')" in str(caught.value)
    assert len(caught.value.problems) == 1


SMALLEST = settings(update="backward", max_grad_norm=None, master_weights="bf16", optimizer="adamw-8bit")


@pytest.mark.parametrize(
    ("kind", "precision", "given", "problems"),
    [
        ("full", "bf16", SMALLEST, []),
        ("adapter", "nf4", settings(optimizer="paged-adamw-8bit", gradient_checkpointing=True, token_budget=64), []),
        ("adapter", "bf16", SMALLEST, ["update: backward is for full", "master_weights: bf16 is for full"]),
        ("full", "fp32", SMALLEST, ["needs precision bf16, not fp32"]),
        ("full", "fp16", settings(update="backward", max_grad_norm=None), ["cannot be done in fp16"]),
        ("full", "fp16", settings(optimizer="adamw-8bit"), []),
    ],
)
def test_what_a_training_cannot_do_is_told(
    kind: Any, precision: Any, given: TrainingSettings, problems: list[str]
) -> None:
    if not problems:
        require_applicable(given, method_kind=kind, precision=precision)
        return
    with pytest.raises(ConfigError) as caught:
        require_applicable(given, method_kind=kind, precision=precision)
    for problem, told in zip(problems, caught.value.problems, strict=True):
        assert problem in told
    assert kind == "full" or all("when: {method: full}" in told for told in caught.value.problems)


def test_the_machine_decides_how_a_step_is_cut_then_the_run() -> None:
    assert MachineSettings().micro_batch_tokens(settings()) == DEFAULT_TOKEN_BUDGET
    assert MachineSettings().micro_batch_tokens(settings(token_budget=512)) == 512
    assert MachineSettings(token_budget=100).micro_batch_tokens(settings(token_budget=512)) == 100
    with pytest.raises(ValueError, match="token_budget"):
        settings(token_budget=63)


@pytest.mark.parametrize(
    ("changes", "num_steps", "validations"),
    [
        ({}, 12, {4, 8, 12}),
        ({"max_steps": 7}, 7, {4, 7}),
        ({"batch_size": 7, "epochs": 1}, 15, {15}),
        ({"max_steps": 1000, "validate_every": 5}, 12, {5, 10, 12}),
    ],
)
def test_the_steps_of_a_training(changes: dict[str, Any], num_steps: int, validations: set[int]) -> None:
    of_hundred = settings(**changes)
    assert of_hundred.num_steps(100) == num_steps
    assert of_hundred.validation_steps(100) == validations
