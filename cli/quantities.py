"""Sizes and rates as people write and read them."""

from __future__ import annotations

import re

from adapter_transfer.errors import ConfigError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_BINARY = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]i?)b", re.IGNORECASE)
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?)\s*([kmgtp]?)flops?(?:/s|ps)?", re.IGNORECASE)


def parse_bytes(text: str, option: str) -> int:
    """`8GiB` or `24GB` as bytes.

    Raises:
        ConfigError: if it is neither.
    """
    match = _SIZE.fullmatch(text.strip())
    number = float(match[1]) if match else 0.0
    if match is None or not number:
        raise ConfigError(f"{option} {text!r} is no size of memory; write a number with its unit, for example 8GiB")
    return round(number * {**_UNITS, **_BINARY}[match[2].lower()])


def parse_rate(text: str, option: str) -> float:
    """`30TFLOP/s` as operations a second.

    Raises:
        ConfigError: if it is no rate.
    """
    match = _RATE.fullmatch(text.strip())
    number = float(match[1]) if match else 0.0
    if match is None or not number:
        raise ConfigError(
            f"{option} {text!r} is no rate; write operations a second, for example 30TFLOP/s, or `measure`"
        )
    return number * _UNITS[match[2].lower()]


def gib(num_bytes: float) -> str:
    """Memory, as the memory of cards is counted."""
    return f"{num_bytes / 2**30:.1f} GiB"


def short(number: float) -> str:
    """A count with three digits: 950, 12.3k, 278M, 3.48B."""
    for exponent, unit in ((3, ""), (6, "k"), (9, "M")):
        if number < 10**exponent * 0.9995:
            return f"{number / 10 ** (exponent - 3):.3g}{unit}"
    return f"{number / 10**9:.3g}B"


def scientific(number: float) -> str:
    """A very large count: 1.2e17."""
    return f"{number:.1e}".replace("e+", "e")


def disk(num_bytes: float) -> str:
    """Room on a disk, in the units that disks are sold in."""
    for exponent, unit in ((6, "kB"), (9, "MB"), (12, "GB")):
        if num_bytes < 10**exponent:
            return f"{num_bytes / 10 ** (exponent - 3):.1f} {unit}"
    return f"{num_bytes / 10**12:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds as minutes, hours or days."""
    if 0 < seconds < 1:
        return "< 1 s"
    for limit, divisor, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}" if unit != "h" else f"{seconds / divisor:.1f} h"
    return f"{seconds / 86_400:.1f} d"
