"""What two sets of examples have in common: an evaluation on what was trained on measures memory."""

from __future__ import annotations

from typing import Final

from adapter_transfer.tasks.formats import Example
from adapter_transfer.tasks.task import ExampleSet

VARIANT: Final = "~"
"""Stands in the id of a variant of an item (`17~mirrored`) between the item's own and what sort of variant it is."""


def item_of(example_id: str) -> str:
    """The id of the item that an example is, or is a variant of; ids are compared within one family only."""
    return example_id.partition(VARIANT)[0]


def shared_items(one: ExampleSet, other: ExampleSet) -> tuple[str, ...]:
    """Ids of the items that both hold, in whatever language and variant, in the order of `other`.

    Only within a family of items: elsewhere, equal ids are an accident.
    """
    if one.item_family is None or one.item_family != other.item_family:
        return ()
    items = {item_of(example.id) for example in one.examples}
    return tuple(example.id for example in other.examples if item_of(example.id) in items)


def text_overlap(one: ExampleSet, other: ExampleSet) -> int:
    """Examples of `other` whose texts are those of an example of `one`, answers in whatever order, labels aside."""
    texts = {_texts(example) for example in one.examples}
    return sum(_texts(example) in texts for example in other.examples)


def shared_premises(one: ExampleSet, other: ExampleSet) -> int:
    """Examples of `other` whose premise stands in `one` too, with whatever question and answers."""
    premises = set(one.premises)
    return sum(premise in premises for premise in other.premises)


def _texts(example: Example) -> frozenset[tuple[str, str | None]]:
    return frozenset(example.rows)
