"""What a run is: its specification and the identity that it follows from. No torch.

The id is SHA-256 over canonical JSON of everything that can change the result, and of nothing that cannot: no paths,
no order of keys, no token budget, worker, device or checkpoint interval.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from adapter_transfer.backbones.zoo import BACKBONES, Backbone, Precision, backbone_from_json
from adapter_transfer.canonical import digest
from adapter_transfer.experiments.adopted import Adopted
from adapter_transfer.experiments.data import SplitRef, refs_from_json, refs_to_json, texts_digest
from adapter_transfer.methods.composition import ResolvedComposition
from adapter_transfer.tasks.formats import Format
from adapter_transfer.tasks.mixtures import is_mixture, members
from adapter_transfer.tasks.task import Task
from adapter_transfer.training.settings import TrainingSettings

COMPUTATION_VERSION = 1
"""Raised when a change of the code changes what a run computes, so that older results stay true under older ids."""

ID_LENGTH = 24

Phase = Literal["intermediate", "target", "evaluation"]
HeadStart = Literal["fresh", "carry"]

_NO_RATE = 1.0
"""Stands in the place of a learning rate where nothing learns; it is never recorded."""


@dataclass(frozen=True)
class RunSpec:
    """One phase with one seed: everything that a worker needs to run it.

    Attributes:
        declaration: the backbone itself, its revisions resolved to commits: what a worker loads.
        task: what is trained, a task or a mixture (see `tasks.mixtures`); for an evaluation, what is evaluated.
        intermediate: of the cell; an intermediate run's own task, or "none".
        composition: of the cell; "none" for an intermediate run and where there is no intermediate.
        head: whether the head starts from the intermediate's.
        training: of this phase; for an evaluation, of the target phase that it evaluates.
        data: the splits that are read: train and validation, or the test items of each language.
        parents: role ("intermediate", "target") → run id.
        backbone_digest: of weights, configuration and tokenizer.
        tokenizer_data: what a tokenizer of our own is trained on; empty where the backbone has one.
        vocabulary: everything that the experiment reads, where the embedding table is trimmed to its tokens; empty
            where the table stays whole. No part of the identity: trimming is exact.
        adopted: of a cell whose intermediate was pulled and not trained: that adapter, in each of its runs.
    """

    phase: Phase
    backbone: str
    declaration: Backbone
    backbone_digest: str
    precision: Precision
    method: str
    method_settings: Mapping[str, Any]
    composition: ResolvedComposition
    intermediate: str
    task: str
    target: str | None
    seed: int
    head: HeadStart
    training: TrainingSettings
    data: tuple[SplitRef, ...]
    parents: Mapping[str, str] = field(default_factory=dict)
    tokenizer_data: tuple[SplitRef, ...] = ()
    vocabulary: tuple[SplitRef, ...] = ()
    adopted: Adopted | None = None

    def identity(self) -> dict[str, Any]:
        """What the id is made of, as JSON."""
        parents = dict(self.parents)
        if self.is_adoption:
            assert self.adopted is not None
            return {
                "computation": COMPUTATION_VERSION,
                "phase": self.phase,
                "parents": parents,
                "backbone": self.backbone_digest,
                "precision": self.precision,
                "method": {"name": self.method, "settings": dict(self.method_settings)},
                "seed": self.seed,
                "adopted": self.adopted.digest,
            }
        data = [[ref.task, ref.split, ref.language, ref.digest] for ref in self.data]
        common = {"computation": COMPUTATION_VERSION, "phase": self.phase, "parents": parents, "data": data}
        if self.phase == "evaluation":
            # Everything about the model follows from the target run; how text is cut is the one thing added.
            return {**common, "max_length": self.training.max_length}
        return {
            **common,
            "backbone": self.backbone_digest,
            "precision": self.precision,
            "method": {"name": self.method, "settings": dict(self.method_settings)},
            "composition": self.composition,
            "head": self.head,
            "training": self.training.identity(
                is_mixture=len(self.tasks) > 1,
                # Of what has one label a row, a row is a window.
                cuts_windows=any(task.format.label_level == "row" for task in self.tasks),
            ),
            "seed": self.seed,
        }

    @property
    def is_adoption(self) -> bool:
        """Whether it takes over a pulled adapter in the place of a training."""
        return self.phase == "intermediate" and self.adopted is not None

    @property
    def is_training(self) -> bool:
        return self.phase != "evaluation" and not self.is_adoption

    @property
    def lower_name(self) -> str:
        """What the intermediate's adapter is called on the backbone and in artifacts."""
        return self.intermediate if self.adopted is None else self.adopted.module_name

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is trained or evaluated: one task, those of a mixture, or none where an adapter is taken over."""
        return () if self.is_adoption else members(self.task)

    @property
    def formats(self) -> tuple[Format, ...]:
        """The format of each task, with the labels that its training data tells."""
        labels = {ref.task: ref.labels for ref in self.data if ref.split == "train"}
        return tuple(task.format.with_labels(labels.get(task.name, ())) for task in self.tasks)

    @property
    def texts_digest(self) -> str | None:
        """Of the text that a tokenizer of our own is trained on; None where the backbone has one."""
        return texts_digest(self.tokenizer_data)

    @property
    def id(self) -> str:
        return digest(self.identity())[:ID_LENGTH]

    def description(self) -> dict[str, Any]:
        """The run in the words of the field, for people, for analysis and for `from_description`."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del fields["adopted"]
        return {
            **fields,
            "declaration": self.declaration.as_json(),
            "method_settings": dict(self.method_settings),
            "training": self._described_training(),
            "parents": dict(self.parents),
            "data": refs_to_json(self.data),
            # A list, because a tokenizer depends on the order of its text, and files are written with sorted keys.
            "tokenizer_data": _listed(self.tokenizer_data),
            "vocabulary": _listed(self.vocabulary),
            # Only where there is one, so that all other runs are described as they always were.
            **({} if self.adopted is None else {"adopted": self.adopted.as_json()}),
        }

    def _described_training(self) -> dict[str, Any]:
        told = self.training.model_dump(mode="json")
        if self.adopted is not None and (self.is_adoption or self.composition == "alone"):
            return {"max_length": told["max_length"]}
        return told

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """The specification that `description` was made of."""
        declared, adopted = description.get("declaration"), description.get("adopted")
        training = description["training"]
        if adopted is not None:
            training = {"learning_rate": _NO_RATE, **training}
        return cls(
            **{
                **description,
                # Runs of the first version name a backbone of the zoo and nothing more.
                "declaration": backbone_from_json(declared) if declared else BACKBONES[description["backbone"]],
                "training": TrainingSettings.model_validate_json(json.dumps(training)),
                "data": _in_order_of_tasks(refs_from_json(description["data"]), description["task"]),
                "tokenizer_data": _ordered_refs(description["tokenizer_data"]),
                "vocabulary": _ordered_refs(description.get("vocabulary", [])),
                "adopted": None if adopted is None else Adopted.from_json(adopted),
            }
        )


