"""A pulled adapter in the place of an intermediate: what it may be, what runs it makes, and that they are the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from adopted_packages import COMMIT, NAME, REPO, Shelf, adopted_of, write_package
from small_experiment import SMALL

from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.config import apply_overrides, parse, read_text
from adapter_transfer.errors import ConfigError, DataError, ImpossibleError
from adapter_transfer.experiments import adopting, evaluation
from adapter_transfer.experiments.adoption import Adoptions, Place
from adapter_transfer.experiments.costs import Conditions, run_costs, total_cost
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.evaluation import evaluation_plan
from adapter_transfer.experiments.execute import execute
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.phase_settings import phase_settings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.results import read_records
from adapter_transfer.experiments.runs import RunSpec
from adapter_transfer.experiments.store import Store
from adapter_transfer.hub import HubError
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.sharing.package import Package, SharedAdapter, SharedBackbone, SharedData
from adapter_transfer.sharing.references import parse_hub_adapter
from adapter_transfer.tasks.catalog import TASKS

MACHINE = MachineSettings(device="cpu", threads=1)
PULLED = f"intermediates=[none, {NAME}]"
ONLY_PULLED = f"intermediates=[{NAME}]"


def experiment(*overrides):
    return parse(Experiment, apply_overrides(read_text(SMALL, "small.yaml"), overrides))


def intermediates(plan):
    return [run.spec for run in plan.runs if run.spec.phase == "intermediate"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with the intermediate of two seeds, and their specifications."""
    store = Store.open(tmp_path_factory.mktemp("trained") / "store")
    plan = make_plan(experiment("intermediates=[next-event]", "seeds=[1, 2]"), store)
    lower = replace(plan, runs=tuple(run for run in plan.runs if run.spec.phase == "intermediate"))
    assert not execute(lower, store, MACHINE).failed
    return store, intermediates(plan)


@pytest.fixture
def package(trained, tmp_path):
    """Writes a package of the first seed, or of those named; gives its folder."""
    store, specs = trained

    def write(name="package", seeds=(1,), **changes):
        found = {spec.seed: spec for spec in specs}
        runs = {"." if len(seeds) == 1 else f"seed-{seed}": found[seed] for seed in seeds}
        return write_package(store, runs, tmp_path / name, **changes)

    return write


def planned(folder, *overrides, store=None, pulled=PULLED):
    shelf = Shelf({REPO: folder})
    sources = Sources(resolver=shelf.resolver, pull=shelf)
    return make_plan(experiment(pulled, *overrides), store, sources)


@pytest.fixture
def run(monkeypatch):
    """Plans and executes an experiment with what lies in a folder, in a store."""

    def run(folder, store, *overrides, pulled=ONLY_PULLED):
        monkeypatch.setattr(adopting, "pull_into", lambda store_dir, wanted: Shelf({REPO: folder})(wanted))
        plan = planned(folder, *overrides, store=store, pulled=pulled)
        outcome = execute(plan, store, MACHINE)
        assert not outcome.failed, outcome.failed
        return plan

    return run


def answers(store, plan):
    """Of each evaluation, the whole table of predictions."""
    runs = [run.spec for run in plan.runs if run.spec.phase == "evaluation"]
    return {(s.seed, s.composition): pq.read_table(store.run_dir(s.id) / "predictions.parquet") for s in runs}


# The same as if it were trained here


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("compositions=[stack, stack-tuned, sequential]", "head=carry"),
        ("target=none", "evaluate=micro-copa"),
    ],
    ids=["with a target", "alone"],
)
def test_it_answers_as_the_trained_one(trained, package, run, tmp_path, overrides):
    own = Store.open(tmp_path / "own")
    shutil.copytree(trained[0].root, own.root, dirs_exist_ok=True)
    local = make_plan(experiment("intermediates=[next-event]", *overrides), own)
    assert not execute(local, own, MACHINE).failed
    theirs = Store.open(tmp_path / "theirs")
    plan = run(package(), theirs, *overrides)
    expected, found = answers(own, local), answers(theirs, plan)
    assert len(expected) == (1 if "target=none" in overrides else 3)
    assert expected.keys() == found.keys()
    assert all(found[key].equals(table) for key, table in expected.items())


