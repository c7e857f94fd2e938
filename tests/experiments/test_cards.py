"""The card as its driver tells it; where there is none, nothing fails."""

from __future__ import annotations

import pytest

from adapter_transfer.experiments.cards import Card, this_card


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Makes an `nvidia-smi` that prints what it is given."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(answer, code=0):
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\nexit {code}\n")
        tool.chmod(0o755)

    return make


def test_the_smallest_of_several_cards(driver):
    driver("NVIDIA A100-SXM4-80GB, 81920\nNVIDIA GeForce RTX 4090, 24564")
    assert this_card() == Card("NVIDIA GeForce RTX 4090", 24564 * 2**20)


@pytest.mark.parametrize(("answer", "code"), [("", 0), ("NVIDIA-SMI has failed", 9), ("NVIDIA GH200, [N/A]", 0)])
def test_no_card_and_no_answer(driver, answer, code):
    driver(answer, code)
    assert this_card() is None


def test_no_driver(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert this_card() is None
