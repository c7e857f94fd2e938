"""Quantized bodies, whose linear layers are kept in 4 bits (nf4) or 8 (int8). Owns bitsandbytes.

A body is quantized while it is loaded, before adapters are put on it: the other way round, the layers that adapters
have taken the place of are swapped away again, and LoRA and IA3 are left without a parameter, without a word.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, BitsAndBytesConfig, PreTrainedModel

from adapter_transfer.backbones.zoo import QUANTIZED, Precision
from adapter_transfer.errors import ConfigError

# A list of one's own takes the place of the default, which is made of whatever heads the class has. Embeddings are no
# linear layers and are never quantized.
_KEPT_MODULES = ["pooler", "heads", "classifier", "qa_outputs", "lm_head"]


def _is_real_warning(record: logging.LogRecord) -> bool:
    # Every int8 layer says the first at every forward on the CPU, where fp32 is what it is meant to be given. The
    # second is of a kernel for the packed layout, which is never used here (`keep_layout`).
    beginnings = ("MatMul8bitLt: inputs will be cast", "Failed to load CPU gemm_4bit_forward")
    return not record.getMessage().startswith(beginnings)


for _name in ("bitsandbytes.autograd._functions", "bitsandbytes.backends.cpu.ops"):
    logging.getLogger(_name).addFilter(_is_real_warning)


def is_quantized(body: PreTrainedModel) -> bool:
    """Whether some of the body's weights are quantized, so that it can neither be moved, nor cast, nor trained."""
    return bool(getattr(body, "is_quantized", False))


def load_quantized(
    path: Path, *, precision: Precision, dtype: torch.dtype, device: torch.device, **settings: Any
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The body in `path` with its linear layers quantized, on `device`, and what the library says about its loading.

    nf4 is that of Dettmers et al. 2023 (arXiv 2305.14314, section 3; blocks of 64, no double quantization) and computes
    as the dequantized weights do, to the bit. int8 is LLM.int8() (Dettmers et al. 2022, arXiv 2208.07339): activations
    are quantized too, in evaluation and, on a GPU, in training. So on the CPU an int8 body in training and the same in
    evaluation differ (by 5e-4 or so in a hidden state), and since columns with outliers are those of a whole batch, a
    score depends a little on what else was in its batch.

    Args:
        dtype: of all other weights, and of the products.
        settings: for `AutoModel.from_pretrained`.
    """
    assert precision in QUANTIZED, precision
    body, info = AutoModel.from_pretrained(
        path,
        quantization_config=_config(precision, dtype),
        dtype=dtype,
        # Left out, the library takes a GPU wherever there is one.
        device_map={"": "cpu" if device.type == "cpu" else device.index or 0},
        output_loading_info=True,
        **settings,
    )
    # accelerate's hooks (of a map of several devices, or bitsandbytes before 0.48) would call the layers' own forwards
    # past the adapters that are put on them.
    assert not any(hasattr(module, "_hf_hook") for module in body.modules()), "the body has hooks of accelerate"
    keep_layout(body)
    if device.type == "cpu":
        _unmap(body)
    _refuse_moves(body)
    return body, info


def require_bitsandbytes(precision: Precision) -> None:
    """Makes sure that a quantized precision can be had.

    Raises:
        ConfigError: saying what to install.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"precision {precision!r} needs bitsandbytes, which is not installed here. "
            "Install it (pip install 'bitsandbytes>=0.48'), or use fp32, bf16 or fp16."
        )


def _config(precision: Precision, dtype: torch.dtype) -> BitsAndBytesConfig:
    if precision == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=_KEPT_MODULES)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=_KEPT_MODULES,
    )


def keep_layout(body: PreTrainedModel) -> None:
    """Keeps 4-bit weights as they are; to be called again where new layers have taken the place of the body's.

    On a CPU with AVX512-BF16 the first forward without gradients packs them anew for inference. The training step
    after it crashes, or its gradients are wrong (by their own size, or more), without a word.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for module in body.modules():
        if isinstance(module, Linear4bit):
            assert hasattr(module, "support_avx512bf16_for_cpu"), "bitsandbytes has renamed the switch"
            module.support_avx512bf16_for_cpu = False


def _unmap(body: PreTrainedModel) -> None:
    """Copies what is not quantized off the checkpoint's file, all of which stays mapped while one tensor views it."""
    for tensor in (*body.parameters(), *body.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.clone()


def _refuse_moves(body: PreTrainedModel) -> None:
    """Makes `.to()`, `.half()`, `.cuda()` and their like raise, on the body and on any model it is in."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a quantized body stays where and as it was loaded: move or cast what is added to it only")

    # All of them go through it, those of an enclosing module too; the library's own check sees the body alone, and
    # lets 4-bit weights be moved.
    vars(body)["_apply"] = refuse
