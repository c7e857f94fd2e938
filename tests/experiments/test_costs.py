"""What runs cost: figures that agree with each other, verdicts, advice that helps, totals; no arithmetic of memory.

That the estimates themselves are right is tested where they are made (`training/memory.py`, `training/flops.py`).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter_transfer.config import apply_overrides, parse, read_text
from adapter_transfer.experiments.advice import together
from adapter_transfer.experiments.costs import Conditions, how_counted, run_costs, total_cost
from adapter_transfer.experiments.data import Sources
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.rates import Rates
from adapter_transfer.experiments.session import Session
from adapter_transfer.experiments.store import Store
from adapter_transfer.hub_lock import Resolver

PUBLISHED = """
name: published
backbones: [base]
methods: [full, seq_bn]
intermediates: [none, next-event]
target: micro-copa
languages: [en, qa]
seeds: [1, 2]
"""


class OneCommit(Resolver):
    def commit(self, kind, repo, revision="main"):
        return "0" * 40


def planned(*overrides, document=None):
    document = apply_overrides(document or read_text(PUBLISHED, "published.yaml"), overrides)
    return make_plan(parse(Experiment, document), sources=Sources(resolver=OneCommit()))


def costs_of(plan, **conditions):
    return run_costs([run.spec for run in plan.runs], Conditions(**conditions))


def test_verdicts_follow_from_the_memory_that_a_card_must_have():
    plan = planned()
    open_ones = costs_of(plan)
    assert {cost.fits for cost in open_ones.values()} == {None}
    peaks = sorted({cost.memory.total for cost in open_ones.values()})
    costs = costs_of(plan, memory_bytes=peaks[len(peaks) // 2])
    assert {cost.fits for cost in costs.values()} == {True, False}
    for run in plan.as_json({key: cost.as_json() for key, cost in costs.items()})["runs"]:
        assert run["fits"] == (run["peak_memory_bytes"] <= peaks[len(peaks) // 2])
        assert (run["advice"] is None) == run["fits"]
        memory = run["memory"]
        assert run["peak_memory_bytes"] == memory["peak"] + sum(memory["headroom"].values())


def test_every_promised_figure_stands_with_every_run():
    plan = planned("compositions=[stack]")
    costs = costs_of(plan, rates=Rates("given", everywhere=1e12))
    runs = plan.as_json({key: cost.as_json() for key, cost in costs.items()})["runs"]
    promised = {"peak_memory_bytes", "flops", "fits", "trained_parameters", "total_parameters"}
    promised |= {"disk_bytes", "seconds", "advice"}
    assert all(promised <= run.keys() for run in runs)
    for run in runs:
        if run["status"] == "impossible":
            assert {run[name] for name in promised} == {None}
            continue
        assert run["total_parameters"] == 277_453_056
        assert run["seconds"] == pytest.approx(run["flops"] / 1e12)
        assert run["fits"] is None
        assert (run["trained_parameters"] > 0) == (run["phase"] != "evaluation")
        assert (run["trained_parameters"] > run["total_parameters"]) == (
            run["method"] == "full" and run["phase"] != "evaluation"
        ), "trimmed or not, the whole table is trained, and a head"
    assert "seconds" not in plan.as_json()["runs"][0], "without costs, nothing is said of them"


def test_seeds_cost_the_same_and_are_estimated_once(monkeypatch):
    from adapter_transfer.experiments import costs as module

    asked = []
    real = module.demand
    monkeypatch.setattr(module, "demand", lambda spec, *a, **k: asked.append(spec) or real(spec, *a, **k))
    plan = planned()
    costs = costs_of(plan)
    assert len(asked) == len(plan.runs) / 2
    one, other = ([costs[run.spec.id].flops for run in plan.runs if run.spec.seed == seed] for seed in (1, 2))
    assert one == other
    assert all(costs[run.spec.id].demand.spec == run.spec for run in plan.runs)


@pytest.mark.parametrize("share", [0.95, 0.7, 0.45, 0.3])
def test_with_the_advice_a_run_fits(share):
    plan = planned()
    memory = round(share * max(cost.memory.total for cost in costs_of(plan).values()))
    advice = together(cost.advice for cost in costs_of(plan, memory_bytes=memory).values() if cost.advice is not None)
    document = read_text(PUBLISHED, "published.yaml")
    for key, value in read_text(f"name: published\n{advice}", "advice.yaml").data.items():
        document.data[key] = value
    again = planned(document=document)
    hopeless = {line.split(" ")[0] for line in advice.despair}
    left = {cost.demand.spec.method for cost in costs_of(again, memory_bytes=memory).values() if not cost.fits}
    assert left <= hopeless, str(advice)
    assert advice.rules or advice.precisions or advice.despair


def test_a_smaller_token_budget_needs_less_memory():
    plan = planned("training=[{learning_rate: 1e-4, max_length: 32}]")
    some, fewer = (costs_of(plan, token_budget=budget) for budget in (1024, 128))
    assert all(fewer[key].memory.peak <= some[key].memory.peak for key in some)
    assert sum(fewer[key].memory.peak for key in some) < sum(cost.memory.peak for cost in some.values())
    # The machine's word goes before the run's own, as it does when the run works.
    own = planned("training=[{learning_rate: 1e-4, max_length: 32, token_budget: 128}]")
    assert [cost.memory for cost in costs_of(own).values()] == [cost.memory for cost in fewer.values()]
    assert [c.memory for c in costs_of(own, token_budget=1024).values()] == [c.memory for c in some.values()]


def test_advice_goes_before_the_machines_budget():
    plan = planned("methods=[seq_bn]", "training=[{learning_rate: 1e-4, max_length: 32}]")
    fewer = max(cost.memory.total for cost in costs_of(plan, token_budget=1024).values())
    advised = [cost.advice for cost in costs_of(plan, memory_bytes=fewer, token_budget=2048).values() if cost.advice]
    assert advised and all("token_budget: 1024" in str(advice) for advice in advised)


def test_trimming_saves_memory_and_no_parameters():
    methods = "methods=[full]"
    trimmed, whole = (costs_of(planned(methods, f"trim_vocabulary={answer}")) for answer in ("true", "false"))
    assert trimmed.keys() == whole.keys(), "trimming is no part of a run's identity"
    for key, cost in whole.items():
        assert trimmed[key].memory.peak < cost.memory.peak
        assert trimmed[key].trained_parameters == cost.trained_parameters
        assert trimmed[key].disk_bytes == cost.disk_bytes


def test_totals_are_sums_of_what_is_given():
    costs = costs_of(planned("methods=[full]"), rates=Rates("given", everywhere=1e12))
    total = total_cost(costs)
    assert total.seconds == pytest.approx(total.flops / 1e12)
    assert total.disk_bytes == sum(cost.disk_bytes for cost in costs.values())
    assert total.checkpoint_bytes == max(cost.checkpoint_bytes for cost in costs.values())
    assert total.download_bytes == {"base": 4 * 277_453_056}
    assert total_cost({}).as_json() == {
        "flops": 0,
        "seconds": 0,
        "disk_bytes": 0,
        "checkpoint_bytes": 0,
        "download_bytes": {},
    }


def test_tokens_that_are_estimated_are_said_to_be():
    counted = costs_of(planned()).values()
    assert {cost.demand.basis for cost in counted} == {"bytes"}
    assert "a token for every 4 bytes" in how_counted(counted)
    assert "at least" not in how_counted(counted)
    many = [replace(cost, demand=replace(cost.demand, is_seen_whole=False)) for cost in counted]
    assert "at least" in how_counted(many)
    sandbox = planned("backbones=[nano]", "training=[{learning_rate: 1e-4, max_train_examples: 16}]")
    assert how_counted(costs_of(sandbox).values()) == ""


def test_a_mixture_turns_out_as_its_plan_says(small, tmp_path):
    plan = make_plan(small("methods=[seq_bn]", "intermediates=[next-event+event-nli]"))
    spec = next(run.spec for run in plan.runs if run.spec.phase == "intermediate")
    cost = costs_of(plan)[spec.id]
    session = Session(Store.open(tmp_path / "store"), MachineSettings(device="cpu", threads=1))
    session.execute(spec)
    metrics = session.store.read(spec.id).metrics
    assert cost.trained_parameters == metrics["trained_parameters"]
    # The task of each step is drawn: what is planned is the mean, by as many steps as there were.
    drawn = [metrics["tasks"][task.name]["num_steps"] for task in spec.tasks]
    planned = [metrics["num_steps"] * metrics["tasks"][task.name]["share"] for task in spec.tasks]
    shares = zip(cost.demand.tasks, drawn, planned, strict=True)
    padded = sum(task.trained.num * steps / mean for task, steps, mean in shares)
    assert padded == pytest.approx(metrics["num_padded_tokens"], rel=0.05)
    run_dir = session.store.run_dir(spec.id)
    written = sum(path.stat().st_size for path in (run_dir / "artifact").rglob("*.safetensors"))
    assert len(list((run_dir / "artifact" / "heads").iterdir())) == 2
    predictions = sum(task.prediction_bytes for task in cost.demand.tasks)
    assert cost.disk_bytes - predictions == pytest.approx(written, rel=0.1)
    assert predictions == pytest.approx(sum(path.stat().st_size for path in run_dir.rglob("*.parquet")), rel=0.5)


def test_a_run_turns_out_as_its_plan_says(small, tmp_path):
    plan = make_plan(small("intermediates=[none]"))
    costs = costs_of(plan)
    session = Session(Store.open(tmp_path / "store"), MachineSettings(device="cpu", threads=1))
    for run in plan.runs:
        session.execute(run.spec)
        metrics = session.store.read(run.spec.id).metrics
        told = costs[run.spec.id].as_json()
        assert told["tokens"]["num_kept"] == metrics["num_kept_tokens"]
        if run.spec.phase == "evaluation":
            continue
        assert (told["trained_parameters"], told["total_parameters"]) == (
            metrics["trained_parameters"],
            metrics["total_parameters"],
        )
        assert told["tokens"]["longest_row"] >= metrics["max_row_tokens"]
        # Which examples meet in a step is another draw.
        padded = costs[run.spec.id].demand.trained.num
        assert padded == pytest.approx(metrics["num_padded_tokens"], rel=0.05)
        artifact = session.store.run_dir(run.spec.id) / "artifact"
        written = sum(path.stat().st_size for path in artifact.rglob("*.safetensors"))
        predictions = sum(task.prediction_bytes for task in costs[run.spec.id].demand.tasks)
        assert told["disk_bytes"] - predictions == pytest.approx(written, rel=0.05)
