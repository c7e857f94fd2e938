"""The NVIDIA card of this machine, by its driver and not by torch, and the sizes that cards have. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from adapter_transfer.training.nvidia_smi import query_cards

GIB = 2**30
CARD_GIB = (8, 12, 16, 24, 80)
"""Memory of the cards that tables are made for, as they are sold; their drivers keep a little of it."""

DEFAULT_KEPT_TOKENS = 30_000
"""Rows of a trimmed table in these: of XLM-R's 250,002, about what SocialIQA and XCOPA in twelve languages need."""


@dataclass(frozen=True)
class Card:
    """An NVIDIA card."""

    name: str
    memory_bytes: int


def this_card() -> Card | None:
    """The card of this machine; of several, the one with the least memory. None where there is none, or no driver."""
    lines = [line.rsplit(",", 1) for line in query_cards("name", "memory.total") or ()]
    try:
        cards = [Card(name.strip(), int(mebibytes) * 2**20) for name, mebibytes in lines]
    except ValueError:
        return None
    return min(cards, key=lambda card: card.memory_bytes, default=None)