def test_what_an_adoption_leaves_behind(trained, package, run, tmp_path):
    store = Store.open(tmp_path / "store")
    plan = run(package(), store)
    (spec,) = intermediates(plan)
    stored = store.read(spec.id)
    store.verify(spec.id)
    source = trained[0].run_dir(trained[1][0].id) / "artifact" / "adapters" / "next-event"
    copied = store.run_dir(spec.id) / "artifact" / "adapters" / spec.adopted.module_name
    assert {f.name: f.read_bytes() for f in copied.iterdir()} == {f.name: f.read_bytes() for f in source.iterdir()}
    metrics = stored.metrics
    assert (metrics["adopted"]["repo"], metrics["adopted"]["commit"]) == (REPO, COMMIT)
    assert "num_steps" not in metrics and metrics["train_loss_last"] is None
    trained_metrics = trained[0].read(trained[1][0].id).metrics
    for name in ("trained_parameters", "head_parameters", "total_parameters", "encoder_parameters"):
        assert metrics[name] == trained_metrics[name], name
    # Nothing is told of a training that was not here.
    assert stored.run["description"]["training"] == {"max_length": 64}
    assert all(RunSpec.from_description(run.spec.description()) == run.spec for run in plan.runs)
    assert all(run.status == "done" for run in planned(package("again"), store=store, pulled=ONLY_PULLED).runs)


def test_records_say_where_it_is_from(package, run, tmp_path):
    store = Store.open(tmp_path / "store")
    run(package(), store)
    records = read_records(store)
    (lower,) = [record for record in records.runs if record.phase == "intermediate"]
    assert lower.task == lower.intermediate == NAME
    assert lower.settings["adopted"] == lower.metrics["adopted"]["digest"]
    assert {result.intermediate for result in records.results} == {NAME}


def test_a_package_that_changed_since_the_plan_is_refused(package, monkeypatch, tmp_path):
    store = Store.open(tmp_path / "store")
    plan = planned(package(), store=store, pulled=ONLY_PULLED)
    other = package("other", seeds=(2,))
    monkeypatch.setattr(adopting, "pull_into", lambda store_dir, wanted: Shelf({REPO: other})(wanted))
    outcome = execute(plan, store, MACHINE)
    (failed,) = outcome.failed.values()
    assert "not what this run was planned with" in failed.message
    assert len(outcome.skipped) == 2


def test_what_fits_by_its_word_but_not_by_its_shapes_is_refused(package, monkeypatch, tmp_path):
    folder = package(method_settings={**METHODS["seq_bn"].parse_settings({"reduction_factor": 8}).model_dump()})
    store = Store.open(tmp_path / "store")
    plan = planned(folder, "methods=[{name: seq_bn, settings: {reduction_factor: 8}}]", store=store, pulled=ONLY_PULLED)
    monkeypatch.setattr(adopting, "pull_into", lambda store_dir, wanted: Shelf({REPO: folder})(wanted))
    outcome = execute(plan, store, MACHINE)
    (failed,) = outcome.failed.values()
    assert "do not fit backbone 'nano'" in failed.message


# Ids


def test_ids_of_trained_runs_are_those_of_before():
    plan = make_plan(experiment())
    assert [run.spec.id for run in plan.runs] == [
        "fc30228d2fcc1ecf947b17ae",
        "0a02fa217b2631a0fd028291",
        "c6f62242f83f21e5094a927e",
        "258ab50697da7b082bbd992f",
        "b1cf3761fc1bcb275a7d293c",
    ]
    assert "adopted" not in plan.runs[0].spec.description()


def test_an_id_follows_from_the_content_alone(package):
    folder = package()
    ids = {run.spec.id for run in planned(folder).runs}
    by_commit = planned(folder, pulled=f"intermediates=[none, hub:{REPO}@{COMMIT}]")
    assert {run.spec.id for run in by_commit.runs} == ids
    baseline = {run.spec.id for run in make_plan(experiment("intermediates=[none]")).runs}
    other = {run.spec.id for run in planned(package("other", seeds=(2,))).runs}
    assert ids & other == baseline


