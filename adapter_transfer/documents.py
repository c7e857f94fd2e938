"""Strict YAML: text to plain data that remembers its lines, and `--set` changes on top of it.

Owns ruamel.yaml. What the keys mean is the business of `config`.
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode

from adapter_transfer.errors import ConfigError

MAX_BYTES = 1 << 20
"""A larger file is no configuration."""
MAX_DEPTH = 20
MAX_NODES = 20_000
"""Scalars, lists and mappings together; ours have a few hundred."""
MAX_PROBLEMS = 1_000
"""A text with more is not read to its end: a file of nothing but aliases, say, has one every three characters."""

KeyPath = tuple[str | int, ...]
Data = Any
"""What YAML can hold: None, bool, int, float, str, lists of these and mappings from str to these."""

_SCALAR_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float"))
_OVERRIDE = re.compile(r"\s*([^=\s]+?)\s*=(.*)", re.DOTALL)


@dataclass(frozen=True)
class Document:
    """A configuration as written, with the place of everything in it.

    Attributes:
        data: plain dicts, lists and scalars; not to be changed in place.
        source: the file (or another word for the origin) that messages name.
        places: path of a key or list item → line, counted from 1.
        overrides: path → the `--set` option that put the value there.
    """

    data: dict[str, Data]
    source: str
    places: Mapping[KeyPath, int] = field(default_factory=dict)
    overrides: Mapping[KeyPath, str] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest thing around it; 0 for what comes from `--set`."""
        if self._override(path) is not None:
            return 0
        return next((self.places[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.places), 1)

    def place(self, path: KeyPath) -> str:
        """Where `path` was written: `file:line`, or the `--set` option."""
        override = self._override(path)
        if override is not None:
            return f"--set {override}"
        return f"{self.source}:{self.line(path)}" if self.places else self.source

    def _override(self, path: KeyPath) -> str | None:
        """The `--set` option that made `path`: one that set it, something around it, or something in it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.overrides:
                return self.overrides[path[:end]]
            if end and path[:end] in self.places:
                return None
        return next((text for at, text in self.overrides.items() if path and at[: len(path)] == path), None)


def read_document(path: Path | str) -> Document:
    """The YAML file at `path`.

    Raises:
        ConfigError: it is not there, not a readable UTF-8 file of at most 1 MiB, or not what `read_text` takes.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder; name a YAML file in it")
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path}: is no ordinary file")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES:,} bytes, which no configuration is")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text (byte {error.start}); save the file as UTF-8") from None
    return read_text(text, str(path))


def read_text(text: str, source: str) -> Document:
    """The mapping that the YAML 1.2 `text` holds.

    Refused, because each has surprised somebody: duplicate keys, keys that are not text, anchors and aliases, tags,
    directives, several documents, nesting beyond 20, more than 20,000 nodes. After 1,000 problems it reads no further.

    Args:
        text: one YAML document.
        source: what to call it in messages.

    Raises:
        ConfigError: with every such problem as `source:line: …`, or the first that keeps the rest from being read.
    """
    reader = _Reader(source)
    data = reader.read(text)
    if data is None and not reader.problems:
        reader.problems.append(f"{source}: is empty; a configuration is a mapping (key: value)")
    elif not isinstance(data, dict) and not reader.problems:
        reader.problems.append(f"{source}:{reader.places[()]}: must be a mapping (key: value), not {kind_of(data)}")
    if reader.problems:
        raise ConfigError(reader.problems)
    return Document(data, source, reader.places)


