"""Frozen pydantic settings read from strict YAML, with every problem of a file told at once and in its place.

Owns what all settings share and how pydantic's complaints are put into words; reading YAML is in `documents`, the
settings themselves stand beside what they configure.
"""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from adapter_transfer.documents import (
    Document,
    KeyPath,
    apply_overrides,
    dotted,
    dump_text,
    kind_of,
    read_document,
    read_text,
)
from adapter_transfer.errors import ConfigError
from adapter_transfer.registry import unknown_name_message

__all__ = [
    "Document",
    "Settings",
    "apply_overrides",
    "dump_yaml",
    "json_schema",
    "one_of",
    "parse",
    "read_document",
    "read_text",
]


class Settings(BaseModel):
    """Base of everything configurable: frozen, no unknown keys, no silent conversion, no infinities.

    The docstring under a field is its description in the JSON Schema. A whole number is taken for a float; a text or a
    boolean is not taken for a number, nor 3.0 for 3. Made in Python, a tuple is a tuple and not a list.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


M = TypeVar("M", bound=BaseModel)


def parse(model_class: type[M], document: Document) -> M:
    """`document` as a `model_class`.

    Raises:
        ConfigError: with every problem, in the order of the file:
            `configs/x.yaml:12: training.0.learning_rate: must be greater than 0 (given -1)`.
    """
    # By way of JSON, where strict pydantic takes a list for a tuple and a text for a path, as a file must write them.
    try:
        return model_class.model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        found = _collect(model_class, error)
    except ConfigError as error:  # raised by a validator, so pydantic had no chance to say where
        raise ConfigError(f"{document.source}: {problem}" for problem in error.problems) from None
    found = [_placed(problem, document) for problem in found]
    found.sort(key=lambda problem: document.line(problem.path))
    raise ConfigError(
        f"{document.place(problem.path)}: {dotted(problem.path)}{': ' if problem.path else ''}{problem.message}"
        for problem in found
    )


def one_of(kind: str, names: Collection[str]) -> AfterValidator:
    """A check for a field that refuses names outside `names` and suggests the nearest one.

    It is written `task: Annotated[str, one_of("task", TASKS)]`.

    Args:
        kind: what is named, in the singular; used in the message.
        names: a registry, or any other collection of names.
    """

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(unknown_name_message(kind, name, names))
        return name

    return AfterValidator(check)


def json_schema(model_class: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `model_class`, for editors that complete and check YAML."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model_class.model_json_schema()}


def dump_yaml(model: BaseModel) -> str:
    """`model`, defaults included, as YAML that `parse` reads back to an equal model."""
    return dump_text(model.model_dump(mode="json"))


@dataclass(frozen=True)
class _Problem:
    path: KeyPath
    message: str


def _placed(problem: _Problem, document: Document) -> _Problem:
    """A problem of the whole, told as `key.inner: what is wrong`, put where that key was written."""
    name, separator, message = problem.message.partition(": ")
    path: KeyPath = tuple(name.split("."))
    is_there = any(place[: len(path)] == path for place in (*document.places, *document.overrides))
    return _Problem(path, message) if not problem.path and separator and is_there else problem


def _collect(model_class: type[BaseModel], error: ValidationError) -> list[_Problem]:
    """Pydantic's errors as problems; what the alternatives of one union say becomes one problem, joined by "or"."""
    claims: dict[tuple[KeyPath, str, bool], list[str]] = {}
    for entry in error.errors(include_url=False):
        path, holders, is_alternative = _follow(model_class, entry["loc"])
        kind = entry["type"]
        if kind.startswith("union_tag"):
            path = (*path, entry["ctx"]["discriminator"].strip("'"))
        told, given = _tell(dict(entry), path, holders)
        key = (path, given, is_alternative)
        claims.setdefault(key, []).extend(claim for claim in told if claim not in claims[key])
    problems = []
    for (path, given, is_alternative), told in claims.items():
        if is_alternative and told:
            if any(other[: len(path)] == path and len(other) > len(path) for other, _, _ in claims):
                continue  # another alternative came further: what it says is what was meant
            told = [" or ".join([told[0], *(claim.removeprefix("must be ") for claim in told[1:])])]
        problems += [_Problem(path, claim + given) for claim in told]
    return problems


_CLAIMS = {
    "missing": "is required",
    "union_tag_not_found": "is required",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "path_type": "must be a path",
    "finite_number": "must be a finite number",
} | dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "must be a list")
_CLAIMS |= dict.fromkeys(("model_type", "dict_type", "model_attributes_type", "dataclass_type"), "must be a mapping")


