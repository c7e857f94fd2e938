"""Plans: the grid, what is shared, what is impossible, and ids that change with exactly what matters."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest

from adapter_transfer.config import apply_overrides, parse, read_text
from adapter_transfer.errors import ConfigError, ImpossibleError
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.plan import Plan, make_plan
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.schedule import Schedule
from adapter_transfer.experiments.store import Store

YAML = """
name: test
backbones: [nano, micro]
methods: [full, {name: seq_bn, settings: {reduction_factor: 2}}]
intermediates: [none, next-event]
target: micro-copa
seeds: [1, 2]
training:
  - {learning_rate: 5e-4}
  - {when: {method: seq_bn}, learning_rate: 5e-3}
  - {when: {phase: target}, epochs: 8}
"""


def plan_of(*overrides: str, yaml: str = YAML, store: Store | None = None) -> Plan:
    return make_plan(parse(Experiment, apply_overrides(read_text(yaml, "test.yaml"), overrides)), store)


def ids(plan: Plan) -> dict[tuple[Any, ...], str]:
    """Cell, phase and seed → id."""
    return {
        (s.phase, s.backbone, s.precision, s.method, s.intermediate, s.composition, s.seed): s.id
        for s in (run.spec for run in plan.runs)
    }


def test_a_grid_becomes_shared_runs():
    plan = plan_of()
    phases = [run.spec.phase for run in plan.runs]
    # 2 scales x 2 methods x 2 seeds: one intermediate each, two targets, two evaluations.
    assert (phases.count("intermediate"), phases.count("target"), phases.count("evaluation")) == (8, 16, 16)
    assert len({run.spec.id for run in plan.runs}) == 40
    known: set[str] = set()
    for run in plan.runs:
        assert known >= set(run.spec.parents.values())
        known.add(run.spec.id)


def test_seeds_are_nested():
    specs = {run.spec.id: run.spec for run in plan_of().runs}
    for spec in specs.values():
        for parent in spec.parents.values():
            assert specs[parent].seed == spec.seed


def test_intermediates_are_shared_among_compositions():
    plan = plan_of("methods=[seq_bn]", "compositions=[stack, stack-tuned, sequential]", "seeds=[1]", "backbones=[nano]")
    phases = [run.spec.phase for run in plan.runs]
    assert (phases.count("intermediate"), phases.count("target")) == (1, 4)


def test_one_more_seed_adds_that_seeds_runs_only():
    few, more = ids(plan_of()), ids(plan_of("seeds=[1,2,3]"))
    assert few.items() <= more.items()
    assert {key[-1] for key in more.keys() - few.keys()} == {3}


def test_keys_in_another_order_give_the_same_ids():
    lines = YAML.strip().splitlines()
    reordered = "\n".join([*lines[6:], *lines[:6]])
    assert ids(plan_of(yaml=reordered)) == ids(plan_of())


def test_auto_is_the_exact_composition():
    auto = ids(plan_of())
    assert {key[5] for key in auto if key[0] == "target" and key[3] == "seq_bn"} == {"none", "stack"}
    assert {key[5] for key in auto if key[0] == "target" and key[3] == "full"} == {"none", "sequential"}
    stack = ids(plan_of("methods=[{name: seq_bn, settings: {reduction_factor: 2}}]", "compositions=[stack]"))
    sequential = ids(plan_of("methods=[full]", "compositions=[sequential]"))
    assert stack | sequential == auto
    assert ids(plan_of("compositions=[auto, stack]")) == auto


# A change and the runs whose id must change with it: phase, and a test of the rest of the key.
CHANGES = [
    ("training.0.learning_rate=4e-4", lambda key: key[3] == "full"),
    ("training.1.learning_rate=4e-3", lambda key: key[3] == "seq_bn"),
    ("training.2.epochs=7", lambda key: key[0] != "intermediate"),
    ("methods.1.settings.reduction_factor=4", lambda key: key[3] == "seq_bn"),
    ("languages=[en, qa]", lambda key: key[0] == "evaluation"),
    ("head=carry", lambda key: key[0] != "intermediate" and key[4] != "none"),
    ("training.0.max_length=64", lambda key: True),
    ("training.0.dropout=0.1", lambda key: True),
]


@pytest.mark.parametrize(("override", "changes"), CHANGES)
def test_a_change_changes_exactly_the_runs_that_depend_on_it(override, changes):
    before, after = ids(plan_of()), ids(plan_of(override))
    assert before.keys() == after.keys()
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {key for key in before if changes(key)}


def test_precision_is_part_of_the_identity_and_the_question_is_not():
    before = ids(plan_of())
    assert ids(plan_of("question=why", "name=other")) == before
    assert not set(ids(plan_of("precisions=[bf16]")).values()) & set(before.values())


def test_a_description_holds_the_whole_specification():
    for run in plan_of("backbones=[nano, real-text-random]").runs:
        again = RunSpec.from_description(copy.deepcopy(run.spec.description()))
        assert again == run.spec
        assert again.id == run.spec.id


def test_a_tokenizer_of_our_own_depends_on_the_experiments_text():
    one = ids(plan_of("backbones=[real-text-random]"))
    other = ids(plan_of("backbones=[real-text-random]", "languages=[en]"))
    assert not set(one.values()) & set(other.values())


def test_impossible_cells_are_listed_with_their_reason():
    plan = plan_of("compositions=[stack]")
    assert {(cell.method, cell.intermediate) for cell in plan.impossible} == {("full", "next-event")}
    assert "no adapter to keep" in plan.impossible[0].reason
    assert "sequential" in plan.impossible[0].reason
    listed = [run for run in plan.as_json()["runs"] if run["status"] == "impossible"]
    assert {run["backbone"] for run in listed} == {"nano", "micro"}
    assert all(run["reason"] and run["id"] is None for run in listed)


def test_an_experiment_without_a_possible_cell_is_an_error():
    with pytest.raises(ImpossibleError, match="no cell"):
        plan_of("methods=[full]", "compositions=[stack]", "intermediates=[next-event]")


def test_heads_carry_only_where_they_mean_the_same():
    plan = plan_of("intermediates=[none, next-event, event-nli]", "head=carry")
    heads = {run.spec.intermediate: run.spec.head for run in plan.runs if run.spec.phase == "target"}
    assert heads == {"none": "fresh", "next-event": "carry", "event-nli": "fresh"}


def test_json_has_the_promised_keys():
    promised = {"id", "phase", "backbone", "precision", "method", "composition", "intermediate", "task", "seed"}
    for run in plan_of().as_json()["runs"]:
        assert promised | {"status", "reason"} <= run.keys()


def spoil(store: Store, spec: RunSpec, name: str, content: str) -> None:
    """Overwrites a file of a run that is done."""
    with store.begin(spec.id, {"identity": spec.identity(), "description": spec.description()}) as directory:
        directory.commit({"seconds": 1.0})
    (store.run_dir(spec.id) / name).write_text(content)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("manifest.json", "{}", "manifest.json is damaged"),
        ("metrics.json", '{"seconds": 2.0}', "metrics.json has changed"),
        ("run.json", "{}", "run.json has changed"),
    ],
)
def test_a_damaged_run_is_found_and_left_alone(tmp_path, name, content, reason):
    store = Store.open(tmp_path / "store")
    first, *others = plan_of().runs
    spoil(store, first.spec, name, content)
    plan = plan_of(store=store)
    (damaged,) = plan.damaged
    assert damaged.spec.id == first.spec.id
    assert reason in damaged.reason
    assert [spec.id for spec in plan.todo] == [run.spec.id for run in others]
    told = next(run for run in plan.as_json()["runs"] if run["id"] == first.spec.id)
    assert (told["status"], told["reason"]) == ("damaged", damaged.reason)


def test_a_failed_run_has_its_reason_and_is_tried_again(tmp_path):
    store = Store.open(tmp_path / "store")
    spec = plan_of().runs[0].spec
    with store.begin(spec.id, {"identity": spec.identity(), "description": spec.description()}) as directory:
        directory.fail(ValueError("loss is no longer a number"))
    plan = plan_of(store=store)
    assert (plan.runs[0].status, plan.runs[0].reason) == ("failed", "loss is no longer a number")
    assert spec.id in {other.id for other in plan.todo}


def test_a_training_without_a_learning_rate_is_named():
    yaml = YAML.replace("  - {learning_rate: 5e-4}\n", "")
    with pytest.raises(ConfigError, match="no rule sets learning_rate") as caught:
        plan_of(yaml=yaml)
    assert all("'full'" in problem for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("backbones=[nan]", "unknown backbone 'nan'. Did you mean 'nano'"),
        ("methods=[seq_bm]", "unknown method 'seq_bm'. Did you mean 'seq_bn'"),
        ("intermediates=[next-evnt]", "Did you mean 'next-event'"),
        ("target=micro-cop", "Did you mean 'micro-copa'"),
        ("languages=[qx]", "unknown language 'qx'"),
        ("seeds=[1,1]", "repeated: 1"),
        ("seeds=[]", "seeds"),
        ("training.1.when.method=seq_bm", "unknown method 'seq_bm'"),
        ("methods=[{name: seq_bn, settings: {reduction: 2}}]", "reduction"),
        ("training.0.learning_rate=-1", "greater than 0"),
        ("training.0.lerning_rate=1", "Did you mean 'learning_rate'"),
        ("training.0.batch_size=null", "batch_size"),
        ("training.0.validate_every=0", "validate_every"),
        ("name=../x", "name"),
    ],
)
def test_bad_values_are_refused_with_their_place(override, message):
    with pytest.raises(ConfigError, match="--set") as caught:
        plan_of(override)
    assert message in str(caught.value)


def test_rows_longer_than_a_backbone_has_positions_are_refused():
    with pytest.raises(ConfigError, match=r"max_length 5000 .*'nano'"):
        plan_of("training.0.max_length=5000")


def test_a_language_that_the_target_lacks_is_refused():
    with pytest.raises(ConfigError, match=r"languages: 'micro-copa' has no test items in 'th'; it has en, qa"):
        plan_of("languages=[en, th]")


def test_a_schedule_keeps_parents_first_and_workers_at_their_backbone():
    plan = plan_of()
    schedule = Schedule(plan.todo, ())
    done: set[str] = set()
    last = None
    order = []
    while (spec := schedule.take(last, ())) is not None:
        assert set(spec.parents.values()) <= done
        schedule.finish(spec.id)
        done.add(spec.id)
        order.append(spec.backbone)
        last = spec
    assert len(done) == len(plan.runs)
    assert sum(one != other for one, other in pairwise(order)) == 1


def test_what_stands_on_a_failed_run_is_given_up_and_the_rest_is_not():
    plan = plan_of("backbones=[nano]", "methods=[seq_bn]")
    schedule = Schedule(plan.todo, ())
    failed = next(s for s in plan.todo if s.phase == "intermediate" and s.seed == 1)
    while (spec := schedule.take(None, ())) is not None and spec.id != failed.id:
        schedule.finish(spec.id)
    lost = schedule.give_up(failed.id)
    by_id = {s.id: s for s in plan.todo}
    assert {(by_id[i].phase, by_id[i].seed, by_id[i].intermediate) for i in lost} == {
        ("target", 1, "next-event"),
        ("evaluation", 1, "next-event"),
    }
    while (spec := schedule.take(None, ())) is not None:
        schedule.finish(spec.id)
    assert len(schedule) == 0
