from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from adapter_transfer.errors import ConfigError, UnknownNameError
from adapter_transfer.registry import Registry, unknown_name_message


@dataclass(frozen=True)
class Fruit:
    name: str
    code: str = "x"


FRUITS = Registry("fruit", [Fruit("pear", "p"), Fruit("apple", "a")])


def test_entries_come_in_the_order_of_declaration() -> None:
    assert list(FRUITS) == ["pear", "apple"]
    assert len(FRUITS) == 2
    assert FRUITS["apple"] == Fruit("apple", "a")
    assert "plum" not in FRUITS


def test_an_unknown_name_lists_the_choices_and_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        FRUITS["aple"]
    assert str(caught.value) == "unknown fruit 'aple'. Did you mean 'apple'? Known: pear, apple."
    assert isinstance(caught.value, ConfigError)
    assert caught.value.exit_code == 2


def test_a_far_name_gets_no_suggestion() -> None:
    assert unknown_name_message("fruit", "xyz", FRUITS) == "unknown fruit 'xyz'. Known: pear, apple."


def test_entries_that_are_not_declared_can_be_derived_and_are_not_listed() -> None:
    def derive(name: str, declared: Mapping[str, Fruit]) -> Fruit | None:
        base = name.removesuffix("-pie")
        return Fruit(name, declared[base].code) if base != name and base in declared else None

    fruits = Registry("fruit", [Fruit("pear", "p")], derive=derive)
    assert fruits["pear-pie"] is fruits["pear-pie"]
    assert fruits["pear-pie"] == Fruit("pear-pie", "p")
    assert "pear-pie" in fruits
    assert list(fruits) == ["pear"]
    assert "plum-pie" not in fruits
    assert 7 not in fruits
    with pytest.raises(UnknownNameError, match=r"unknown fruit 'plum-pie'\. Known: pear\."):
        fruits["plum-pie"]


def test_two_entries_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two fruit entries are named 'pear'"):
        Registry("fruit", [Fruit("pear"), Fruit("pear")])


def test_entries_can_be_keyed_by_something_else() -> None:
    by_code = Registry("fruit", [Fruit("pear", "p"), Fruit("apple", "a")], key=lambda fruit: fruit.code)
    assert by_code["a"].name == "apple"
    with pytest.raises(ValueError, match="named 'p'"):
        Registry("fruit", [Fruit("pear", "p"), Fruit("plum", "p")], key=lambda fruit: fruit.code)
