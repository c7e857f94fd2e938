"""What two sets of examples have in common: an evaluation on what was trained on measures memory."""

from __future__ import annotations

from adapter_transfer.tasks.formats import Example
from adapter_transfer.tasks.task import ExampleSet


def shared_items(one: ExampleSet, other: ExampleSet) -> tuple[str, ...]:
    """Ids of the items that both hold, in whatever language, in the order of `other`.

    Only within a family of items: elsewhere, equal ids are an accident.
    """
    if one.item_family is None or one.item_family != other.item_family:
        return ()
    ids = {example.id for example in one.examples}
    return tuple(example.id for example in other.examples if example.id in ids)


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
