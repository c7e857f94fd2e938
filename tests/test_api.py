"""The Python API: importing it is light, a small experiment runs to its end, and its results are a data frame."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from answered_runs import put_run
from small_experiment import SMALL

import adapter_transfer
from adapter_transfer import api
from adapter_transfer.documents import read_text
from adapter_transfer.errors import ConfigError, RunFailedError, StoreError
from adapter_transfer.experiments.events import RunDone, RunFailed
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.store import Store


@pytest.fixture
def small() -> dict:
    """A configuration as a mapping."""
    return dict(read_text(SMALL, "small").data)


@pytest.fixture
def answered(tmp_path: Path) -> Path:
    """A store with two scales, with and without an intermediate, made without training."""
    store = Store.open(tmp_path / "answered")
    number = 0
    for backbone, right in (("nano", [1, 0, 1, 0]), ("micro", [1, 1, 1, 0])):
        for intermediate, composition in (("none", "none"), ("next-event", "stack")):
            number += 1
            flags = [1, 1, 1, 1] if intermediate != "none" else right
            answers = {"en": [1, 1, 1, 0], "qa": flags}
            put_run(store, number, answers, backbone=backbone, intermediate=intermediate, composition=composition)
    return store.root


def run_here(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_nothing_and_reading_loads_no_torch():
    code = (
        "import sys, adapter_transfer\n"
        "print(len([name for name in sys.modules if name.startswith('adapter_transfer')]))\n"
        "print(sorted({'torch', 'pandas', 'numpy', 'pydantic'} & set(sys.modules)))\n"
        "from adapter_transfer import answer, report, results, run\n"
        "print(sorted({'torch', 'transformers', 'gradio', 'pandas'} & set(sys.modules)))\n"
    )
    assert run_here(code).split("\n")[:3] == ["1", "[]", "[]"]


def test_every_name_is_there_and_others_are_not():
    assert set(adapter_transfer.__all__) <= set(dir(adapter_transfer))
    for name in adapter_transfer.__all__:
        assert getattr(adapter_transfer, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        _ = adapter_transfer.trane
    assert adapter_transfer.run is api.run


def test_results_are_a_frame_with_the_columns_of_the_command_line(answered, capsys):
    from adapter_transfer_cli.main import main

    with pytest.raises(SystemExit):
        main(["results", "--store", str(answered), "--json"])
    rows = json.loads(capsys.readouterr().out)
    frame = adapter_transfer.results(answered)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(rows[0])
    assert frame.to_dict("records") == rows
    assert len(frame) == 8
    assert adapter_transfer.results(store=answered).equals(frame)


def test_results_are_filtered_by_one_name_or_several(answered):
    qa = adapter_transfer.results(answered, language="qa", intermediate="none")
    assert dict(zip(qa.backbone, qa.accuracy, strict=True)) == {"micro": 0.75, "nano": 0.5}
    assert len(adapter_transfer.results(answered, backbone=["nano", "micro"], seed=1)) == 8
    assert len(adapter_transfer.results(answered, language="sandbox", seed=[1, 2])) == 4
    none = adapter_transfer.results(answered, seed=7)
    assert len(none) == 0
    assert "accuracy" in none.columns
    with pytest.raises(ConfigError, match=r"nanno.*Did you mean 'nano'"):
        adapter_transfer.results(answered, backbone="nanno")


def test_the_answer_of_a_store(answered):
    found = adapter_transfer.answer(answered)
    assert found.target == "micro-copa"
    gains = {cell.backbone: effect.value for cell, effect in found.gains.items()}
    assert gains == {"nano": pytest.approx(0.5), "micro": pytest.approx(0.25)}
    assert found.sentence
    with pytest.raises(ConfigError, match="xcopa"):
        adapter_transfer.answer(answered, target="xcopa")


def test_the_report_of_a_store(answered, tmp_path):
    path = adapter_transfer.report(answered, tmp_path / "made" / "page.html")
    assert path == tmp_path / "made" / "page.html"
    assert "micro-copa" in path.read_text("utf-8")


def test_what_is_missing_or_wrong_is_told(tmp_path, small, answered):
    with pytest.raises(StoreError):
        adapter_transfer.results(store=tmp_path / "none")
    with pytest.raises(StoreError):
        adapter_transfer.results(tmp_path)  # a folder that is no store
    with pytest.raises(ConfigError, match="no such file"):
        adapter_transfer.run("missing.yaml", store=tmp_path / "none")
    with pytest.raises(ConfigError, match="backbones"):
        adapter_transfer.run({**small, "backbones": ["huge"]}, store=tmp_path / "none")
    with pytest.raises(ConfigError, match="at least 1"):
        adapter_transfer.run(small, store=tmp_path / "none", workers=0)
    with pytest.raises(ConfigError, match="no such folder"):
        adapter_transfer.run(small, store=tmp_path / "none", data_dir=tmp_path / "missing")
    with pytest.raises(ConfigError, match="a store has none"):
        adapter_transfer.results(answered, overrides=["seeds=[1]"])
    assert not (tmp_path / "none").exists()


def test_an_experiment_runs_to_its_end_and_is_not_run_again(small, tmp_path):
    events = []
    store = tmp_path / "store"
    done = adapter_transfer.run(small, store=store, device="cpu", threads=1, progress=events.append)
    assert len(done.outcome.done) == 5
    assert {event.run_id for event in events if isinstance(event, RunDone)} == set(done.outcome.done)
    frame = done.results()
    assert sorted(zip(frame.intermediate, frame.language, strict=True)) == [
        ("next-event", "en"),
        ("next-event", "qa"),
        ("none", "en"),
        ("none", "qa"),
    ]
    assert done.results(language="qa").equals(frame[frame.language == "qa"].reset_index(drop=True))
    (gain,) = done.answer().gains.values()
    with_, without = (frame[(frame.intermediate == name) & (frame.language == "qa")] for name in ("next-event", "none"))
    assert gain.value == pytest.approx(with_.accuracy.item() - without.accuracy.item())
    assert done.report() == store / "small" / "report.html"
    assert done.report(tmp_path / "page.html").stat().st_size > 100_000
    again = adapter_transfer.run(Experiment.model_validate_json(json.dumps(small)), store=store, device="cpu")
    assert again.outcome.done == []
    assert again.results().equals(frame)
    assert adapter_transfer.results(small, store=store).equals(frame)
    assert len(adapter_transfer.results(small, store=store, overrides=["languages=[qa]"])) == 0, "another evaluation"
    answers(done, store)


def answers(done, store):
    """What was trained answers, by the id of its run."""
    frame = done.results(intermediate="next-event", language="en")
    predictor = adapter_transfer.load(frame.target_run.item(), store=store, device="cpu")
    question = adapter_transfer.Question("the cat bit Klara.", "cause", ("Klara kicked the cat.", "Klara slept."))
    (prediction,) = predictor.predict([question])
    assert isinstance(prediction, adapter_transfer.Prediction)
    assert sum(prediction.probabilities) == pytest.approx(1)


def test_runs_that_fail_are_told_and_the_others_are_kept(small, tmp_path, monkeypatch):
    from adapter_transfer.experiments import worker

    opened = worker.open_session

    def failing(store, settings):
        work = opened(store, settings)

        def run(spec, number, tell):
            if spec.phase == "intermediate":
                tell(RunFailed(spec.id, number, "a planted failure"))
            else:
                work(spec, number, tell)

        return run

    monkeypatch.setattr(worker, "open_session", failing)
    store = tmp_path / "store"
    with pytest.raises(RunFailedError, match="1 of 5 runs failed; 2 that stand on them") as error:
        adapter_transfer.run(small, store=store, device="cpu", threads=1)
    assert "a planted failure" in str(error.value)
    assert set(adapter_transfer.results(small, store=store).intermediate) == {"none"}
