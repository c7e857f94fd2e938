"""How many parameters an encoder has, from its configuration alone (nothing is loaded)."""

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
