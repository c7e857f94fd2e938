"""Cutting a body's word-embedding table down to kept rows, and writing it whole again after training.

A table that trains has one row more than is kept, the last: the *decay witness*, ones that no token asks for. Decoupled
weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101) moves every row at each update, those too that are not here;
having no gradient and no moments, they are multiplied by 1 - rate x decay and by nothing else. So is the witness, and
what it has become is what the missing rows are multiplied by when the table is written.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from adapter_transfer.backbones.tensor_files import TensorInfo
from adapter_transfer.backbones.tensor_writing import TensorSource, whole_tensor, write_tensors
from adapter_transfer.backbones.vocabulary import KeptTokens

Rows = Callable[[npt.NDArray[np.int64]], torch.Tensor]
"""(n,) ids of the full table → its rows, (n, D) in the dtype that they are stored in, on the CPU."""

_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class Trimming:
    """How the table of a body that trains was cut, and where the rows that it lacks are.

    Attributes:
        original: gives rows as they were before training.
    """

    kept: KeptTokens
    original: Rows

    @property
    def num_missing_rows(self) -> int:
        """Rows of the full table that the trained one lacks, less the witness that it has and the full one has not."""
        return self.kept.num_rows - len(self.kept) - 1


def put_table(
    body: PreTrainedModel, num_kept: int, rows: Rows, *, with_witness: bool, dtype: torch.dtype, device: torch.device
) -> None:
    """Gives the body a table of `num_kept` rows, and a witness where it trains.

    Args:
        rows: called with 0 to `num_kept` - 1, in parts.
    """
    table: Any = body.get_input_embeddings()
    num_rows = num_kept + with_witness
    weight = torch.ones(num_rows, table.embedding_dim, dtype=dtype, device=device)
    for start in range(0, num_kept, _ROWS_AT_ONCE):
        part = np.arange(start, min(start + _ROWS_AT_ONCE, num_kept))
        weight[start : start + len(part)] = rows(part).to(device=device, dtype=dtype)
    table.weight = torch.nn.Parameter(weight, requires_grad=table.weight.requires_grad)
    table.num_embeddings = body.config.vocab_size = num_rows


def save_whole(body: PreTrainedModel, trimming: Trimming, folder: Path) -> None:
    """Saves a trained body as an ordinary checkpoint with all rows, as `save_pretrained` would the untrimmed one.

    Rows that were kept are as they were trained. The others are the original ones times the witness: equal to those of
    untrimmed training without weight decay, and with it up to the rounding of one product in place of many. (Weights
    in bf16 are rounded at random in training: there the missing rows are what theirs would be on average, to bf16.)

    Raises:
        OSError: as writing does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table: Any = body.get_input_embeddings()
    sources: dict[str, TensorSource] = {}
    # The adapters library gives the table a second name; an ordinary checkpoint knows one of each tensor.
    first_names = {tensor.data_ptr(): name for name, tensor in reversed(body.state_dict().items())}
    for name, tensor in body.state_dict().items():
        if first_names[tensor.data_ptr()] == name:
            is_table = tensor.data_ptr() == table.weight.data_ptr()
            sources[name] = _whole_table(tensor, trimming) if is_table else whole_tensor(tensor)
    write_tensors(folder / "model.safetensors", sources)
    config = copy.deepcopy(body.config)
    config.vocab_size = trimming.kept.num_rows
    config.dtype = str(table.weight.dtype).removeprefix("torch.")
    config.architectures = [type(body).__name__]
    config.save_pretrained(folder)


def _whole_table(trained: torch.Tensor, trimming: Trimming) -> TensorSource:
    info = TensorInfo((trimming.kept.num_rows, trained.shape[1]), trained.dtype)
    return TensorSource(info, lambda: _whole_rows(trained, trimming))


def _whole_rows(trained: torch.Tensor, trimming: Trimming) -> Iterator[torch.Tensor]:
    """The rows of the whole table in order, some at once."""
    kept = trimming.kept
    # All entries of an fp32 witness are equal, and their mean in fp64 is the entry itself. Weights in bf16 are rounded
    # at random, each entry on its own; the mean is what they tell of the factor.
    factor = float(trained[-1].double().mean())
    for start in range(0, kept.num_rows, _ROWS_AT_ONCE):
        ids = np.arange(start, min(start + _ROWS_AT_ONCE, kept.num_rows))
        is_kept = np.isin(ids, kept.ids, assume_unique=True)
        part = torch.empty(len(ids), trained.shape[1], dtype=trained.dtype)
        there, missing = torch.from_numpy(is_kept), torch.from_numpy(~is_kept)
        positions = torch.from_numpy(kept.renumber(ids[is_kept]).astype(np.int64))
        part[there] = trained[positions.to(trained.device)].cpu()
        if not is_kept.all():
            # First as the body would have been loaded: in the dtype that it trained in.
            rows = trimming.original(ids[~is_kept]).to(trained.dtype)
            part[missing] = rows if factor == 1.0 else (rows.float() * factor).to(trained.dtype)
        yield part
