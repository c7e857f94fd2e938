"""What rows of multiple choice have in common, whatever their columns are called."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from adapter_transfer.tasks.formats import Example


def choice_example(
    item: str, first: str, choices: Sequence[str], label: int, known_repeats: Collection[str] = ()
) -> Example:
    """The example of a text that each choice continues.

    Args:
        item: the example's id.
        label: index of the right choice.
        known_repeats: ids of items in which the publisher himself repeats a choice.

    Raises:
        ValueError: if two choices are the same text: a row that was put together wrongly, or whose label says nothing.
    """
    if len(set(choices)) < len(choices) and item not in known_repeats:
        repeated = next(choice for choice in choices if choices.count(choice) > 1)
        places = " and ".join(str(place) for place, choice in enumerate(choices, start=1) if choice == repeated)
        raise ValueError(f"choices {places} are the same text")
    return Example(item, tuple((first, choice) for choice in choices), label)