def test_one_adapter_under_two_names_is_refused(package):
    with pytest.raises(ConfigError, match="are the same adapter"):
        planned(package(), pulled=f"intermediates=[{NAME}, hub:{REPO}@{COMMIT}]")


def test_a_package_is_pulled_once_a_plan(package):
    shelf = Shelf({REPO: package()})
    grid = experiment(PULLED, "methods=[full, {name: seq_bn, settings: {reduction_factor: 4}}, lora]", "seeds=[1, 2]")
    make_plan(grid, None, Sources(resolver=shelf.resolver, pull=shelf))
    assert [str(wanted) for wanted in shelf.pulled] == [f"hub:{REPO}@{COMMIT}"]


# Where it may stand


def test_cells_in_which_it_cannot_stand_are_impossible(package):
    grid = "methods=[full, {name: seq_bn, settings: {reduction_factor: 4}}, {name: lora}]"
    plan = planned(package(), grid, "backbones=[nano, micro]")
    reasons = {(cell.backbone, cell.method): cell.reason for cell in plan.impossible}
    assert reasons.keys() == {(name, method) for name in ("nano", "micro") for method in ("full", "lora")} | {
        ("micro", "seq_bn")
    }
    assert "full fine-tuning has none" in reasons["nano", "full"]
    assert "method 'seq_bn', and the cell has 'lora'" in reasons["nano", "lora"]
    assert "another backbone than 'micro'" in reasons["micro", "seq_bn"]
    assert "hidden_size 64 instead of" in reasons["micro", "seq_bn"]


def test_other_settings_and_other_weights_are_told(package):
    with pytest.raises(ImpossibleError, match=r"reduction_factor: 4.* in the adapter, 2.* here"):
        planned(package(), "methods=[{name: seq_bn, settings: {reduction_factor: 2}}]", pulled=ONLY_PULLED)
    with pytest.raises(ImpossibleError, match=r"other weights, configuration or tokenizer: 'org/x' at cccccccccccc\)"):
        folder = package("other", backbone={"digest": "b" * 64, "repo": "org/x", "commit": "c" * 40})
        planned(folder, pulled=ONLY_PULLED)


def test_what_was_trained_on_top_of_another_does_not_stand_alone(package):
    with pytest.raises(ImpossibleError, match="trained on top of"):
        planned(package(adapter={"parents": (".",)}), pulled=ONLY_PULLED)


def test_without_a_store_there_is_nowhere_to_pull_to():
    with pytest.raises(ConfigError, match="no store to pull it into"):
        make_plan(experiment(PULLED), None, Sources(resolver=Shelf({}).resolver))


# Seeds


def test_a_seed_stands_on_its_own_adapter(package, trained):
    plan = planned(package(seeds=(1, 2)), "seeds=[1, 2]")
    found = adopted_of([run.spec for run in plan.runs])
    assert [(each.seed, each.path) for each in found] == [(1, "seed-1"), (2, "seed-2")]
    assert len({each.digest for each in found}) == 2
    assert not any("stands below all seeds" in warning for warning in plan.warnings)
    with pytest.raises(ConfigError, match=r"no adapter of seed 3; it has seeds 1, 2"):
        planned(package("again", seeds=(1, 2)), "seeds=[1, 3]")


def test_one_adapter_below_several_seeds_is_a_caveat(package):
    plan = planned(package(), "seeds=[1, 2]")
    lower = intermediates(plan)
    assert len({spec.id for spec in lower}) == 2
    assert len({each.digest for each in adopted_of(lower)}) == 1
    (told,) = [warning for warning in plan.warnings if "below all seeds (1, 2)" in warning]
    assert "the interval does not hold" in told
    assert not any("below all seeds" in warning for warning in planned(package("again")).warnings)


def test_adapters_that_cannot_be_told_apart_are_refused(package):
    with pytest.raises(ConfigError, match="which of its adapters is meant"):
        planned(package(seeds=(1, 2), adapter={"seed": None}))


# What it was trained on