def apply_overrides(document: Document, overrides: Iterable[str]) -> Document:
    """`document` with each `key.path=value` put in; the value is YAML, a number in the path counts list items from 0.

    Keys that are missing on the way are made (whether they mean anything is for `config.parse` to say); list items
    are not.

    Raises:
        ConfigError: naming every override that is malformed or leads through something that is no list or mapping.
    """
    data = copy.deepcopy(document.data)
    places, given = dict(document.places), dict(document.overrides)
    problems: list[str] = []
    for override in overrides:
        option = f"--set {override}"
        match = _OVERRIDE.fullmatch(override)
        if match is None or not all(match[1].split(".")):
            problems.append(f"{option}: must look like key.path=value, for example training.0.epochs=3")
            continue
        reader = _Reader(option)
        value = reader.read(match[2])
        if not match[2].strip():
            reader.problems.append(f"{option}: gives no value; write null for nothing, '' for an empty text")
        path = None if reader.problems else _put(data, match[1].split("."), value, option, reader.problems)
        problems += reader.problems
        if path is not None:
            places = {place: line for place, line in places.items() if place[: len(path)] != path}
            given = {place: text for place, text in given.items() if place[: len(path)] != path}
            given[path] = override
    if problems:
        raise ConfigError(problems)
    return Document(data, document.source, places, given)


