"""Writing tensors to a safetensors file piece by piece, so that no second copy of them is ever in memory.

safetensors' own `save_file` needs every tensor as a whole, and copies each to bytes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from adapter_transfer.backbones.file_headers import header_bytes
from adapter_transfer.backbones.tensor_files import DTYPES, TensorInfo

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class TensorSource:
    """One tensor of a file that is to be written.

    Attributes:
        pieces: gives its content in order, each piece of any shape, on any device, of its dtype; called once.
    """

    info: TensorInfo
    pieces: Callable[[], Iterable[torch.Tensor]]


def whole_tensor(tensor: torch.Tensor) -> TensorSource:
    """The source of a tensor that is there already."""
    return TensorSource(TensorInfo(tuple(tensor.shape), tensor.dtype), lambda: (tensor,))


def write_tensors(path: Path, tensors: Mapping[str, TensorSource]) -> None:
    """Writes a safetensors file; it is for the caller to publish it, or to remove it after an error.

    Raises:
        OSError: as writing does.
    """
    # The widest first, as safetensors does it, so that each begins at a multiple of its width.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].info.dtype.itemsize, item[0]))
    with open(path, "wb") as file:
        file.write(header_bytes({name: (_NAMES[source.info.dtype], source.info.shape) for name, source in ordered}))
        for name, source in ordered:
            start = file.tell()
            for piece in source.pieces():
                assert piece.dtype == source.info.dtype, f"{name}: a piece of {piece.dtype}, not {source.info.dtype}"
                plain = piece.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
                file.write(plain.numpy().data)
            written = file.tell() - start
            assert written == source.info.num_bytes, f"{name}: {written} bytes, not {source.info.num_bytes}"