def test_a_leak_is_refused(package):
    test_items = make_plan(experiment("intermediates=[none]")).runs[-1].spec.data
    by_digest = package(adapter={"data": (SharedData(split="mine/train/en", digest=test_items[0].digest),)})
    with pytest.raises(ConfigError, match=r"leak: hub:org/event@main was trained with the examples of micro-copa/test"):
        planned(by_digest)
    by_name = package("other", adapter={"data": (SharedData(split="micro-copa/test/zz"),)})
    with pytest.raises(ConfigError, match="'micro-copa/test/zz', which is evaluated"):
        planned(by_name)


def test_a_leak_is_refused_in_languages_that_are_asked_for_later(package, run, monkeypatch, tmp_path):
    every = make_plan(experiment("intermediates=[none]", "languages=[en, qb]")).runs[-1].spec.data
    digest = next(ref.digest for ref in every if ref.language == "qb")
    folder = package(adapter={"data": (SharedData(split="mine/train/qb", digest=digest),)})
    store = Store.open(tmp_path / "store")
    plan = run(folder, store)
    (target,) = [run.spec for run in plan.runs if run.spec.phase == "target"]
    monkeypatch.setattr(evaluation, "pull_into", lambda store_dir, wanted: Shelf({REPO: folder})(wanted))
    assert evaluation_plan(store, target.id, ["qa"]).warnings == ()
    with pytest.raises(ConfigError, match=r"leak: hub:org/event@main was trained with the examples of micro-copa/test"):
        evaluation_plan(store, target.id, ["qa", "qb"])

    def nowhere(store_dir, wanted):
        raise HubError("offline")

    monkeypatch.setattr(evaluation, "pull_into", nowhere)
    (told,) = evaluation_plan(store, target.id, ["qa"]).warnings
    assert "a leak cannot be excluded" in told


def test_where_nothing_is_known_a_leak_is_not_excluded(package):
    assert not any("leak" in warning for warning in planned(package()).warnings)
    for number, unknown in enumerate(({"data": ()}, {"is_data_complete": False})):
        (told,) = planned(package(f"other-{number}", adapter=unknown)).warnings
        assert "a leak cannot be excluded" in told


def test_another_precision_is_told(package):
    told = planned(package(), "precisions=[fp32, bf16]", pulled=ONLY_PULLED).warnings
    assert f"{NAME}: was trained on a backbone in fp32, and stands on one in bf16 here." in told


def test_another_commit_of_the_backbone_is_told_with_its_revision():
    base = BACKBONES["base"].pinned(lambda kind, repo, revision: "1" * 40)
    place = Place(METHODS["seq_bn"], {}, base, base.digest())
    fields = base.known_fields()
    says = {"architecture": base.architecture, "hidden_size": fields["hidden_size"], "num_hidden_layers": None}
    package = Package(
        backbone=SharedBackbone(name="base", repo=base.model.repo, commit="2" * 40, digest="e" * 64, **says),
        method="seq_bn",
        adapters=(SharedAdapter(path=".", name="a", role="intermediate", task="t", has_head=False),),
    )
    standing = SimpleNamespace(folder=None, package=package)
    adoptions = Adoptions(Shelf({}).resolver.commit, lambda wanted: standing)
    with pytest.raises(ImpossibleError, match=f"revision: {'2' * 40}` under `backbones`"):
        adoptions.require_fit(NAME, place)
    old_name = replace_backbone(package, repo="xlm-roberta-base", commit=None, digest=None)
    standing.package = old_name
    Adoptions(Shelf({}).resolver.commit, lambda wanted: standing).require_fit(NAME, place)
    standing.package = replace_backbone(package, repo="xlm-roberta-large", commit=None, digest=None)
    with pytest.raises(ImpossibleError, match="'xlm-roberta-large' instead of"):
        Adoptions(Shelf({}).resolver.commit, lambda wanted: standing).require_fit(NAME, place)


def replace_backbone(package, **changes):
    return package.model_copy(update={"backbone": package.backbone.model_copy(update=changes)})


def test_what_is_pulled_is_told(package):
    (note,) = [note for note in planned(package()).notes if "pulled" in note]
    assert note == f"{NAME}: pulled from {REPO} at {COMMIT[:12]}; trained on 'next-event', with seed 1."


# Heads


def heads(plan):
    return {run.spec.head for run in plan.runs if run.spec.phase == "target"}


