"""Canonical JSON and the digests of values: equal values have equal bytes, whoever writes them."""

from __future__ import annotations

import hashlib
import json
import math


def canonical_json(value: object) -> bytes:
    """The one UTF-8 spelling of a JSON value: keys sorted by code point, no blanks, floats by `repr`.

    Equal values give equal bytes whatever the order of their keys; 1, 1.0 and True are three values. A tuple is a list.

    Raises:
        TypeError: for anything that is not exactly a JSON type (a NumPy scalar, an enum, a path, a key that is no
            string), naming its place: a silent conversion would put an accident of the caller into a run's id.
        ValueError: for NaN and the infinities, which JSON does not have.
    """
    require_json(value, "$")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: object) -> str:
    """SHA-256 of `canonical_json(value)`, 64 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def require_json(value: object, place: str) -> None:
    """Refuses what is not exactly JSON; `place` says where it stands (`$` is the value itself).

    Raises:
        TypeError, ValueError: as `canonical_json`.
    """
    kind = type(value)
    if kind is dict:
        assert isinstance(value, dict)
        for key, item in value.items():
            if type(key) is not str:
                raise TypeError(f"{place}: the key {key!r} is a {type(key).__name__}, JSON keys are strings")
            require_json(item, f"{place}.{key}")
    elif kind is list or kind is tuple:
        assert isinstance(value, list | tuple)
        for position, item in enumerate(value):
            require_json(item, f"{place}[{position}]")
    elif kind is float:
        assert isinstance(value, float)
        if not math.isfinite(value):
            raise ValueError(f"{place} is {value!r}, which JSON cannot hold; use null for a value that is not there")
    elif value is not None and kind not in (str, int, bool):
        raise TypeError(f"{place} is a {kind.__module__}.{kind.__qualname__}, which is no JSON type: {value!r:.80}")
