"""Gradient checkpointing: a layer's activations are computed again in the backward pass and not kept for it.

Chen et al. 2016 (arXiv 1604.06174, section 4), with a segment a layer. Gradients are the same to the bit, with dropout.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from adapters.context import ForwardContext
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


def set_gradient_checkpointing(model: Any, enabled: bool) -> None:
    """Turns the recomputation of every transformer layer on or off; it acts in training mode only.

    For any architecture, method and precision. The library's own switch does not know XLM-R XL, and it also
    asks for the gradient of the embeddings, which adapters need not and which lengthens the backward pass.

    Args:
        model: with or without heads.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    assert layers, f"{type(model).__name__} has no layers that can be computed again"
    for layer in layers:
        layer.gradient_checkpointing = enabled
        # The layer's own attribute, by which it calls itself.
        vars(layer)["_gradient_checkpointing_func"] = _recomputed


def _recomputed(layer: Callable[..., Any], *inputs: Any) -> Any:
    """What a layer gives out, without keeping what its backward pass needs; dropout draws the same both times."""
    context = _context()
    return checkpoint(layer, *inputs, use_reentrant=False, context_fn=lambda: (contextlib.nullcontext(), context))


def _context() -> AbstractContextManager[Any]:
    """The library's state of this forward pass (prefixes, shared weights, where rows begin), to be entered once more.

    The backward pass runs when the forward pass has long left it, and on a GPU in a thread that never saw it.
    """
    context = ForwardContext.get_context()
    if context is None:
        return contextlib.nullcontext()
    kept: AbstractContextManager[Any] = copy.copy(context)
    for name in [name for name in vars(kept) if name.endswith("_residual_input")]:
        # Pre-LN layers note their residual stream there, each anew. With the layer before's, the copy would keep an
        # activation alive for each layer; the context itself would be kept alive by what it holds.
        delattr(kept, name)
    return kept