def no_training(max_length: int) -> TrainingSettings:
    """What stands for hyper-parameters where an adapter is taken over: how text is cut, and nothing else."""
    return TrainingSettings.model_validate({"learning_rate": _NO_RATE, "max_length": max_length})


def _in_order_of_tasks(refs: tuple[SplitRef, ...], task: str) -> tuple[SplitRef, ...]:
    """The splits of a mixture as its tasks come: a file is written with sorted keys, and the order tells them apart."""
    if not is_mixture(task):
        return refs
    names = [member.name for member in members(task)]
    return tuple(sorted(refs, key=lambda ref: names.index(ref.task)))


def _listed(refs: Iterable[SplitRef]) -> list[dict[str, Any]]:
    return [{"split": name, **ref} for name, ref in refs_to_json(refs).items()]


def _ordered_refs(recorded: Any) -> tuple[SplitRef, ...]:
    if isinstance(recorded, Mapping):  # as the first version wrote them
        return refs_from_json(recorded)
    return refs_from_json({entry["split"]: {k: v for k, v in entry.items() if k != "split"} for entry in recorded})


def evaluation_of(trained: RunSpec, test_items: Iterable[SplitRef]) -> RunSpec:
    """The run that evaluates a target run on test items, one reference a language, in whatever order they are given."""
    parents = {**trained.parents, "target": trained.id}
    ordered = tuple(sorted(test_items, key=lambda ref: ref.language))
    return replace(trained, phase="evaluation", data=ordered, parents=parents)


def evaluation_alone(intermediate: RunSpec, test_items: Iterable[SplitRef]) -> RunSpec:
    """The run that evaluates an intermediate run, with its own head, on another task's test items."""
    ordered = tuple(sorted(test_items, key=lambda ref: ref.language))
    task = ordered[0].task
    return replace(
        intermediate,
        phase="evaluation",
        composition="alone",
        task=task,
        target=task,
        head="carry",
        data=ordered,
        parents={"intermediate": intermediate.id},
    )
