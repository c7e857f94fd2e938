"""Every configuration that people can run is planned, and travels in the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter_transfer.config import dump_yaml, parse, read_document, read_text
from adapter_transfer.experiments.experiment import Experiment
from adapter_transfer.experiments.plan import make_plan

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_is_planned(path):
    experiment = parse(Experiment, read_document(path))
    plan = make_plan(experiment)
    assert plan.runs
    assert experiment.name == path.stem
    assert parse(Experiment, read_text(dump_yaml(experiment), "dumped")) == experiment
    assert path.read_text("utf-8").startswith("# "), "the first line says what it is for (`ls configs` shows it)"


def test_the_demo_is_what_the_readme_says():
    experiment = parse(Experiment, read_document(next(path for path in CONFIGS if path.stem == "demo")))
    assert experiment.backbones == ("nano", "micro", "mini")
    assert [choice.name for choice in experiment.methods] == ["full", "seq_bn"]
    assert experiment.intermediates == ("none", "next-event")
    assert len(experiment.seeds) == 2
    plan = make_plan(experiment)
    phases = [run.spec.phase for run in plan.runs]
    assert [phases.count(name) for name in ("intermediate", "target", "evaluation")] == [12, 24, 24]
