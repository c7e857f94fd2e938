"""Controls: tasks that are made of other tasks, to tell a gain by what a task teaches from a gain by something else.

Every declared task has them by name, without being listed: `X-shuffled-labels` (an adapter more, and as many steps, but
nothing to learn), `X-real-or-shuffled` (something to learn from the same text, but no reasoning) and `X-choices-only`
(what the answers alone give away). `docs/controls.md` says what each of them rules out. Owns how their examples are
made; Balanced COPA, another training set for XCOPA, is declared in `copa`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, overload

import numpy as np

from adapter_transfer.canonical import canonical_json
from adapter_transfer.errors import UnknownNameError
from adapter_transfer.registry import unknown_name_message
from adapter_transfer.tasks.choice_formats import Classification, MultipleChoice
from adapter_transfer.tasks.formats import Example, Label
from adapter_transfer.tasks.sources import Part, Source
from adapter_transfer.tasks.task import SEPARATOR, Derivation, ExampleSet, Role, Split, Task, examples_digest

Control: TypeAlias = Literal["choices-only", "balanced-copa", "shuffled-labels", "real-or-shuffled"]
"""A control in one word, as it stands in a configuration and at the end of a task's name."""

CONTROLS: Mapping[Control, str] = {
    "choices-only": "premise and question are hidden, so what is right in it is told by the choices alone",
    "balanced-copa": "trained on Balanced COPA, where each pair of choices is right once either way",
    "shuffled-labels": "the same texts with labels that say nothing, so all it can bring is a second training",
    "real-or-shuffled": "telling texts from their words in another order, which needs no reasoning",
}
"""What each of them is, for people."""

REAL_OR_SHUFFLED_FROM = "socialiqa"
"""Of whose text plain `real-or-shuffled` is made: the intermediate of XCOPA's authors (Ponti et al. 2020)."""

_MIN_DISTINCT_WORDS = 3
"""Of two words, one order is the other one's mirror, and of one there is none."""


class UnknownControlError(UnknownNameError):
    """A name ends like a control's, but there is no such control; the message says why."""


def control_of(name: str) -> Control | None:
    """Which control a task or a mixture of tasks is, by its name alone; None for one that is none."""
    for part in name.split(SEPARATOR):
        for control in CONTROLS:
            # A colon is in no task's name: what was pulled from the Hub may be called anything.
            if part == control or (part.endswith(f"-{control}") and ":" not in part):
                return control
    return None


def describe_control(name: str, remark: str = "") -> str | None:
    """What is to be known of a task or mixture that is a control, or a task of which is; None of one that is none.

    Args:
        remark: what is said behind "a control".
    """
    kinds = {part: kind for part in name.split(SEPARATOR) if (kind := control_of(part)) is not None}
    if not kinds:
        return None
    if len(kinds) <= name.count(SEPARATOR):
        told = "; ".join(f"{part}: {CONTROLS[kind]}" for part, kind in kinds.items())
        return f"{name} is in part a control{remark} ({told})."
    return f"{name} is a control{remark}: {'; '.join(CONTROLS[kind] for kind in dict.fromkeys(kinds.values()))}."


def control_name(task: str, control: Control) -> str:
    """What a control of a task is called."""
    return f"{task}-{control}"


def derive_task(name: str, declared: Mapping[str, Task]) -> Task | None:
    """The control of that name; None where the name is no control's.

    Raises:
        UnknownControlError: if it is one's, but of no declared task, or of one that it cannot be made of.
    """
    if name == "real-or-shuffled":
        found = _real_or_shuffled(declared[REAL_OR_SHUFFLED_FROM])
        return replace(found, name=name)
    for control, make in _MAKERS.items():
        base = name.removesuffix(f"-{control}")
        if base != name:
            if base not in declared:
                raise UnknownControlError(f"{name!r}: {unknown_name_message('task', base, declared)}")
            return make(declared[base])
    # What begins like a task and goes on otherwise is a control written wrongly; the longest such task is meant.
    begun = [base for base in declared if name.startswith(f"{base}-")]
    if begun:
        base = max(begun, key=len)
        names = [control_name(base, control) for control in _MAKERS]
        raise UnknownControlError(unknown_name_message(f"control of {base!r}", name, names))
    return None


def _shuffled_labels(origin: Task) -> Task:
    if "intermediate" not in origin.roles:
        raise UnknownControlError(
            f"{control_name(origin.name, 'shuffled-labels')!r}: shuffled labels are a control of intermediate tasks, "
            f"and {origin.name!r} is none"
        )
    return _derived(origin, "shuffled-labels", ShuffledLabels(origin), summary="labels say nothing of the texts")


def _real_or_shuffled(origin: Task) -> Task:
    task = _derived(origin, "real-or-shuffled", RealOrShuffled(origin), summary="are the words of a text in order?")
    # A text stands here once, so the publisher's number of rows says nothing of how many there should be.
    parts = tuple(_unnumbered(part) for part in origin.source.parts)
    return replace(task, format=Classification(("real", "shuffled")), source=Source(parts), asking=None)


