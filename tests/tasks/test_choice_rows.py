"""A row of multiple choice: a choice that stands twice is told, unless it is known to."""

from __future__ import annotations

import pytest

from adapter_transfer.tasks.choice_rows import choice_example
from adapter_transfer.tasks.formats import Example


def test_every_choice_continues_the_text():
    assert choice_example("7", "so", ("a", "b"), 1) == Example("7", (("so", "a"), ("so", "b")), 1)


def test_a_repeated_choice_is_told_by_its_places_unless_it_is_known():
    with pytest.raises(ValueError, match=r"^choices 2 and 4 are the same text$"):
        choice_example("7", "so", ("a", "b", "c", "b"), 0)
    assert choice_example("7", "so", ("a", "b", "c", "b"), 0, known_repeats={"7"}).rows[1] == ("so", "b")
    # Another case or a blank more is another text: some choices differ in no more.
    assert choice_example("7", "so", ("a", "A", "a "), 0).label == 0
