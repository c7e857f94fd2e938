"""What a precision means on a device: the dtype of products, and of weights that are not quantized."""

from __future__ import annotations

import torch

from adapter_transfer.backbones.zoo import QUANTIZED, Precision

_DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16: every CPU does, NVIDIA cards do from the Ampere generation on."""
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype of matrix products in a run of this precision.

    Quantized weights are turned into it for each product: bf16 where a card has it, else fp16, and fp32 on the CPU.
    """
    if precision not in QUANTIZED:
        return _DTYPES[precision]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if has_bf16(device) else torch.float16


def weights_dtype(precision: Precision, device: torch.device, *, trains: bool) -> torch.dtype:
    """The dtype that a body's weights are kept in, apart from quantized ones.

    Frozen weights are kept as they compute. Weights that train are fp32 master weights, computed with under autocast
    (Micikevicius et al. 2018, arXiv 1710.03740, section 3.1).
    """
    return torch.float32 if trains else compute_dtype(precision, device)
