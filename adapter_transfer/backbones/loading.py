"""Loading a backbone's body, an encoder without heads, in a run's precision. Adapters and heads come in methods."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from adapter_transfer.backbones.backbone import architecture_of
from adapter_transfer.backbones.checkpoints import read_config
from adapter_transfer.backbones.precision import weights_dtype
from adapter_transfer.backbones.prepared import find_prepared
from adapter_transfer.backbones.quantization import is_quantized, load_quantized, require_bitsandbytes
from adapter_transfer.backbones.tensor_files import TensorFiles, word_table_name
from adapter_transfer.backbones.trimming import Trimming, put_table
from adapter_transfer.backbones.vocabulary import KeptTokens
from adapter_transfer.backbones.zoo import QUANTIZED, Backbone, Precision
from adapter_transfer.errors import DataError

_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")

# Said outright: a configuration may ask for another, and the library would fetch its code from the Hub.
_ATTENTION = "sdpa"

_SHOWN_NAMES = 5
_TABLE = "embeddings.word_embeddings.weight"
_CPU = torch.device("cpu")

_Reader = Callable[..., tuple[PreTrainedModel, dict[str, Any]]]
"""Reads a checkpoint: (folder, settings for `from_pretrained`) → the body and what the library says about it."""


def _is_real_warning(record: logging.LogRecord) -> bool:
    # Said of a table that is trimmed, which we fill (whatever else has another shape than expected is refused below),
    # and of a pooler or a head that an encoder has no use for, on every load.
    told = record.getMessage()
    return "because the shapes did not match" not in told and "were not used when initializing" not in told


logging.getLogger("transformers.modeling_utils").addFilter(_is_real_warning)


@dataclass(frozen=True)
class _Cut:
    """What is to be left of an embedding table.

    Attributes:
        rows: those that are taken, in their order.
        num_there: rows that the table must have where it lies.
        with_witness: whether one more is added (see `trimming`).
        dtype, device: of the trimmed table.
    """

    rows: npt.NDArray[np.int64]
    num_there: int
    with_witness: bool
    dtype: torch.dtype
    device: torch.device

    def put(self, body: PreTrainedModel, stored: Callable[[npt.NDArray[np.int64]], torch.Tensor]) -> None:
        """Gives the body its table; `stored` reads rows where they lie."""
        put_table(
            body,
            len(self.rows),
            lambda part: stored(self.rows[part]),
            with_witness=self.with_witness,
            dtype=self.dtype,
            device=self.device,
        )


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
    keep: KeptTokens | None = None,
    prepared_dir: Path | None = None,
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
        keep: trims the embedding table to these rows; tokens are numbered as `KeptTokens.renumber` does. Where the body
            trains, `trimming_of` says how it is saved. None leaves the table whole.
        prepared_dir: where prepared copies of checkpoints lie; one is read in place of the checkpoint where it gives
            the same weights.

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
    read: _Reader = partial(_read_plain, dtype=dtype)
    if precision in QUANTIZED:
        require_bitsandbytes(precision)
        read = partial(load_quantized, precision=precision, dtype=dtype, device=device)
    cut = None
    if keep is not None:
        # A quantized body stays where it is loaded; another one is moved as a whole.
        cut = _Cut(keep.ids, keep.num_rows, trains, dtype, device if precision in QUANTIZED else _CPU)
    if trained_dir is not None:
        body = _saved_body(backbone, trained_dir, settings, read, cut)
    elif backbone.weights == "pretrained":
        folder, cut = _published(backbone, prepared_dir, dtype, keep, cut)
        body = _saved_body(backbone, folder, settings, read, cut)
    else:
        body = _random_body(backbone, vocab_size, settings)
        if precision in QUANTIZED:
            body = _read_back(backbone, body, settings, read, cut)
        elif cut is not None:
            cut.put(body, _rows_of(body))
    if is_quantized(body) != (precision in QUANTIZED):
        place = trained_dir or backbone.source
        found = "has quantized weights" if is_quantized(body) else "was not quantized"
        raise DataError(f"backbone {backbone.name!r}: {place} {found}, and precision {precision} was asked for")
    table: Any = body.get_input_embeddings()
    rows: int = table.num_embeddings if keep is None else keep.num_rows
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


def _published(
    backbone: Backbone, prepared_dir: Path | None, dtype: torch.dtype, keep: KeptTokens | None, cut: _Cut | None
) -> tuple[Path, _Cut | None]:
    """The folder of the checkpoint or of a prepared copy, and what is to be left of the table that lies there."""
    found = find_prepared(prepared_dir, backbone, dtype=dtype, keep=keep) if prepared_dir is not None else None
    if found is None:
        return backbone.model_path, cut
    if found.kept is None:
        return found.folder, cut
    assert keep is not None and cut is not None, "a copy without all rows serves a trimmed table only"
    return found.folder, replace(cut, rows=found.kept.renumber(keep.ids).astype(np.int64), num_there=len(found.kept))


def trimming_of(backbone: Backbone, keep: KeptTokens, *, vocab_size: int, trained_dir: Path | None = None) -> Trimming:
    """How the table of a body that `load_body` was given the same of is cut, to save it whole after training.

    The rows that it lacks are read when it is saved; random ones are drawn again.

    Raises:
        DataError: if the checkpoint's files are missing or damaged.
    """
    if trained_dir is None and backbone.weights == "random":
        draw = cache(lambda: _rows_of(_random_body(backbone, vocab_size, backbone.config_overrides)))
        return Trimming(keep, lambda ids: draw()(ids))
    folder = trained_dir or backbone.model_path
    files, name = _word_table(backbone, folder)
    return Trimming(keep, partial(files.rows, name))


def _rows_of(body: PreTrainedModel) -> Callable[[npt.NDArray[np.int64]], torch.Tensor]:
    table: Any = body.get_input_embeddings()
    whole: torch.Tensor = table.weight.detach()
    return lambda ids: whole[torch.from_numpy(ids)]


def _word_table(backbone: Backbone, folder: Path) -> tuple[TensorFiles, str]:
    try:
        files = TensorFiles.open(folder)
        return files, word_table_name(files)
    except DataError as error:
        raise DataError(f"backbone {backbone.name!r}: {folder} cannot be loaded ({error})") from None


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


def _read_back(
    backbone: Backbone, body: PreTrainedModel, settings: dict[str, Any], read: _Reader, cut: _Cut | None
) -> PreTrainedModel:
    """The same weights by way of a folder: the library quantizes only what it loads."""
    with tempfile.TemporaryDirectory(prefix="adapter-transfer-") as folder:
        body.save_pretrained(folder)
        return _saved_body(backbone, Path(folder), settings, read, cut)


def _saved_body(
    backbone: Backbone, path: Path, settings: dict[str, Any], read: _Reader, cut: _Cut | None
) -> PreTrainedModel:
    # The file that is read is the first of `WEIGHT_FILES`. A pickle is read with torch's `weights_only`, so it brings
    # tensors and no code.
    fixed: dict[str, Any] = {"add_pooling_layer": False, "attn_implementation": _ATTENTION, "local_files_only": True}
    if cut is not None:
        # The library then reads all but the table, whose rows are taken from the file below; the whole of it is never
        # in memory.
        settings = {**settings, "vocab_size": len(cut.rows) + cut.with_witness}
        fixed["ignore_mismatched_sizes"] = True
    try:
        # Left to `from_pretrained`, what the file says of attention outweighs what it is told.
        config = _config(path, settings)
        body, info = read(path, config=config, **fixed)
    except Exception as error:  # safetensors raises its own class, transformers OSError, ValueError or RuntimeError
        raise DataError(f"backbone {backbone.name!r}: {path} cannot be loaded ({error})") from None
    misfits = {*map(str, info["missing_keys"]), *map(str, info["mismatched_keys"])}
    if cut is not None:
        misfits -= {_TABLE} - {*info["missing_keys"]}
        files, name = _word_table(backbone, path)
        if files.infos[name].shape != (cut.num_there, body.config.hidden_size):
            misfits.add(_TABLE)
    if misfits:
        # transformers only warns and goes on with random weights.
        problem = ", ".join(sorted(misfits)[:_SHOWN_NAMES])
        raise DataError(f"backbone {backbone.name!r}: {path} lacks weights or has others than expected: {problem}")
    if cut is not None:
        cut.put(body, partial(files.rows, name))
    return body


def _config(path: Path, settings: dict[str, Any]) -> PretrainedConfig:
    fields = read_config(path)
    architecture = architecture_of(fields)
    config: PretrainedConfig
    if fields.get("model_type") == architecture:
        config = AutoConfig.from_pretrained(path, local_files_only=True, **settings)
    else:
        config = AutoConfig.for_model(**{**fields, "model_type": architecture, **settings})
    return config


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


def _read_plain(path: Path, *, dtype: torch.dtype, **settings: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
    # Each tensor is cast as it is read: in fp32 first, a large body would need twice its memory for a moment.
    body, info = AutoModel.from_pretrained(path, dtype=dtype, output_loading_info=True, **settings)
    return body, info