def _tell(entry: Mapping[str, Any], path: KeyPath, holders: list[type[BaseModel]]) -> tuple[list[str], str]:
    """What is wrong in our words, and the value that was given, as a suffix."""
    kind, context = entry["type"], entry.get("ctx", {})
    if kind == "extra_forbidden":
        known = dict.fromkeys(name for holder in holders for name in _fields(holder))
        return [unknown_name_message("key", str(path[-1]), known)], ""
    if kind == "union_tag_invalid":
        return [unknown_name_message(str(path[-1]), context["tag"], _quoted(context["expected_tags"]))], ""
    if kind in ("missing", "union_tag_not_found"):
        return [_CLAIMS[kind]], ""
    if kind in ("value_error", "assertion_error"):
        cause = context["error"]
        return list(cause.problems) if isinstance(cause, ConfigError) else [str(cause)], ""
    claim = _CLAIMS.get(kind) or re.sub(r"^[A-Z][A-Za-z]* should ", "must ", entry["msg"])
    if kind == "too_short" and len(entry["input"]) >= context["min_length"]:
        return [], ""  # pydantic counts only the items without a problem, and those are told already
    if kind in ("too_short", "too_long"):
        return [claim.replace(" after validation", "")], ""
    given = f" (given {_show(entry['input'])})"
    if kind == "literal_error" and isinstance(entry["input"], str):
        nearest = difflib.get_close_matches(entry["input"], _quoted(context["expected"]), n=1, cutoff=0.5)
        given += f". Did you mean {nearest[0]!r}?" if nearest else ""
    return [claim], given


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _show(value: object) -> str:
    if isinstance(value, dict | list):
        return kind_of(value)
    text = json.dumps(value) if isinstance(value, bool | int | float | None) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _follow(model_class: type[BaseModel], loc: KeyPath) -> tuple[KeyPath, list[type[BaseModel]], bool]:
    """Where pydantic's `loc` is in the file.

    In a union pydantic puts the name of the alternative it tried between the keys, which nobody wrote; only the types
    tell such a name from a key.

    Returns:
        The path of keys and indices, the models that could hold its last key, and whether `loc` ends in an alternative.
    """
    path: list[str | int] = []
    here: list[Any] = [model_class]
    holders: list[type[BaseModel]] = []
    is_alternative = False
    for part in loc:
        leaves = list(_leaves(here))
        if isinstance(part, str) and len(leaves) > 1 and not is_alternative:
            here = [leaf for leaf in leaves if _is_called(leaf, part)] or leaves
            is_alternative = True
            continue
        is_alternative = False
        if part == "[key]":  # follows a mapping's key that is itself wrong
            continue
        path.append(part)
        holders = [leaf for leaf in leaves if _is_model(leaf)]
        here = [inner for leaf in leaves for inner in _inside(leaf, part)]
    return tuple(path), holders, is_alternative


def _leaves(annotations: list[Any]) -> Iterator[Any]:
    """The types in `annotations`, out of `Annotated` and unions, without None."""
    for annotation in annotations:
        origin = get_origin(annotation)
        if origin is Annotated:
            yield from _leaves([get_args(annotation)[0]])
        elif origin in (Union, types.UnionType):
            yield from _leaves(list(get_args(annotation)))
        elif annotation not in (None, type(None)):
            yield annotation


def _is_model(leaf: Any) -> bool:
    return isinstance(leaf, type) and issubclass(leaf, BaseModel)


def _fields(model_class: type[BaseModel]) -> dict[str, Any]:
    """Key in a file → annotation."""
    return {field.alias or name: field.annotation for name, field in model_class.model_fields.items()}


def _is_called(leaf: Any, label: str) -> bool:
    """Whether pydantic names the alternative `leaf` of a union `label`: its class, its tag or its container."""
    if _is_model(leaf):
        tags = [tag for inner in _fields(leaf).values() if get_origin(inner) is Literal for tag in get_args(inner)]
        return label == leaf.__name__ or label in tags or label.endswith(f" {leaf.__name__}]")
    return label.split("[")[0] == getattr(get_origin(leaf) or leaf, "__name__", None)


def _inside(leaf: Any, part: str | int) -> list[Any]:
    """The types that `leaf` allows at the key or index `part`."""
    if _is_model(leaf):
        fields = _fields(leaf)
        return [fields[part]] if isinstance(part, str) and part in fields else []
    arguments = [argument for argument in get_args(leaf) if argument is not Ellipsis]
    if isinstance(part, str):
        return arguments[1:2]
    is_fixed = get_origin(leaf) is tuple and len(arguments) == len(get_args(leaf))
    return arguments[part : part + 1] if is_fixed else arguments[:1]
