"""Events, rules and fillers of the micro-world, and how the fillers are divided between the splits.

What is split are the fillers, not the rules: every rule occurs in every split, but a filler (one person with one thing)
that stands in a validation or test split stands in no other split and in no training or pretraining text. So no test
item, and no (premise, right choice) pair of one, was seen before.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from adapter_transfer.sandbox import rules

#: Changing it changes the data, the languages and the checkpoints.
WORLD_SEED = 2024


@dataclass(frozen=True)
class Event:
    """Who did what to whom, in lemmas; `object` is None where the verb takes none."""

    subject: str
    verb: str
    object: str | None = None


@dataclass(frozen=True)
class Filler:
    """Whom and what an event is about: what stands in the slots X and O."""

    name: str
    noun: str


@dataclass(frozen=True)
class Rule:
    """One causal rule: X <cause_verb> O makes <effect_terms> happen, where O is a noun of `noun_class`.

    `opposite` is the index, within the class, of the rule whose effect excludes this one's.
    """

    noun_class: str
    index: int
    cause_verb: str
    effect_terms: tuple[str, ...]

    @property
    def opposite(self) -> int:
        return self.index ^ 1

    def cause(self, filler: Filler) -> Event:
        """The cause, with the slots filled."""
        return Event(filler.name, self.cause_verb, filler.noun)

    def effect(self, filler: Filler) -> Event:
        """The effect, with the slots filled."""
        return Event(*({"X": filler.name, "O": filler.noun}.get(term, term) for term in self.effect_terms))


def all_rules() -> dict[str, tuple[Rule, ...]]:
    """The rules by class of noun, in their order."""
    return {
        noun_class: tuple(Rule(noun_class, i, verb, tuple(effect.split())) for i, (verb, effect) in enumerate(entries))
        for noun_class, entries in rules.RULES.items()
    }


class FillerPools:
    """The fillers of each class of nouns, divided into pools of which no two share a filler.

    Args:
        sizes: pool -> how many fillers of each class it gets; what is left over is the pool `TRAINING`.
        seed: decides which filler falls into which pool.

    Raises:
        ValueError: if the sizes leave no filler for training.
    """

    TRAINING = "training"

    def __init__(self, sizes: Mapping[str, int], seed: int = WORLD_SEED) -> None:
        self._fillers: dict[tuple[str, str], list[Filler]] = {}
        rng = random.Random(f"{seed}/fillers")
        for noun_class, nouns in rules.NOUNS.items():
            fillers = [Filler(name, noun) for name in rules.NAMES for noun in nouns]
            if sum(sizes.values()) >= len(fillers):
                raise ValueError(f"the pools ask for {sum(sizes.values())} of {len(fillers)} fillers of {noun_class!r}")
            rng.shuffle(fillers)
            for pool, size in sizes.items():
                self._fillers[pool, noun_class], fillers = fillers[:size], fillers[size:]
            self._fillers[self.TRAINING, noun_class] = fillers

    def fillers(self, pool: str, noun_class: str) -> tuple[Filler, ...]:
        """The fillers of a class in a pool."""
        return tuple(self._fillers[pool, noun_class])
