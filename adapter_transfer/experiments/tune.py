"""The `tune:` section of an experiment: what is tried for every cell before its seeds are trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, create_model, model_serializer

from adapter_transfer.config import Settings
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.registry import unknown_name_message
from adapter_transfer.training.settings import Phase, optional_fields


class TrialBase(Settings):
    """One set of changes that is tried: hyper-parameters, and settings of the method."""

    settings: Mapping[str, Any] = {}
    """Settings of the method, such as a bottleneck's reduction factor; used in every phase of the cell."""

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}

    def changes(self) -> dict[str, Any]:
        """The hyper-parameters that this trial sets, as written."""
        return {key: getattr(self, key) for key in self.model_fields_set if key != "settings"}

    def describe(self) -> str:
        """The trial in a line: `learning_rate 0.0001, reduction_factor 8`."""
        items = {**self.changes(), **self.settings}
        return ", ".join(f"{key} {value}" for key, value in sorted(items.items())) or "as configured"


Trial: type[TrialBase] = create_model("Trial", __base__=TrialBase, **optional_fields())


class Tune(Settings):
    """A small search before the seeds are trained.

    Every compared cell (with an intermediate or without) tries all trials of its method with one seed; the best in
    English validation (accuracy, then loss) is used for all seeds.
    """

    trials: Mapping[str, Annotated[tuple[Trial, ...], Field(min_length=2)]]  # type: ignore[valid-type]  # create_model
    """Method → what is tried. Every method of the experiment stands here, with equally many trials."""
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] = ("target",)
    """Phases whose training a trial's hyper-parameters change; both phases tune the intermediate along."""
    seed: int | None = Field(None, ge=0)
    """Run seed of the trials; without it, the first seed of the experiment."""

    def of(self, method: str) -> tuple[TrialBase, ...]:
        """The trials of a method."""
        return tuple(self.trials.get(method, ()))

    def problems(self, methods: list[str]) -> list[str]:
        """What is wrong with it for an experiment of these methods."""
        found = [unknown_name_message("method", name, METHODS) for name in self.trials if name not in METHODS]
        found += [f"{name!r} has no trials" for name in methods if name not in self.trials]
        if "target" not in self.phases:
            found.append("phases: the target has to be among them, or cells without an intermediate try nothing")
        counts = {name: len(trials) for name, trials in self.trials.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name} {number}" for name, number in counts.items())
            found.append(f"every method needs equally many trials, or the comparison is unfair ({told})")
        return [f"tune.trials: {problem}" for problem in found]
