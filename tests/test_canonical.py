"""Canonical JSON: equal values, equal bytes; what is not exactly JSON is refused."""

from __future__ import annotations

import hashlib
import json
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest

from adapter_transfer import canonical


class Level(IntEnum):
    LOW = 1


def test_canonical_json_is_these_bytes() -> None:
    value = {"b": [1, 1.0, True, None], "a": {"é": "\u2028", "z": (0.1, 1e-8, -0.0)}}
    assert canonical.canonical_json(value) == '{"a":{"z":[0.1,1e-08,-0.0],"é":"\u2028"},"b":[1,1.0,true,null]}'.encode()
    assert canonical.digest({}) == hashlib.sha256(b"{}").hexdigest()


def test_canonical_json_survives_order_reading_and_writing() -> None:
    value = {"lr": 2e-5, "seeds": [0, 1], "method": {"name": "seq_bn", "factor": 16}}
    shuffled = {"method": {"factor": 16, "name": "seq_bn"}, "seeds": [0, 1], "lr": 0.00002}
    assert canonical.digest(value) == canonical.digest(shuffled)
    assert canonical.digest(json.loads(json.dumps(value, indent=4))) == canonical.digest(value)


def test_canonical_json_tells_values_apart() -> None:
    values = [1, 1.0, True, "1", None, [1], [[1]], {"1": 1}, 0.1 + 0.2, 0.3, "é", "e\u0301"]
    assert len({canonical.digest(value) for value in values}) == len(values)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "\ud800"])
def test_canonical_json_refuses_values_that_json_lacks(value: object) -> None:
    with pytest.raises(ValueError, match=r"\$\.a\[1\]|surrogates"):
        canonical.canonical_json({"a": [0, value]})


@pytest.mark.parametrize(
    "value", [{1: 2}, {"a": {1}}, b"x", Path("x"), np.float64(1.0), np.float32(1.0), Level.LOW, object()]
)
def test_canonical_json_refuses_other_types(value: object) -> None:
    with pytest.raises(TypeError, match=r"^\$"):
        canonical.canonical_json(value)
