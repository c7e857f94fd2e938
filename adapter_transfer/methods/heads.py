"""Prediction heads: the same for full fine-tuning and adapters, scored row by row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from adapters.context import ForwardContext
from torch import nn

from adapter_transfer.durable import read_json
from adapter_transfer.errors import DataError, StoreError
from adapter_transfer.tasks.formats import Format, HeadType

_ADDERS: Mapping[HeadType, str] = {
    "multiple_choice": "add_multiple_choice_head",
    "classification": "add_classification_head",
    "span": "add_qa_head",
    "tagging": "add_tagging_head",
}


def add_head(model: Any, name: str, format: Format) -> None:
    """Adds adapters' flexible head for `format` with the library's defaults.

    That is dense, tanh and a projection of the first token for choices and classes, a projection of every token else.
    Initialised from torch's global generator, as adapters does; the caller seeds it.
    """
    getattr(model, _ADDERS[format.head_type])(name, **format.head_settings())


_SHAPING = ("head_type", "layers", "activation_function", "use_pooler", "bias")
"""Fields of a head that change what it computes. The number of choices is none, labels show in shapes."""


def require_same_head(folder: Path, own: Mapping[str, Any]) -> None:
    """Refuses a saved head that computes something else than a new one, with weights of the same names and shapes.

    Args:
        folder: of the saved head.
        own: configuration of the new head.

    Raises:
        DataError: with what differs, or if the saved configuration cannot be read.
    """
    try:
        saved = read_json(folder / "head_config.json").get("config")
    except StoreError as error:
        raise DataError(str(error)) from None
    if not isinstance(saved, Mapping):
        raise DataError(f"{folder}: the config of its head is not a mapping")
    different = [
        f"{field} {repr(saved[field])[:40]} instead of {own[field]!r}"
        for field in _SHAPING
        if field in saved and field in own and saved[field] != own[field]
    ]
    if different:
        raise DataError(f"{folder}: its head is another than this task needs: {', '.join(different)}")


def row_logits(
    model: Any,
    head: str,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    token_types: torch.Tensor | None = None,
    *,
    reads_tokens: bool = False,
) -> torch.Tensor:
    """Logits of rows, (B, K), or of every token of theirs, (B, T, K).

    The head is called on the encoder's states alone, not through the model's own forward: a multiple-choice head there
    insists on whole examples, and rows of different examples share a batch here.

    Args:
        input_ids: (B, T) int64.
        attention_mask: (B, T) int64, 1 where there is a token.
        token_types: (B, T) int64, which of two segments a token is of; None is as zeros.
        reads_tokens: as the head's format has it.
    """
    # A tokenizer may tell segments apart for a backbone that has one type only (RoBERTa with a tokenizer of one's own).
    has_types = token_types is not None and model.config.type_vocab_size > 1
    segments = {"token_type_ids": token_types} if has_types else {}
    # As (B, 1, T): transformers asks a (B, T) mask whether it is all ones, which waits for the device at every forward.
    # The library finds each row's first token (which ReFT needs) in the mask itself, and in a (B, T) one only.
    with ForwardContext(model, input_ids=input_ids, attention_mask=attention_mask):
        hidden = model.base_model(input_ids=input_ids, attention_mask=attention_mask[:, None, :], **segments)[0]
    read = hidden if reads_tokens else hidden[:, 0]
    logits: torch.Tensor = nn.Sequential.forward(model.heads[head], read)  # type: ignore[no-untyped-call]
    return logits
