"""Loading a backbone's body, an encoder without heads, in a run's precision. Adapters and heads come in methods."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, PreTrainedModel

from adapter_transfer.backbones.precision import weights_dtype
from adapter_transfer.backbones.quantization import is_quantized, load_quantized, require_bitsandbytes
from adapter_transfer.backbones.zoo import QUANTIZED, Backbone, Precision
from adapter_transfer.errors import DataError

_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")

# Said outright: a configuration may ask for another, and the library would fetch its code from the Hub.
_ATTENTION = "sdpa"

_SHOWN_NAMES = 5

_Reader = Callable[..., tuple[PreTrainedModel, dict[str, Any]]]
"""Reads a checkpoint: (folder, settings for `from_pretrained`) → the body and what the library says about it."""


def load_body(
    backbone: Backbone,
    *,
    precision: Precision = "fp32",
    trains: bool = False,
    device: torch.device,
    vocab_size: int,
    dtype: torch.dtype | None = None,
    dropout: float | None = None,
    trained_dir: Path | None = None,
) -> PreTrainedModel:
    """The encoder without pooler and heads, in evaluation mode, on `device`.

    A quantized one stays where and as it is: moving or casting it is an assertion of ours.

    Args:
        trains: whether the body itself will be trained; its weights are fp32 then, whatever the precision.
        vocab_size: tokens of the tokenizer, which must all have a row in the embedding table.
        dtype: of the weights that are not quantized; None takes what precision and device ask for.
        dropout: of hidden states, attention and heads; None keeps what the checkpoint says of each
            (`hidden_dropout_prob`, `attention_probs_dropout_prob`, and `classifier_dropout`, which is that of hidden
            states where it is left out).
        trained_dir: folder of this backbone after full fine-tuning, to be loaded in place of the checkpoint.

    Raises:
        ConfigError: if a quantized precision is asked for and bitsandbytes is not installed.
        DataError: if files are missing or damaged, weights are missing, quantized though they should not be, or not
            finite, or the table is smaller than the vocabulary.
    """
    assert precision not in QUANTIZED or not (trains or trained_dir), "quantized weights cannot be trained"
    dtype = dtype or weights_dtype(precision, device, trains=trains)
    settings = backbone.config_overrides
    if dropout is not None:
        settings = {**settings, **dict.fromkeys(_DROPOUTS, dropout)}
    read: _Reader = _read_plain
    if precision in QUANTIZED:
        require_bitsandbytes(precision)
        read = partial(load_quantized, precision=precision, dtype=dtype, device=device)
    if trained_dir is not None:
        body = _saved_body(backbone, trained_dir, settings, read)
    elif backbone.weights == "pretrained":
        body = _saved_body(backbone, backbone.model_path, settings, read)
    else:
        body = _random_body(backbone, vocab_size, settings)
        if precision in QUANTIZED:
            body = _read_back(backbone, body, settings, read)
    if is_quantized(body) != (precision in QUANTIZED):
        place = trained_dir or backbone.source
        found = "has quantized weights" if is_quantized(body) else "was not quantized"
        raise DataError(f"backbone {backbone.name!r}: {place} {found}, and precision {precision} was asked for")
    table: Any = body.get_input_embeddings()
    rows: int = table.num_embeddings
    if vocab_size > rows:
        raise DataError(f"backbone {backbone.name!r}: {vocab_size} tokens, but only {rows} rows in the embedding table")
    # The library writes this name into what it saves; a path of this machine would differ elsewhere and tell of it.
    body.name_or_path = body.config.name_or_path = backbone.name
    body.eval()
    if not is_quantized(body):
        # transformers wraps `to` in a decorator that hides its signature.
        move: Any = body.to
        body = move(device=device, dtype=dtype)
    _require_finite(backbone, body, precision)
    return body


def _random_body(backbone: Backbone, vocab_size: int, settings: dict[str, Any]) -> PreTrainedModel:
    fields = {**backbone.config_fields(), **settings}
    if backbone.trains_tokenizer:
        fields["vocab_size"] = vocab_size
    config = AutoConfig.for_model(**fields)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(backbone.random_seed)
        # Made on the CPU in fp32 and moved, so that the control is the same model on every device.
        body: PreTrainedModel = AutoModel.from_config(
            config, dtype=torch.float32, add_pooling_layer=False, attn_implementation=_ATTENTION
        )
    return body


def _read_back(backbone: Backbone, body: PreTrainedModel, settings: dict[str, Any], read: _Reader) -> PreTrainedModel:
    """The same weights by way of a folder: the library quantizes only what it loads."""
    with tempfile.TemporaryDirectory(prefix="adapter-transfer-") as folder:
        body.save_pretrained(folder)
        return _saved_body(backbone, Path(folder), settings, read)


def _saved_body(backbone: Backbone, path: Path, settings: dict[str, Any], read: _Reader) -> PreTrainedModel:
    # The file that is read is the first of `WEIGHT_FILES`. A pickle is read with torch's `weights_only`, so it brings
    # tensors and no code.
    fixed = {"add_pooling_layer": False, "attn_implementation": _ATTENTION, "local_files_only": True}
    try:
        # Left to `from_pretrained`, what the file says of attention outweighs what it is told.
        config = AutoConfig.from_pretrained(path, local_files_only=True, **settings)
        body, info = read(path, config=config, **fixed)
    except Exception as error:  # safetensors raises its own class, transformers OSError, ValueError or RuntimeError
        raise DataError(f"backbone {backbone.name!r}: {path} cannot be loaded ({error})") from None
    if info["missing_keys"] or info["mismatched_keys"]:
        # transformers only warns and goes on with random weights.
        problem = ", ".join(sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))[:_SHOWN_NAMES])
        raise DataError(f"backbone {backbone.name!r}: {path} lacks weights or has others than expected: {problem}")
    return body


def _require_finite(backbone: Backbone, body: PreTrainedModel, precision: Precision) -> None:
    """Refuses weights with NaN or infinity, which every score would be made of; of quantized ones, their scales."""
    floats = {name: tensor for name, tensor in body.state_dict().items() if tensor.is_floating_point()}
    # The extremes of a tensor with NaN are NaN; no second tensor of its size is made.
    bad = [name for name, tensor in floats.items() if not torch.stack(torch.aminmax(tensor)).isfinite().all()]
    if bad:
        more = f" and {len(bad) - _SHOWN_NAMES} more" if len(bad) > _SHOWN_NAMES else ""
        raise DataError(
            f"backbone {backbone.name!r}: in {precision} it has weights that are not finite: "
            f"{', '.join(bad[:_SHOWN_NAMES])}{more}. Bring a whole checkpoint; weights beyond 65504 need another "
            "precision than fp16."
        )


def _read_plain(path: Path, **settings: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
    body, info = AutoModel.from_pretrained(path, dtype=torch.float32, output_loading_info=True, **settings)
    return body, info
