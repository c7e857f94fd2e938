"""`controls:` in a configuration: what each word adds, what is refused, and that nothing beside it changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from published_data import write_published_files

from adapter_transfer.config import parse, read_text
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.caveats import experiment_caveats
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.hub_lock import Resolver
from adapter_transfer.tasks.catalog import TASKS

EVERY = "[choices-only, balanced-copa, shuffled-labels, real-or-shuffled]"
OF_SANDBOX = "[choices-only, shuffled-labels, real-or-shuffled]"
ON_FILES = """
name: on-files
backbones: [real-text-random]
methods: [full, seq_bn]
intermediates: [none, socialiqa]
target: xcopa
languages: [en, et]
seeds: [1]
training:
  - {learning_rate: 1e-3, batch_size: 8, epochs: 1, max_length: 96}
  - {when: {task: socialiqa}, epochs: 2}
  - {when: {task: xcopa}, batch_size: 4}
"""


class OneCommit(Resolver):
    def commit(self, kind, repo, revision="main"):
        return "0" * 40


def on_files(*lines: str) -> Experiment:
    return parse(Experiment, read_text("\n".join([ON_FILES, *lines]), "on-files.yaml"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = write_published_files(tmp_path_factory.mktemp("published"))
    return Sources(data_dir=folder, resolver=OneCommit())


def test_each_word_adds_what_it_says(small):
    assert small().all_intermediates == ("none", "next-event")
    assert [task.name for task in small().targets] == ["micro-copa"]
    every = small(f"controls={OF_SANDBOX}", "intermediates=[none, event-nli, next-event]")
    assert every.all_intermediates == (
        *("none", "event-nli", "next-event"),
        *("event-nli-shuffled-labels", "next-event-shuffled-labels", "event-nli-real-or-shuffled"),
    )
    assert [task.name for task in every.targets] == ["micro-copa", "micro-copa-choices-only"]
    both = on_files(f"controls: {EVERY}")
    assert [task.name for task in both.targets] == ["xcopa", "xcopa-choices-only", "xcopa-balanced-copa"]
    assert both.random_backbones == ("real-text-random",)


def test_a_mixture_is_shuffled_member_by_member(small):
    mixed = small("controls=[shuffled-labels, real-or-shuffled]", "intermediates=[none, event-nli+next-event]")
    assert mixed.intermediates == ("none", "next-event+event-nli")
    added = ("next-event-shuffled-labels+event-nli-shuffled-labels", "next-event-real-or-shuffled")
    assert mixed.all_intermediates == (*mixed.intermediates, *added)


def test_what_stands_there_already_is_not_added_and_controls_have_none(small):
    named = small("controls=[shuffled-labels]", "intermediates=[none, next-event-shuffled-labels, next-event]")
    assert named.all_intermediates == named.intermediates


def test_derived_tasks_may_be_named_themselves(small):
    named = small("intermediates=[none, real-or-shuffled]", "target=micro-copa-choices-only")
    assert named.evaluated_task is TASKS["micro-copa-choices-only"]
    probed = small("target=none", "evaluate=micro-copa-choices-only", "intermediates=[next-event]")
    assert probed.evaluated_task is TASKS["micro-copa-choices-only"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["controls=[balanced-copa]"], "balanced-copa is another training set for 'xcopa', and the target is 'micro-"),
        (["controls=[shuffled-labels]", "intermediates=[none]"], "names no real one; add one"),
        (["controls=[real-or-shuffled]", "intermediates=[real-or-shuffled]"], "names no real one; add one"),
        (["controls=[choices-only]", "target=none", "evaluate=micro-copa"], "choices-only is a target that is trained"),
        (["controls=[choices-only]", "target=micro-copa-choices-only"], "is the target itself"),
        (["controls=[choices-only, choices-only]"], "each may stand here once"),
        (["controls=[choice-only]"], "choices-only"),
        (["target=micro-copa-choice-only"], "Did you mean 'micro-copa-choices-only'"),
        (["target=next-event-choices-only"], "unknown target task 'next-event-choices-only'"),
        (["intermediates=[micro-copa-choices-only]"], "'micro-copa-choices-only' is no intermediate task"),
        (["intermediates=[next-event-shuffled]"], "Did you mean 'next-event-shuffled-labels'"),
    ],
)
def test_what_cannot_be_is_refused(small, changes, message):
    with pytest.raises(ConfigError, match=message):
        small(*changes)


def test_a_training_set_of_ones_own_does_not_take_the_place_of_balanced_copa():
    with pytest.raises(ConfigError, match="would take the place of Balanced COPA"):
        on_files("controls: [balanced-copa]", "splits: {xcopa: {train: val, validation: train}}")


def test_every_target_is_planned_with_every_intermediate(sources):
    plan = make_plan(on_files(f"controls: {EVERY}"), sources=sources)
    intermediates = ["none", "socialiqa", "socialiqa-shuffled-labels", "socialiqa-real-or-shuffled"]
    targets = ["xcopa", "xcopa-choices-only", "xcopa-balanced-copa"]
    trained = [(r.spec.task, r.spec.intermediate) for r in plan.runs if r.spec.phase == "target"]
    assert sorted(trained) == sorted((t, i) for t in targets for i in intermediates for _ in ("full", "seq_bn"))
    evaluated = {(ref.task, ref.language) for r in plan.runs if r.spec.phase == "evaluation" for ref in r.spec.data}
    assert evaluated == {(target, code) for target in targets for code in ("en", "et")}
    told = [note for note in plan.notes if "is a control" in note]
    assert len(told) == 4


def test_runs_beside_the_controls_are_those_without_them(sources):
    without = make_plan(on_files(), sources=sources)
    beside = make_plan(on_files(f"controls: {EVERY}"), sources=sources)
    # The backbone's tokenizer is trained on the experiment's text, and is part of every run's identity.
    assert {run.spec.id for run in without.runs} < {run.spec.id for run in beside.runs}
    named = make_plan(on_files().model_copy(update={"intermediates": ("socialiqa-shuffled-labels",)}), sources=sources)
    assert {run.spec.id for run in named.runs} < {run.spec.id for run in beside.runs}
    # But everything that is read is covered where the embedding table is trimmed.
    full = next(run.spec for run in beside.runs if run.spec.method == "full")
    assert {ref.task for ref in full.vocabulary} == {run.spec.task for run in beside.runs}


def test_a_control_is_trained_as_its_base_is(sources):
    plan = make_plan(on_files(f"controls: {EVERY}"), sources=sources)
    settings = {(r.spec.method, r.spec.task): r.spec.training for r in plan.runs if r.spec.phase != "evaluation"}
    for (method, task), training in settings.items():
        assert training == settings[method, TASKS[task].base.name]
    assert settings["full", "xcopa-balanced-copa"].batch_size == 4
    assert settings["full", "socialiqa-shuffled-labels"].epochs == 2
    shipped = on_files(f"controls: {EVERY}").model_copy(
        update={"backbones": parse(Experiment, read_text(ON_FILES.replace("real-text-random", "base"), "x")).backbones}
    )
    specs = [run.spec for run in make_plan(shipped.model_copy(update={"training": ()}), sources=sources).runs]
    of_task = {(s.method, s.task): s.training for s in specs if s.phase == "intermediate"}
    assert of_task["seq_bn", "socialiqa"].batch_size == 16
    assert of_task["seq_bn", "socialiqa-shuffled-labels"] == of_task["seq_bn", "socialiqa"]


def test_splits_of_a_task_hold_for_its_controls(sources):
    mapped = on_files(f"controls: {EVERY}", "splits: {socialiqa: {train: dev, validation: tst}}")
    plan = make_plan(mapped, sources=sources)
    read = {
        (ref.split, ref.reading.published)
        for run in plan.runs
        if run.spec.phase == "intermediate"
        for ref in run.spec.data
    }
    assert read == {("train", "dev"), ("validation", "tst")}


def test_a_control_of_another_size_is_said_to_be(sources):
    plan = make_plan(on_files(f"controls: {EVERY}"), sources=sources)
    (told,) = [warning for warning in plan.warnings if "number of steps" in warning]
    assert told.startswith("xcopa-balanced-copa is trained on 48 examples, and xcopa on 24")
    equal = [
        replace(run.spec, training=run.spec.training.model_copy(update={"max_train_examples": 20})) for run in plan.runs
    ]
    assert not any("number of steps" in caveat for caveat in experiment_caveats(equal))


def test_the_four_are_planned_on_published_files_without_a_leak(shared_data):
    experiment = on_files(f"controls: {EVERY}", "splits: {socialiqa: {train: dev, validation: tst}}")
    plan = make_plan(experiment, sources=Sources(data_dir=shared_data))
    sizes = {run.spec.task: run.spec.data[0].num_examples for run in plan.runs if run.spec.phase != "evaluation"}
    assert sizes["xcopa-balanced-copa"] == 2 * sizes["xcopa"] == 800
    assert sizes["socialiqa-shuffled-labels"] == sizes["socialiqa"] == 1954
    assert sizes["xcopa-choices-only"] == 400
    assert not any("Is the file whole?" in note for note in plan.notes)


def test_a_search_tells_targets_apart(small):
    tuned = small(
        "controls=[choices-only]", "tune={trials: {full: [{}, {epochs: 2}], seq_bn: [{}, {epochs: 2}]}}", "seeds=[1]"
    )
    selections = make_plan(tuned).selections
    assert {selection.target for selection in selections} == {"micro-copa", "micro-copa-choices-only"}
    assert len(selections) == 8