def test_a_head_goes_on_where_it_has_our_shape(package):
    assert heads(planned(package(), "head=carry", pulled=ONLY_PULLED)) == {"carry"}
    assert heads(planned(package("b", has_head=False), "head=carry", pulled=ONLY_PULLED)) == {"fresh"}


def test_a_head_of_another_shape_does_not_go_on(trained, package, tmp_path):
    folder = package()
    path = folder / "head_config.json"
    content = json.loads(path.read_text())
    content["config"]["layers"] = 1
    shelf = Shelf({REPO: folder})
    standing = shelf(parse_hub_adapter(NAME))
    path.write_text(json.dumps(content))
    sources = Sources(resolver=shelf.resolver, pull=lambda wanted: standing)
    assert heads(make_plan(experiment(ONLY_PULLED, "head=carry"), None, sources)) == {"fresh"}


def test_a_package_without_a_head_runs_and_answers_nothing_alone(package, run, tmp_path):
    folder = package(has_head=False)
    run(folder, Store.open(tmp_path / "store"), "head=carry")
    with pytest.raises(ImpossibleError, match="cannot answer"):
        planned(folder, "target=none", "evaluate=micro-copa", pulled=ONLY_PULLED)


# Everything that looks at runs


def test_nothing_is_paid_for_what_is_pulled(package):
    plan = planned(package(), "seeds=[1, 2]")
    costs = run_costs([run.spec for run in plan.runs], Conditions(memory_bytes=2**33))
    for spec in intermediates(plan):
        cost = costs[spec.id]
        assert (cost.flops, cost.memory.total, cost.trained_parameters, cost.fits) == (0, 0, 0, True)
        json.dumps(cost.as_json())
    assert total_cost(costs).flops > 0
    assert {entry.phase for entry in phase_settings(run.spec for run in plan.runs)} == {"target"}


def test_controls_pass_over_it(package):
    with pytest.raises(ConfigError, match="names no real one"):
        experiment(ONLY_PULLED, "controls=[shuffled-labels]")
    added = experiment(f"intermediates=[{NAME}, next-event]", "controls=[shuffled-labels]").all_intermediates
    assert added == (NAME, "next-event", "next-event-shuffled-labels")
    plan = planned(package(), "controls=[choices-only]")
    assert {run.spec.target for run in plan.runs} == {None, "micro-copa", "micro-copa-choices-only"}


def test_a_search_stands_on_it(package):
    search = "tune={trials: {seq_bn: [{learning_rate: 1e-3}, {learning_rate: 2e-3}]}}"
    plan = planned(package(), search, pulled=ONLY_PULLED)
    assert [run.spec.phase for run in plan.runs] == ["intermediate", "target", "target"]
    assert not plan.runs[0].is_trial


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("next-event+hub:org/name@main", "no part of a mixture"),
        ("hub:org/<script>alert(1)</script>", "names no adapter on the Hub"),
        ("hub:../../etc@main", "names no adapter on the Hub"),
        ("hub:org/name@main#abc", "64 hex digits"),
    ],
)
def test_what_names_no_adapter_is_refused(name, told):
    with pytest.raises(ConfigError, match=told):
        experiment(f"intermediates=[none, '{name}']")


def test_names_are_written_with_their_revision_and_stand_once():
    assert experiment("intermediates=[none, hub:org/name]").intermediates == ("none", "hub:org/name@main")
    with pytest.raises(ConfigError, match="each may stand here once"):
        experiment("intermediates=[hub:org/name, hub:org/name@main]")


def test_no_task_has_the_name_of_a_pulled_module(package):
    (adopted,) = adopted_of(intermediates(planned(package())))
    assert adopted.module_name not in TASKS
    assert adopted.module_name == f"pulled-{adopted.digest[:12]}"


def test_a_package_that_cannot_be_had_ends_the_plan():
    def fails(wanted):
        raise DataError("unsafe")

    with pytest.raises(DataError, match="unsafe"):
        make_plan(experiment(PULLED), None, Sources(resolver=Shelf({}).resolver, pull=fails))


def test_what_an_author_says_of_the_training_data_is_told_as_that(package):
    (told,) = planned(package()).warnings
    assert "what its author says" in told and "cannot be checked" in told
