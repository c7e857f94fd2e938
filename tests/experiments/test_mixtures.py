"""Mixtures of tasks as intermediates: their names, plans and real runs."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from small_experiment import SMALL

from adapter_transfer import durable
from adapter_transfer.config import apply_overrides, parse, read_text
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import read_results
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store
from adapter_transfer.tasks.catalog import PAPER_TASKS
from adapter_transfer.tasks.mixtures import MULTI, is_mixture, members, mixture_name

MACHINE = MachineSettings(device="cpu", threads=1)
BOTH = "next-event+event-nli"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("event-nli+next-event", BOTH),
        (" event-nli + next-event", BOTH),
        (BOTH, BOTH),
        ("squad1+mnli+hellaswag", "mnli+squad1+hellaswag"),
        ("multi", MULTI),
        ("+".join(reversed(PAPER_TASKS)), MULTI),
        ("mnli", "mnli"),
        ("multi+socialiqa", "+".join([*PAPER_TASKS, "socialiqa"])),
    ],
)
def test_a_mixture_has_one_name(written, name):
    assert mixture_name(written) == name
    assert mixture_name(name) == name
    assert is_mixture(name) == (name != "mnli")
    assert {task.name for task in members(name)} == {task.name for task in members(written)}


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("mnli+mnli", "stands there twice"),
        ("multi+mnli", "stands there twice"),
        ("mnli+micro-copa", "is no intermediate task"),
        ("mnli+", r"no task stands beside a '\+'; tasks are written as in mnli\+squad1"),
        ("+", "no task stands beside"),
        ("mnli+squat1", "Did you mean 'squad1'"),
    ],
)
def test_what_is_no_mixture_is_refused(written, problem):
    with pytest.raises(ConfigError, match=problem):
        mixture_name(written)


def test_two_ways_to_write_a_mixture_are_one_run(small):
    plans = [make_plan(small(f"intermediates=[none, {name}]")) for name in (BOTH, "event-nli+next-event")]
    ids = [[run.spec.id for run in plan.runs] for plan in plans]
    assert ids[0] == ids[1]
    assert {run.spec.intermediate for plan in plans for run in plan.runs} == {"none", BOTH}
    with pytest.raises((ConfigError, ValidationError), match="twice"):
        small(f"intermediates=[{BOTH}, {BOTH}+event-nli]")


def test_each_of_its_settings_makes_another_run(small):
    def id_of(*overrides: str) -> str:
        plan = make_plan(small(f"intermediates=[{BOTH}]", "methods=[seq_bn]", *overrides))
        return next(run.spec.id for run in plan.runs if run.spec.phase == "intermediate")

    plain = id_of()
    assert id_of("training.0.sampling=capped") == plain
    changes = ("sampling=uniform", "sampling=temperature", "sampling_cap=10")
    others = [id_of(f"training.0.{change}") for change in changes]
    assert len({plain, *others}) == 4


def test_what_a_training_has_no_use_for_makes_no_other_run(small):
    def ids(*overrides: str) -> dict[str, str]:
        plan = make_plan(small(f"intermediates=[none, {BOTH}, event-nli, event-qa]", "methods=[seq_bn]", *overrides))
        return {run.spec.id: run.spec.task for run in plan.runs if run.spec.phase == "intermediate"} | {
            run.spec.id: "none" for run in plan.runs if run.spec.phase == "target" and run.spec.intermediate == "none"
        }

    def changed(*overrides: str) -> set[str]:
        return {task for id, task in ids(*overrides).items() if id not in plain}

    plain = ids()
    assert sorted(plain.values()) == ["event-nli", "event-qa", BOTH, "none"]
    assert changed("training.0.sampling=uniform") == {BOTH}
    assert changed("training.0.sampling_cap=10") == {BOTH}
    assert changed("training.0.sampling_temperature=3") == set()
    assert changed("training.0.doc_stride=8") == {"event-qa"}


@pytest.mark.parametrize("name", [BOTH, "event-nli+event-tags+next-event"])
def test_a_mixture_is_read_back_from_its_file_as_it_was(small, tmp_path, name):
    spec = next(run.spec for run in make_plan(small(f"intermediates=[{name}]")).runs if is_mixture(run.spec.task))
    durable.write_json_atomic(tmp_path / "run.json", spec.description())
    again = RunSpec.from_description(durable.read_json(tmp_path / "run.json"))
    assert again == spec
    assert again.id == spec.id


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished experiment with a mixture as its intermediate, each method once."""
    store = Store.open(tmp_path_factory.mktemp("mixtures") / "store")
    overrides = (f"intermediates=[{BOTH}]", "methods=[full, seq_bn]", "compositions=[stack, sequential]")
    plan = make_plan(parse(Experiment, apply_overrides(read_text(SMALL, "small.yaml"), overrides)), store)
    assert not execute(plan, store, MACHINE).failed
    return plan, store


def test_it_is_trained_with_a_head_a_task_and_targets_go_on_from_it(finished):
    plan, store = finished
    lowers = [run.spec for run in plan.runs if run.spec.phase == "intermediate"]
    assert [spec.method for spec in lowers] == ["full", "seq_bn"]
    for spec in lowers:
        metrics, folder = store.read(spec.id).metrics, store.run_dir(spec.id)
        assert set(metrics["tasks"]) == set(metrics["validations"]) == {"next-event", "event-nli"}
        assert [told["num_train_examples"] for told in metrics["tasks"].values()] == [16, 16]  # of each
        assert {path.name for path in (folder / "artifact" / "heads").iterdir()} == {"next-event", "event-nli"}
        for task in ("next-event", "event-nli"):
            assert (folder / f"predictions-{task}.parquet").is_file()
        assert {ref.task for ref in spec.data} == {"next-event", "event-nli"}
        assert RunSpec.from_description(spec.description()) == spec
    targets = [run.spec for run in plan.runs if run.spec.phase == "target"]
    assert {(spec.method, spec.composition) for spec in targets} == {
        ("full", "sequential"), ("seq_bn", "stack"), ("seq_bn", "sequential"),
    }  # fmt: skip
    # Which of several heads should go on would be a choice of ours.
    assert {spec.head for spec in targets} == {"fresh"}
    results = read_results(store)
    assert {result.intermediate for result in results} == {BOTH}
    assert len(results) == 2 * len(targets)
