from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from adapter_transfer.config import (
    Settings,
    apply_overrides,
    dump_yaml,
    json_schema,
    one_of,
    parse,
    read_text,
)
from adapter_transfer.errors import ConfigError


class Full(Settings):
    method: Literal["full"] = "full"
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    """Peak rate of AdamW."""


class Bottleneck(Settings):
    method: Literal["seq_bn"] = "seq_bn"
    reduction_factor: int = 2
    learning_rate: Annotated[float, Field(gt=0)] = 5e-3

    @model_validator(mode="after")
    def _divides(self) -> Bottleneck:
        if self.reduction_factor == 3:
            raise ValueError("reduction_factor 3 does not divide the hidden size")
        return self


class Grid(Settings):
    name: str
    task: Annotated[str, one_of("task", ["copa", "xnli"])] = "copa"
    training: tuple[Annotated[Full | Bottleneck, Field(discriminator="method")], ...] = ()
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    store: Path = Path("runs")
    steps: int | Literal["auto"] = "auto"
    validation: Full | None = None
    scales: dict[str, Full] = Field(default_factory=dict)
    warmup: float = 0.06
    shuffle: bool = True


def problems(text: str, overrides: tuple[str, ...] = (), model: type[Settings] = Grid) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(model, apply_overrides(read_text(text, "configs/x.yaml"), overrides))
    return caught.value.problems


def load(text: str, *overrides: str) -> Grid:
    return parse(Grid, apply_overrides(read_text(text, "configs/x.yaml"), overrides))


def test_a_file_becomes_frozen_settings() -> None:
    grid = load("name: a\ntraining: [{method: seq_bn, learning_rate: 1e-4}]\nseeds: [1, 2]\nstore: elsewhere/x\n")
    assert grid.training == (Bottleneck(learning_rate=1e-4),)
    assert grid.seeds == (1, 2)
    assert grid.store == Path("elsewhere/x")
    with pytest.raises(ValidationError, match="frozen"):
        grid.name = "b"  # type: ignore[misc]  # that it is refused is what is tested


def test_every_problem_is_told_at_once_in_its_place() -> None:
    text = """\
name: a
sedes: [1]
task: cpoa
training:
  - method: full
    learning_rate: -1
  - method: seq_bn
    learnin_rate: 1e-4
  - method: lora
  - learning_rate: 1
  - {method: seq_bn, reduction_factor: 3}
  - 7
steps: many
seeds: []
validation: {metod: full}
scales:
  nano: {learning_rte: 1}
warmup: .inf
"""
    assert problems(text) == (
        "configs/x.yaml:2: sedes: unknown key 'sedes'. Did you mean 'seeds'? Known: name, task, training, seeds, "
        "store, steps, validation, scales, warmup, shuffle.",
        "configs/x.yaml:3: task: unknown task 'cpoa'. Did you mean 'copa'? Known: copa, xnli.",
        "configs/x.yaml:6: training.0.learning_rate: must be greater than 0 (given -1)",
        "configs/x.yaml:8: training.1.learnin_rate: unknown key 'learnin_rate'. Did you mean 'learning_rate'? "
        "Known: method, reduction_factor, learning_rate.",
        "configs/x.yaml:9: training.2.method: unknown method 'lora'. Known: full, seq_bn.",
        "configs/x.yaml:10: training.3.method: is required",
        "configs/x.yaml:11: training.4: reduction_factor 3 does not divide the hidden size",
        "configs/x.yaml:12: training.5: must be a mapping (given 7)",
        "configs/x.yaml:13: steps: must be a whole number or 'auto' (given 'many')",
        "configs/x.yaml:14: seeds: must have at least 1 item, not 0",
        "configs/x.yaml:15: validation.metod: unknown key 'metod'. Did you mean 'method'? "
        "Known: method, learning_rate.",
        "configs/x.yaml:17: scales.nano.learning_rte: unknown key 'learning_rte'. Did you mean 'learning_rate'? "
        "Known: method, learning_rate.",
        "configs/x.yaml:18: warmup: must be a finite number (given Infinity)",
    )


