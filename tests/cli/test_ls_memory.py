"""`ls memory`: the documentation's table is its output, and the table says what its figures say."""

from __future__ import annotations

import functools
import json
import re

import pytest

from adapter_transfer.backbones.zoo import PUBLISHED
from adapter_transfer.experiments.memory_table import SHOWN_METHODS, SHOWN_PRECISIONS, MemoryRow
from adapter_transfer_cli import output

COMMAND = "adapter-transfer ls memory --markdown"


@pytest.fixture
def rows(call):
    return json.loads(call("ls", "memory", "--json").out)


def test_the_documented_table_is_made_by_the_command(call, root):
    text = (root / "docs" / "memory.md").read_text("utf-8")
    [documented] = re.findall(r"<!-- memory -->\n(.*?)<!-- /memory -->", text, re.DOTALL)
    shown = call("ls", "memory", "--markdown")
    assert shown.code == 0
    assert documented == shown.out, f"write what `{COMMAND}` prints between the marks"


def test_the_tables_fit_on_80_columns(call, monkeypatch):
    monkeypatch.setattr(output, "console", functools.cache(lambda: output._Console(highlight=False, width=80)))
    lines = call("ls", "memory").out.splitlines()
    tables = [line for line in lines if line.startswith(("scale ", *(backbone.name for backbone in PUBLISHED)))]
    assert len(tables) > 60
    assert max(map(len, tables)) <= 80


def test_every_scale_method_and_precision_is_there(rows):
    shipped = [(row["backbone"], row["method"], row["precision"]) for row in rows if row["how"] == "as shipped"]
    assert shipped == [
        (backbone.name, method, precision)
        for backbone in PUBLISHED
        for method in SHOWN_METHODS
        for precision in SHOWN_PRECISIONS
    ]


def test_verdicts_are_those_of_the_figures(rows):
    for row in rows:
        whole, trimmed = row["peak_memory_bytes"], row["trimmed_peak_memory_bytes"]
        if (row["method"], row["precision"]) == ("full", "nf4"):
            assert whole is trimmed is None
            assert set(row["fits"].values()) == {"–"}
            continue
        assert trimmed < whole
        for card, fits in row["fits"].items():
            memory = int(card.removesuffix("GiB")) * 2**30
            assert fits == ("yes" if whole <= memory else "trimmed" if trimmed <= memory else "no")


def test_a_card_holds_exactly_what_it_has():
    row = MemoryRow("xl", "full", "bf16", "as shipped", whole=24 * 2**30 + 1, trimmed=24 * 2**30)
    assert [row.fits(size) for size in (16, 24, 80)] == ["no", "trimmed", "yes"]


def test_what_saves_memory_needs_less(rows):
    found = {(row["backbone"], row["method"], row["precision"], row["how"]): row["peak_memory_bytes"] for row in rows}
    for backbone in ("base", "large", "xl", "xxl"):
        hows = ("as shipped", "recomputed", "recomputed, 8-bit", "recomputed, 8-bit, in backward")
        peaks = [found[backbone, "full", "bf16", how] for how in hows]
        assert peaks == sorted(peaks, reverse=True)
        assert len(set(peaks)) == len(peaks)


def test_more_tokens_need_more(call, rows):
    more = json.loads(call("ls", "memory", "--json", "--tokens", "8192").out)
    pairs = [
        (one["peak_memory_bytes"], other["peak_memory_bytes"])
        for one, other in zip(rows, more, strict=True)
        # Of full fine-tuning a step is one micro-batch then, and gradients need not lie beside activations.
        if one["method"] != "full"
    ]
    assert all(one < other for one, other in pairs)
    fewer = json.loads(call("ls", "memory", "--json", "--kept-tokens", "1000").out)
    pairs = [(a["trimmed_peak_memory_bytes"], b["trimmed_peak_memory_bytes"]) for a, b in zip(rows, fewer, strict=True)]
    assert all(one is None or other < one for one, other in pairs)