def dump_text(data: Data) -> str:
    """`data` as YAML text that `read_text` reads back to equal data.

    Args:
        data: plain dicts, lists and scalars.
    """
    yaml = _new_yaml()
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel types it as its default, None
    yaml.width = 4096  # ruamel folds long text otherwise, which diffs badly
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def append_item(text: str, key: str, item: str) -> str:
    """YAML text with one more item in the list under a top-level key; comments, order and style stay.

    Args:
        text: what `read_text` takes.

    Raises:
        ConfigError: if there is no such list.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    data = yaml.load(text)
    if not isinstance(data, dict) or not isinstance(data.get(key), list):
        raise ConfigError(f"there is no list {key!r} to add {item!r} to")
    data[key].append(item)
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def kind_of(value: Data) -> str:
    """What `value` is, in the words of somebody who writes YAML."""
    names: dict[type, str] = {dict: "a mapping", list: "a list", str: "text", bool: "a yes-or-no value"}
    return "nothing" if value is None else names.get(type(value), "a number")


def dotted(path: KeyPath) -> str:
    """`path` as people write it: `training.0.epochs`."""
    return ".".join(map(str, path))


def _put(data: Data, keys: list[str], value: Data, option: str, problems: list[str]) -> KeyPath | None:
    """Sets `data[keys[0]][keys[1]]… = value` and returns the path, or notes why it cannot."""
    path: list[str | int] = []
    node = data
    for position, key in enumerate(keys):
        is_last = position == len(keys) - 1
        here = dotted(tuple(path)) or "the configuration"
        if isinstance(node, dict):
            path.append(key)
            if is_last:
                node[key] = value
            elif node.get(key) is None:
                node[key] = {}
            node = node[key]
        elif isinstance(node, list):
            if not (key.isascii() and key.isdigit() and len(key) < 6 and int(key) < len(node)):
                problems.append(f"{option}: {here} has {len(node)} items, counted from 0; there is no {key!r}")
                return None
            index = int(key)
            path.append(index)
            if is_last:
                node[index] = value
            node = node[index]
        else:
            problems.append(f"{option}: {here} is {node!r}, so nothing can be set inside it")
            return None
    return tuple(path)


def _new_yaml() -> YAML:
    # The pure-Python reader: the C one reads YAML 1.1, in which `no` (Norwegian) is False.
    return YAML(typ="safe", pure=True)


@dataclass
class _Open:
    """A list or mapping whose end has not come yet."""

    value: Data
    path: KeyPath
    key: str | None = None
    """In a mapping: the key whose value comes next."""


class _Stop(Exception):
    """The rest of the text is not worth reading."""


class _Reader:
    """Builds data from parser events, so that limits hold before anything large or deep exists."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[str] = []
        self.places: dict[KeyPath, int] = {}
        self._yaml = _new_yaml()
        self._open: list[_Open] = []
        self._num_nodes = 0
        self._num_documents = 0
        self._root: Data = None

    def read(self, text: str) -> Data:
        """What `text` holds; None where it is empty. Problems are left in `self.problems`."""
        try:
            for event in self._yaml.parse(text):
                self._take(event)
        except _Stop:
            pass
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = "; ".join(part for part in (error.context, error.problem) if part)
            self._problem(mark.line + 1 if mark else 1, f"is not valid YAML: {what}")
        except YAMLError as error:  # unprintable characters; its first line says which
            position = getattr(error, "position", None)
            line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
            self._problem(line, f"is not valid YAML: {' '.join(str(error).split())[:200]}")
        return self._root

    def _problem(self, line: int, message: str) -> None:
        is_option = self.source.startswith("--set")
        self.problems.append(f"{self.source}: {message}" if is_option else f"{self.source}:{line}: {message}")

    def _stop(self, line: int, message: str) -> NoReturn:
        self._problem(line, message)
        raise _Stop

    def _take(self, event: Any) -> None:  # ruamel's events share no useful type
        line = event.start_mark.line + 1
        if len(self.problems) >= MAX_PROBLEMS:
            self._stop(line, f"is where {MAX_PROBLEMS:,} problems are reached; the rest was not read")
        if isinstance(event, events.DocumentStartEvent):
            self._num_documents += 1
            if self._num_documents > 1:
                self._stop(line, "starts a second document; one file holds one configuration")
            if event.version or event.tags:
                self._stop(line, "has a % directive; plain YAML 1.2 is read here")
        elif isinstance(event, events.AliasEvent):
            self._problem(line, f"uses the alias *{event.anchor}; write the value out")
            self._add("", line)
        elif isinstance(event, events.MappingEndEvent | events.SequenceEndEvent):
            self._open.pop()
        elif isinstance(event, events.ScalarEvent | events.CollectionStartEvent):
            self._num_nodes += 1
            if self._num_nodes > MAX_NODES:
                self._stop(line, f"is where more than {MAX_NODES:,} values are reached, which no configuration has")
            if event.anchor:
                self._problem(line, f"sets the anchor &{event.anchor}; write the value out where it is needed")
            if event.tag:
                self._problem(line, f"uses the tag {event.tag!r}; only plain values are read")
            if isinstance(event, events.ScalarEvent):
                self._add(self._scalar(event, line), line)
            else:
                self._add({} if isinstance(event, events.MappingStartEvent) else [], line, opens=True)

    def _add(self, value: Data, line: int, *, opens: bool = False) -> None:
        """Puts `value` where the parser stands; one that `opens` receives what comes until its end."""
        path: KeyPath = ()
        if not self._open:
            self._root = value
            self.places[path] = line
        elif isinstance((top := self._open[-1]).value, list):
            path = (*top.path, len(top.value))
            top.value.append(value)
            self.places[path] = line
        elif top.key is None:
            if opens:
                self._stop(line, f"uses {kind_of(value)} as a key; a key is text")
            top.key = self._key(top, value, line)
            return
        else:
            path = (*top.path, top.key)
            top.value[top.key] = value
            top.key = None
        if opens:
            if len(self._open) == MAX_DEPTH:
                self._stop(line, f"is nested more than {MAX_DEPTH} deep")
            self._open.append(_Open(value, path))

    def _key(self, mapping: _Open, key: Data, line: int) -> str:
        if not isinstance(key, str):
            self._problem(line, f"the key {key!r} is {kind_of(key)}; a key is text (put it in quotes)")
        path = (*mapping.path, key)
        if key in mapping.value:
            self._problem(line, f"the key {dotted(path)!r} is already given on line {self.places[path]}")
        self.places[path] = line
        return str(key)

    def _scalar(self, event: Any, line: int) -> Data:
        """The value of a scalar; what YAML 1.2 would make a date stays text."""
        tag = str(self._yaml.resolver.resolve(ScalarNode, event.value, event.implicit))
        if tag not in _SCALAR_TAGS:
            return str(event.value)
        node = ScalarNode(tag, event.value, event.start_mark, event.end_mark, style=event.style)
        try:
            return self._yaml.constructor.construct_object(node, deep=True)
        except (ValueError, YAMLError):  # an integer of more than 4,300 digits, for example
            self._problem(line, f"{event.value[:40]!r} cannot be read as a value; put it in quotes if it is text")
            return ""
