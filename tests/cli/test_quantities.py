from __future__ import annotations

import pytest

from adapter_transfer.errors import ConfigError
from adapter_transfer_cli.quantities import disk, duration, gib, parse_bytes, parse_rate, scientific, short


@pytest.mark.parametrize(("text", "number"), [("8GiB", 8 * 2**30), ("24 GB", 24 * 10**9), ("0.5tib", 2**39)])
def test_sizes(text, number):
    assert parse_bytes(text, "--memory") == number


@pytest.mark.parametrize(
    ("text", "number"), [("30TFLOP/s", 3e13), ("1.5 PFLOPS", 1.5e15), ("200gflop/s", 2e11), ("1e12FLOP/s", 1e12)]
)
def test_rates(text, number):
    assert parse_rate(text, "--rate") == pytest.approx(number)


@pytest.mark.parametrize("text", ["8", "8 apples", "-8GiB", "0GiB", "", "GiB", "8GiBs", "inf GB", "٨GiB"])
def test_what_is_no_size(text):
    with pytest.raises(ConfigError, match=r"--memory .* is no size of memory; .*8GiB"):
        parse_bytes(text, "--memory")


@pytest.mark.parametrize("text", ["30", "fast", "0TFLOP/s", "-1TFLOP/s", "30TB/s", ""])
def test_what_is_no_rate(text):
    with pytest.raises(ConfigError, match=r"--rate .* is no rate; .*30TFLOP/s"):
        parse_rate(text, "--rate")


def test_numbers_for_people():
    assert [short(n) for n in (0, 999, 8_321, 999_600, 277_453_056, 3_480_000_000)] == [
        *("0", "999", "8.32k", "1M", "277M", "3.48B"),
    ]
    assert scientific(1.23e17) == "1.2e17"
    assert gib(25 * 2**28) == "6.2 GiB"
    assert [disk(n) for n in (12, 2_340_000, 1.36e10, 2e12)] == ["0.0 kB", "2.3 MB", "13.6 GB", "2.0 TB"]
    assert [duration(s) for s in (0, 0.2, 4.4)] == ["0 s", "< 1 s", "4 s"]
    assert [duration(s) for s in (600, 86_400, 1e6)] == ["10 min", "24.0 h", "11.6 d"]
