"""The table of what intermediates learned: choices, spans, mixtures, and runs of the first version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from adapter_transfer.analysis.learning import learning_table
from adapter_transfer.experiments.adopted import Adopted
from adapter_transfer.experiments.results import RunRecord

RUN = RunRecord(
    id="a", phase="intermediate", status="done", backbone="base", precision="fp32", method="full", composition="none",
    intermediate="mnli", task="mnli", seed=1, reason="", parents=(), seconds=1.0, metrics={}, versions={}, data={},
)  # fmt: skip


def of(task: str, seed: int = 1, **metrics: Any) -> RunRecord:
    common = {"num_validation": 100, "train_loss_first": 1.1, "train_loss_last": 0.4, "validation_loss": 0.5}
    return replace(RUN, id=f"{task}{seed}", task=task, intermediate=task, seed=seed, metrics={**common, **metrics})


def texts(*runs: RunRecord) -> list[list[str]]:
    return learning_table(runs).texts


def test_seeds_of_a_cell_are_one_line():
    runs = [
        of("mnli", seed, validation_score=score, validation_metric="accuracy", chance=1 / 3, train_loss_last=last)
        for seed, score, last in ((1, 0.7, 0.4), (2, 0.8, 0.6))
    ]
    assert texts(*runs) == [["mnli", "base · fp32 · full", "2", "1.100", "0.500", "accuracy", "75.0", "33.3", "100"]]


def test_a_metric_without_chance_has_none():
    assert texts(of("squad1", validation_score=0.5, validation_metric="f1", chance=None)) == [
        ["squad1", "base · fp32 · full", "1", "1.100", "0.400", "F1", "50.0", "–", "100"]
    ]


def test_a_mixture_has_a_line_for_each_of_its_tasks():
    run = of(
        "mnli+squad1",
        validation_score=0.55,
        validation_metric="mean",
        chance=None,
        validations={
            "mnli": {"metric": "accuracy", "accuracy": 0.6, "num_items": 60},
            "squad1": {"metric": "f1", "f1": 0.5, "num_items": 40},
        },
        tasks={
            "mnli": {"chance": 1 / 3, "train_loss_first": 1.1, "train_loss_last": 1.0},
            "squad1": {"train_loss_first": None, "train_loss_last": None},
        },
    )
    first, second = texts(run)
    assert first[0] == "mnli+squad1: mnli"
    assert first[3:] == ["1.100", "1.000", "accuracy", "60.0", "33.3", "60"]
    assert second[3:] == ["–", "–", "F1", "50.0", "–", "40"]
    assert "The loss fell in 1 of 1." in learning_table([run]).notes[0]


def test_runs_of_the_first_version_are_told_too():
    assert texts(of("socialiqa", validation_accuracy=0.4, chance=1 / 3))[0][5:8] == ["accuracy", "40.0", "33.3"]


def test_a_loss_that_rose_is_counted():
    assert "The loss fell in 0 of 1." in learning_table([of("mnli", train_loss_last=1.2)]).notes[0]


def test_targets_and_unfinished_runs_are_not_in_it():
    assert texts(replace(of("mnli"), phase="target"), replace(of("mnli"), status="failed")) == []
    assert learning_table([]).notes == ()


def test_of_what_was_pulled_it_is_told_where_from():
    adopted = Adopted("org/name", "main", "c" * 40, "d" * 64, ".", "mnli").as_json()
    name = "hub:org/name@main"
    runs = [
        replace(RUN, id=str(seed), task=name, intermediate=name, seed=seed, metrics={"adopted": adopted})
        for seed in (1, 2)
    ]
    trained = of("mnli", validation_score=0.7, validation_metric="accuracy", chance=1 / 3)
    table = learning_table([*runs, trained])
    assert [row[0] for row in table.texts] == ["mnli", name]
    assert table.texts[1][1:4] == ["base · fp32 · full", "2", "pulled from org/name at cccccccccccc"]
    assert set(table.texts[1][4:]) == {"–"}
    assert len(table.notes) == 2 and len(learning_table(runs).notes) == 1