def _unnumbered(part: Part) -> Part:
    members = tuple((prefix, _unnumbered(member)) for prefix, member in part.members)
    return replace(part, num_rows=None, members=members)


def _choices_only(origin: Task) -> Task:
    if not isinstance(origin.format, MultipleChoice):
        raise UnknownControlError(
            f"{control_name(origin.name, 'choices-only')!r}: only a multiple-choice task has choices to be left alone, "
            f"and {origin.name!r} has {origin.format.describe()}"
        )
    derivation, summary = ChoicesOnly(origin), "choices without what they are about"
    task = _derived(origin, "choices-only", derivation, summary=summary, roles=origin.roles, splits=origin.splits)
    return replace(task, asking=origin.asking and replace(origin.asking, hides_first=True))


_MAKERS: Mapping[Control, Callable[[Task], Task]] = {
    "shuffled-labels": _shuffled_labels,
    "real-or-shuffled": _real_or_shuffled,
    "choices-only": _choices_only,
}


def _derived(
    origin: Task,
    control: Control,
    derivation: Derivation,
    *,
    summary: str,
    roles: tuple[Role, ...] = ("intermediate",),
    splits: Mapping[Split, str] | None = None,
) -> Task:
    trained: Mapping[Split, str] = {split: name for split, name in origin.splits.items() if split != "test"}
    return replace(
        origin,
        name=control_name(origin.name, control),
        roles=roles,
        splits=trained if splits is None else splits,
        summary=f"control of {origin.name}: {summary}",
        derivation=derivation,
    )


@dataclass(frozen=True)
class ShuffledLabels:
    """The same texts, with labels that are as frequent as they were and say nothing of them.

    They are dealt anew once for each published split, the same for every seed of training: it is one data set.
    """

    origin: Task

    def derive(self, examples: ExampleSet, task: Task) -> ExampleSet:
        generator = _generator("shuffled-labels", self.origin.name, examples.published)
        shuffled = self.origin.format.shuffle_labels(examples.examples, generator)
        # Labels alone are kept: there may be a million examples, whose texts are read one by one.
        labels: list[Label] = [example.label for example in shuffled]
        return _with_examples(
            examples, task, _Mapped(examples.examples, lambda index, example: replace(example, label=labels[index]))
        )


@dataclass(frozen=True)
class RealOrShuffled:
    """Every premise once; in half of them the words stand in another order, which is to be told from the real one.

    Texts of fewer than three distinct words are left out. A word is what stands between blanks; of these there is one
    between words, in all texts alike, so that they do not tell which text was taken apart.
    """

    origin: Task

    def derive(self, examples: ExampleSet, task: Task) -> ExampleSet:
        first: dict[str, int] = {}
        for index, premise in enumerate(examples.premises):
            words = premise.split()
            if len(set(words)) >= _MIN_DISTINCT_WORDS:
                first.setdefault(" ".join(words), index)
        generator = _generator("real-or-shuffled", self.origin.name, examples.published)
        shuffled = set(generator.permutation(len(first))[: len(first) // 2].tolist())
        made = tuple(
            Example(
                examples.examples[index].id,
                ((_reordered(text, generator) if number in shuffled else text, None),),
                int(number in shuffled),
            )
            for number, (text, index) in enumerate(first.items())
        )
        return replace(_with_examples(examples, task, made), premises=tuple(first), num_repaired=0)


@dataclass(frozen=True)
class ChoicesOnly:
    """Choices without premise and question; what is right in them then shows in the choices themselves."""

    origin: Task

    def derive(self, examples: ExampleSet, task: Task) -> ExampleSet:
        return _with_examples(examples, task, _Mapped(examples.examples, lambda index, example: _alone(example)))


def _alone(example: Example) -> Example:
    choices = [choice for _, choice in example.rows]
    assert all(choice is not None for choice in choices), "a choice is the second segment of its row"
    return replace(example, rows=tuple((choice or "", None) for choice in choices))


def _reordered(text: str, generator: np.random.Generator) -> str:
    """The words of a text in any order but its own."""
    words = text.split()
    mixed = words
    while mixed == words:
        mixed = [words[index] for index in generator.permutation(len(words)).tolist()]
    return " ".join(mixed)


def _with_examples(examples: ExampleSet, task: Task, made: Sequence[Example]) -> ExampleSet:
    return replace(examples, task=task.name, examples=made, digest=examples_digest(made))


def _generator(*key: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(canonical_json(list(key))).digest()[:16], "big"))


class _Mapped(Sequence[Example]):
    """Examples that are made of others whenever they are asked for, so that none are held twice."""

    def __init__(self, examples: Sequence[Example], make: Callable[[int, Example], Example]) -> None:
        self._examples, self._make = examples, make

    def __len__(self) -> int:
        return len(self._examples)

    def __iter__(self) -> Iterator[Example]:
        return map(self._make, range(len(self)), self._examples)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        numbers = range(len(self))[index]
        if isinstance(numbers, int):
            return self._make(numbers, self._examples[numbers])
        return tuple(self._make(number, self._examples[number]) for number in numbers)
