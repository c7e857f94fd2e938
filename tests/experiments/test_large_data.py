"""Large splits: planned twice, the rows are read once; trained from the cache, the weights are those of memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_experiment import artifact_digests

from adapter_transfer.experiments import data as data_module
from adapter_transfer.experiments.data import Sources, examples_of, require_no_leak
from adapter_transfer.experiments.machine import MachineSettings
from adapter_transfer.experiments.plan import make_plan
from adapter_transfer.experiments.session import Session
from adapter_transfer.experiments.store import Store
from adapter_transfer.tasks import task as task_module
from adapter_transfer.tasks.mapped_rows import MappedRows
from adapter_transfer.tasks.stored_examples import ExampleCache

MACHINE = MachineSettings(device="cpu", threads=1)


@pytest.fixture(autouse=True)
def forgetful():
    """A process that has read nothing yet; nor is what is read here left to others."""
    data_module.read_examples.cache_clear()
    yield data_module.read_examples.cache_clear
    data_module.read_examples.cache_clear()


@pytest.fixture
def num_read(monkeypatch):
    counted, checked_rows = [0], task_module.checked_rows

    def counting(*arguments, **settings):
        for row in checked_rows(*arguments, **settings):
            counted[0] += 1
            yield row

    monkeypatch.setattr(task_module, "checked_rows", counting)
    return counted


def test_a_second_plan_reads_no_row_again(small, tmp_path, num_read, forgetful):
    expected = make_plan(small())
    plain = num_read[0]
    sources = Sources(cache=ExampleCache(tmp_path / "cache", most_in_memory=3))
    for _ in range(2):
        forgetful()
        assert make_plan(small(), sources=sources) == expected
    assert num_read[0] == 2 * plain


def test_what_has_been_read_is_not_read_again_whoever_asks(small, tmp_path, num_read):
    cache = ExampleCache(tmp_path / "cache", most_in_memory=3)
    plan = make_plan(small(), sources=Sources(cache=cache))
    before = num_read[0]
    for ref in plan.runs[0].spec.data:
        found = examples_of(ref, None)
        assert isinstance(found.examples, MappedRows)
        assert found is examples_of(ref, None, cache)
    assert num_read[0] == before


def test_leaks_are_looked_for_only_where_ids_mean_something(small, monkeypatch):
    plan = make_plan(small())
    refs = [ref for run in plan.runs for ref in run.spec.data]
    trained = [ref for ref in refs if ref.task == "next-event"]
    tested = [ref for ref in refs if ref.split == "test"]
    assert trained and tested

    def refuse(*arguments):
        raise AssertionError("read")

    monkeypatch.setattr(data_module, "examples_of", refuse)
    require_no_leak([replace(ref, digest=f"{number}") for number, ref in enumerate(trained)], tested, None)


@pytest.mark.parametrize("trims", ["trim_vocabulary=true", "trim_vocabulary=false"])
def test_weights_do_not_depend_on_where_the_data_lies(small, tmp_path, forgetful, trims):
    experiment = small(trims, "methods=[full]", "languages=[qa]")
    stores = []
    for large_split in (10_000, 10):
        forgetful()
        store = Store.open(tmp_path / str(large_split))
        session = Session(store, MACHINE, large_split)
        for run in make_plan(experiment).runs:
            # A worker has planned nothing: it reads by itself.
            forgetful()
            session.execute(run.spec)
        stores.append(store)
    in_memory, mapped = stores
    assert not (in_memory.root / "cache" / "tokens").exists()
    assert len(list((mapped.root / "cache" / "tokens").iterdir())) >= 5
    assert artifact_digests(mapped) == artifact_digests(in_memory)
    tokens = [
        {
            run: store.read(run).metrics["num_train_tokens"]
            for run in store.run_ids()
            if "num_steps" in metrics_of(store, run)
        }
        for store in stores
    ]
    assert tokens[0] == tokens[1] != {}


def metrics_of(store, run):
    metrics = store.read(run).metrics
    assert metrics is not None
    return metrics


def test_no_more_is_tokenized_than_is_trained_on(small, tmp_path):
    told = []
    spec = next(run.spec for run in make_plan(small("training.0.max_train_examples=24")).runs)
    session = Session(Store.open(tmp_path / "store"), MACHINE, large_split=10)
    session.execute(spec, told.append)
    counts = {progress.num_steps for progress in told if progress.doing == f"tokenizing {spec.task}"}
    validation = next(ref.num_examples for ref in spec.data if ref.split == "validation")
    assert counts == {24, validation}
    assert not any(progress.loss for progress in told if progress.doing)
