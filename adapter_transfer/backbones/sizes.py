"""How large an encoder is, from its configuration alone (nothing is loaded)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ParameterCounts:
    """Parameters of an encoder without pooler and heads.

    Attributes:
        embeddings: word, position and type embeddings with their norm.
        encoder: the transformer layers (and, pre-LN, the final norm).
    """

    embeddings: int
    encoder: int

    @property
    def total(self) -> int:
        return self.embeddings + self.encoder


_DEFAULT_DROPOUT = 0.1
"""What transformers takes for an encoder whose `config.json` does not say."""


@dataclass(frozen=True)
class EncoderShape:
    """The sizes that memory and arithmetic of an encoder follow from, named as in `config.json`.

    Attributes:
        num_layers: L.
        hidden_size: D.
        intermediate_size: I, of the feed-forward blocks.
        num_heads: of the attention.
        vocab_size: rows of the word table.
        is_pre_norm: norms stand before each block (XLM-R XL), not after it.
    """

    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    vocab_size: int
    max_position_embeddings: int
    type_vocab_size: int
    is_pre_norm: bool
    hidden_dropout: float
    attention_dropout: float

    @classmethod
    def of(cls, config: Mapping[str, Any], dropout: float | None = None) -> EncoderShape:
        """The shape that the fields of a `config.json` say.

        Args:
            dropout: of hidden states and attention, in place of what the configuration says of each.
        """

        def probability(name: str) -> float:
            return float(config.get(name, _DEFAULT_DROPOUT)) if dropout is None else dropout

        return cls(
            num_layers=int(config["num_hidden_layers"]),
            hidden_size=int(config["hidden_size"]),
            intermediate_size=int(config["intermediate_size"]),
            num_heads=int(config["num_attention_heads"]),
            vocab_size=int(config["vocab_size"]),
            max_position_embeddings=int(config["max_position_embeddings"]),
            type_vocab_size=int(config["type_vocab_size"]),
            is_pre_norm=config.get("model_type") == "xlm-roberta-xl",
            hidden_dropout=probability("hidden_dropout_prob"),
            attention_dropout=probability("attention_probs_dropout_prob"),
        )

    def linear_size(self, place: str) -> tuple[int, int]:
        """(in, out) of a linear layer: "intermediate" and "output" are of the feed-forward block, others D×D."""
        inner = {"intermediate": (self.hidden_size, self.intermediate_size)}
        inner["output"] = inner["intermediate"][::-1]
        return inner.get(place, (self.hidden_size, self.hidden_size))

    @property
    def linear_parameters(self) -> int:
        """Entries of the weight matrices of all layers: what quantization is for."""
        return self.num_layers * (4 * self.hidden_size**2 + 2 * self.hidden_size * self.intermediate_size)

    @property
    def word_parameters(self) -> int:
        """Entries of the word table."""
        return self.vocab_size * self.hidden_size


def count_parameters(config: Mapping[str, Any]) -> ParameterCounts:
    """Parameters of an XLM-R (also RoBERTa, BERT) or XLM-R XL encoder.

    A layer has four D×D projections with bias, a feed-forward of D×I and I×D with bias and two norms of 2·D; pre-LN
    models (XLM-R XL: Goyal et al. 2021, arXiv 2105.00572) have no norm in the embeddings but one after the last layer.

    Args:
        config: the fields of the model's `config.json`.
    """
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    is_pre_norm = config.get("model_type") == "xlm-roberta-xl"
    rows = int(config["vocab_size"]) + int(config["max_position_embeddings"]) + int(config["type_vocab_size"])
    norm = 2 * hidden
    layer = 4 * (hidden * hidden + hidden) + (hidden * inner + inner) + (inner * hidden + hidden) + 2 * norm
    return ParameterCounts(
        embeddings=rows * hidden + (0 if is_pre_norm else norm),
        encoder=int(config["num_hidden_layers"]) * layer + (norm if is_pre_norm else 0),
    )
