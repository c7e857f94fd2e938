"""adapter-transfer: what transfers from English intermediate tasks, and does size matter?

The names below are loaded when they are first used: importing this package loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapter_transfer.api import CompletedExperiment, answer, report, results, run
    from adapter_transfer.experiments.experiment import Experiment
    from adapter_transfer.prediction.loading import load
    from adapter_transfer.prediction.predictor import Predictor
    from adapter_transfer.prediction.questions import Prediction, Question

__all__ = [
    "CompletedExperiment",
    "Experiment",
    "Prediction",
    "Predictor",
    "Question",
    "answer",
    "load",
    "report",
    "results",
    "run",
]

_HOMES = {
    **dict.fromkeys(("CompletedExperiment", "answer", "report", "results", "run"), "api"),
    "Experiment": "experiments.experiment",
    "Prediction": "prediction.questions",
    "Predictor": "prediction.predictor",
    "Question": "prediction.questions",
    "load": "prediction.loading",
}
"""Name → the module that has it."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