def test_a_missing_key_is_told_at_the_mapping_that_lacks_it() -> None:
    assert problems("task: copa\n") == ("configs/x.yaml:1: name: is required",)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("warmup", "'1e-4'", "must be a number (given '1e-4')"),
        ("warmup", "true", "must be a number (given true)"),
        ("steps", "3.0", "must be a whole number or 'auto' (given 3.0)"),
        ("shuffle", "1", "must be true or false (given 1)"),
        ("shuffle", "no", "must be true or false (given 'no')"),
        ("task", "3", "must be text (given 3)"),
        ("seeds", "3", "must be a list (given 3)"),
        ("seeds", "{a: 1}", "must be a list (given a mapping)"),
        ("scales", "[1]", "must be a mapping (given a list)"),
        ("store", "null", "must be text (given null)"),
    ],
)
def test_nothing_is_converted_silently(key: str, value: str, problem: str) -> None:
    assert problems(f"name: a\n{key}: {value}\n") == (f"configs/x.yaml:2: {key}: {problem}",)


def test_a_whole_number_is_a_float_and_a_number_with_exponent_is_one() -> None:
    assert load("name: a\nwarmup: 0\n").warmup == 0.0
    assert load("name: a\nwarmup: 1e-4\n").warmup == 1e-4


def test_a_literal_suggests_the_nearest() -> None:
    class Choice(Settings):
        method: Literal["full", "seq_bn"]

    assert problems("method: seqbn\n", model=Choice) == (
        "configs/x.yaml:1: method: must be 'full' or 'seq_bn' (given 'seqbn'). Did you mean 'seq_bn'?",
    )


def test_a_list_of_wrong_items_is_not_called_too_short() -> None:
    assert problems("name: a\nseeds: [one]\n") == ("configs/x.yaml:2: seeds.0: must be a whole number (given 'one')",)


def test_a_union_whose_one_alternative_goes_deeper_tells_only_the_depth() -> None:
    class Deep(Settings):
        values: list[Full] | int | Literal["none"]

    assert problems("values: [{learning_rate: 0}]\n", model=Deep) == (
        "configs/x.yaml:1: values.0.learning_rate: must be greater than 0 (given 0)",
    )


def test_problems_that_a_validator_collected_are_kept_apart() -> None:
    class Checked(Settings):
        a: int = 0

        @model_validator(mode="after")
        def _check(self) -> Checked:
            raise ConfigError(["first", "second"])

    assert problems("a: 1\n", model=Checked) in {
        ("configs/x.yaml: first", "configs/x.yaml: second"),
        ("configs/x.yaml:1: first", "configs/x.yaml:1: second"),
    }


def test_what_an_override_breaks_is_told_as_the_option() -> None:
    found = problems("name: a\ntraining: [{method: full}]\n", ("training.0.learning_rate=-1", "sed.x=1"))
    assert found[0] == (
        "--set training.0.learning_rate=-1: training.0.learning_rate: must be greater than 0 (given -1)"
    )
    assert found[1].startswith("--set sed.x=1: sed: unknown key 'sed'. Did you mean 'seeds'?")


def test_settings_round_trip_through_yaml() -> None:
    grid = load(
        "name: 'no: # \"x\"'\ntraining: [{method: seq_bn, learning_rate: 1e-5}, {}]\n", "training.1.method=full"
    )
    text = dump_yaml(grid)
    assert parse(Grid, read_text(text, "x")) == grid
    assert text.startswith("name: 'no: # \"x\"'\ntask: copa\ntraining:\n"), "keys keep the order of the fields"


@pytest.mark.parametrize(
    "value",
    [
        "no",
        "1e-5",
        "2026-01-01",
        "null",
        "~",
        "",
        " x ",
        "a\nb: c\n",
        "010",
        "é ไทย 👍",
        "\u2028\u0085\ufeff",
        "<<",
        "&a",
        "#",
    ],
)
def test_any_text_survives_yaml(value: str) -> None:
    assert load(dump_yaml(Grid(name=value))).name == value


def test_the_schema_carries_the_docstrings_of_fields() -> None:
    schema: dict[str, Any] = json_schema(Grid)
    json.dumps(schema)
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Full"]["properties"]["learning_rate"]["description"] == "Peak rate of AdamW."


def test_settings_are_hashable_so_that_they_can_key_a_cache() -> None:
    assert len({Full(), Full(), Full(learning_rate=1.0)}) == 2


def test_settings_do_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "NAME", "b")
    assert load("name: ${NAME}\n").name == "${NAME}"
