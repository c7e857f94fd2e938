"""Shipped hyper-parameters: complete for what is published, honest about where they come from, and easy to overrule."""

from __future__ import annotations

import itertools

import pytest

from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.training.recipes import NO_VALUE, RECIPES, SCALES, recipes_for
from adapter_transfer.training.settings import TrainingRule, TrainingSettings, resolve_training

TRAININGS = [("intermediate", "socialiqa"), ("target", "xcopa")]


def shipped(backbone, method, phase, task, own_rules=()):
    names = {"phase": phase, "method": method, "backbone": backbone, "task": task}
    return resolve_training([*(recipe.rule for recipe in recipes_for(**names)), *own_rules], **names)


def test_they_cover_every_published_backbone_and_every_method():
    assert set(SCALES) == {name for name, backbone in BACKBONES.items() if not backbone.is_sandbox}
    assert {name for recipe in RECIPES for name in recipe.methods} == set(METHODS)
    assert {name for recipe in RECIPES for name in recipe.tasks} <= set(TASKS)
    for backbone, method, (phase, task) in itertools.product(SCALES, METHODS, TRAININGS):
        settings = shipped(backbone, method, phase, task)
        assert settings.max_length <= BACKBONES[backbone].max_length


@pytest.mark.parametrize(("backbone", "rate"), [("base", 2e-5), ("large", 3e-5)], ids=["base", "large"])
@pytest.mark.parametrize(("phase", "task"), TRAININGS)
def test_full_fine_tuning_is_that_of_xtreme_r(backbone, rate, phase, task):
    assert shipped(backbone, "full", phase, task) == TrainingSettings(
        learning_rate=rate, batch_size=32, epochs=5, max_length=128, weight_decay=0.0, warmup_share=0.0
    )


def test_an_adapter_is_that_of_poth_et_al():
    target, intermediate = (shipped("base", "seq_bn", phase, task) for phase, task in reversed(TRAININGS))
    assert target == TrainingSettings(
        learning_rate=1e-4, batch_size=32, epochs=15, patience=4, max_length=128, weight_decay=0.0, warmup_share=0.0
    )
    assert intermediate == target.model_copy(update={"batch_size": 16})


@pytest.mark.parametrize(
    ("method", "backbone", "rate"),
    [
        ("lora", "base", 5e-4),
        ("lora", "large", 3e-4),
        ("lora", "xl", 1e-4),
        ("par_bn", "base", 1e-4),
        ("ia3", "large", 3e-3),
        ("compacter", "base", 3e-3),
        ("reft", "large", 6e-4),
    ],
)
def test_a_method_has_its_papers_rate_and_the_tasks_length(method, backbone, rate):
    settings = shipped(backbone, method, "target", "xcopa")
    assert (settings.learning_rate, settings.epochs, settings.patience) == (rate, 15, 4)


def test_an_experiments_own_rules_win():
    own = TrainingRule(learning_rate=1e-5, patience=None)
    settings = shipped("large", "seq_bn", "target", "xcopa", [own])
    assert (settings.learning_rate, settings.patience, settings.epochs) == (1e-5, None, 15)


@pytest.mark.parametrize("backbone", ["nano", "real-text-random", "an-encoder-of-mine"])
def test_sandbox_and_own_backbones_have_none(backbone):
    assert all(not recipes_for(phase="target", method=m, backbone=backbone, task="xcopa") for m in METHODS)


def test_every_value_names_its_source():
    for recipe in RECIPES:
        assert recipe.values
        if recipe.source.startswith(NO_VALUE):
            assert "taken from" in recipe.source or " as " in recipe.source, "where is it from, then?"
        else:
            assert "arXiv" in recipe.source
