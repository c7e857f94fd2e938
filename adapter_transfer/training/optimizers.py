"""The optimizers a training can have: torch's AdamW, and bitsandbytes' in 8 bits or with pages. Owns bitsandbytes here.

An embedding table's moments stay in 32 bits whatever the others are in: Dettmers et al. 2022 (arXiv 2110.02861, section
2.3) found 8 bits unstable there, and a block of 8-bit moments shares its scale among rows, so that leaving out rows
which nobody reads (see `backbones.trimming`) would change the others.
"""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import torch

from adapter_transfer.errors import ConfigError
from adapter_transfer.training.joint_optimizer import JointOptimizer, Part, PlainPart, RoundedPart, without_storage
from adapter_transfer.training.settings import OptimizerName, TrainingSettings

Parameters = Mapping[str, torch.nn.Parameter]

RoundingSeeds = Callable[[str, int], int]
"""(parameter's name, step) → the seed of the noise that it is rounded with."""

_PAGES: defaultdict[tuple[Any, ...], list[torch.Tensor]] = defaultdict(list)
"""Paged buffers that a finished training has left, by shape, dtype and device: bitsandbytes never frees one."""


def make_optimizer(
    parameters: Parameters,
    settings: TrainingSettings,
    device: torch.device,
    undecayed: Collection[str] = (),
    *,
    table: str | None = None,
    table_ids: torch.Tensor | None = None,
    rounding_seeds: RoundingSeeds | None = None,
) -> torch.optim.Optimizer:
    """AdamW over matrices (decayed) and vectors such as biases and norms (not decayed), as the settings have it.

    Args:
        undecayed: names of matrices that are not decayed either.
        table: name of the word-embedding table, where it may train.
        table_ids: (R,) int64, which rows of the whole table its rows are, where it is trimmed.
        rounding_seeds: needed where weights are kept in bf16.

    Raises:
        ConfigError: if the optimizer is bitsandbytes' and that is not installed.
    """
    require_optimizer(settings.optimizer)
    rounded = {name for name, parameter in parameters.items() if parameter.dtype == torch.bfloat16}
    assert settings.master_weights == "bf16" or not rounded, "weights that train are kept in fp32"
    make = partial(_make_plain, settings=settings, device=device, undecayed=undecayed)

    def part(name: str) -> Part:
        weight = parameters[name]
        kind = settings.optimizer.removesuffix("-8bit") if name == table else settings.optimizer
        if name not in rounded:
            return PlainPart({name: weight}, make({name: weight}, kind))
        assert rounding_seeds is not None, "rounding is random, and randomness is keyed"
        stand_in = torch.nn.Parameter(without_storage(weight))
        ids = _ids(weight, table_ids) if name == table else None
        return RoundedPart({name: weight}, stand_in, make({name: stand_in}, kind), partial(rounding_seeds, name), ids)

    alone = rounded | ({table} if table is not None and settings.optimizer.endswith("-8bit") else set())
    if settings.updates_in_backward:
        alone = {*parameters}
    together = {name: parameter for name, parameter in parameters.items() if name not in alone}
    if len(together) == len(parameters):
        return make(together, settings.optimizer)
    parts: list[Part] = [PlainPart(together, make(together, settings.optimizer))] if together else []
    parts += [part(name) for name in parameters if name in alone]
    return JointOptimizer(parts, updates_in_backward=settings.updates_in_backward)


def require_optimizer(name: OptimizerName) -> None:
    """Makes sure that an optimizer can be had.

    Raises:
        ConfigError: saying what to install.
    """
    if name != "adamw" and importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"optimizer {name!r} needs bitsandbytes, which is not installed here. "
            "Install it (pip install 'bitsandbytes>=0.48'), or use optimizer adamw."
        )


def names_of(optimizer: torch.optim.Optimizer, parameters: Parameters) -> list[str]:
    """Names in the order of the optimizer's groups."""
    if isinstance(optimizer, JointOptimizer):
        return optimizer.names
    names = {parameter: name for name, parameter in parameters.items()}
    return [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]


def place_state(
    optimizer: torch.optim.Optimizer, parameter: torch.Tensor, key: str, tensor: torch.Tensor
) -> torch.Tensor:
    """A copy of a stored piece of the state where the optimizer keeps it: in pages, or with its parameter."""
    owner = optimizer.owner(parameter) if isinstance(optimizer, JointOptimizer) else optimizer
    if getattr(owner, "is_paged", False) and key in ("state1", "state2"):
        buffer: torch.Tensor = owner.get_state_buffer(parameter, dtype=tensor.dtype)  # type: ignore[attr-defined]
        return buffer.copy_(tensor)
    # AdamW keeps its step counter on the CPU unless the kernel itself counts.
    group = next(group for group in owner.param_groups if any(parameter is other for other in group["params"]))
    stays = key == "step" and not (group.get("fused") or group.get("capturable"))
    return tensor.detach().to(torch.device("cpu") if stays else parameter.device, copy=True)


def release(optimizer: torch.optim.Optimizer) -> None:
    """Drops the state; paged buffers go to whichever training comes next, as bitsandbytes has no way to free one."""
    for state in optimizer.state.values():
        for tensor in state.values():
            if getattr(tensor, "is_paged", False):
                _PAGES[tuple(tensor.shape), tensor.dtype, tensor.page_deviceid].append(tensor)
    optimizer.state.clear()


def _make_plain(
    parameters: Parameters,
    kind: str,
    *,
    settings: TrainingSettings,
    device: torch.device,
    undecayed: Collection[str],
) -> torch.optim.Optimizer:
    """One optimizer of `kind` over all of `parameters`."""
    decayed = [p for name, p in parameters.items() if p.ndim > 1 and name not in undecayed]
    plain = [p for name, p in parameters.items() if p.ndim <= 1 or name in undecayed]
    groups = [
        {"params": params, "weight_decay": decay}
        for params, decay in ((decayed, settings.weight_decay), (plain, 0.0))
        if params
    ]
    given: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": (settings.beta1, settings.beta2),
        "eps": settings.epsilon,
    }
    if kind == "adamw":
        return torch.optim.AdamW(groups, **given, fused=device.type in ("cpu", "cuda"))
    return _bitsandbytes(groups, given, kind, device)


def _bitsandbytes(
    groups: list[dict[str, Any]], given: Mapping[str, Any], kind: str, device: torch.device
) -> torch.optim.Optimizer:
    from bitsandbytes.optim.adamw import AdamW, AdamW8bit

    # Without a card there is nothing to page to; the arithmetic is the same.
    is_paged = kind.startswith("paged-") and device.type == "cuda"
    optimizer_class = AdamW8bit if kind.endswith("-8bit") else AdamW
    optimizer: torch.optim.Optimizer = optimizer_class(groups, **given, is_paged=is_paged)
    if is_paged:
        vars(optimizer)["get_state_buffer"] = partial(_paged_buffer, optimizer.get_state_buffer)  # type: ignore[attr-defined]
    return optimizer


def _paged_buffer(
    make: Callable[..., torch.Tensor], parameter: torch.Tensor, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """A buffer of zeros for one moment of a parameter: one that is left, or a new one."""
    left = _PAGES[tuple(parameter.shape), dtype, parameter.device.index]
    return left.pop().zero_() if left else make(parameter, dtype=dtype)


def _ids(table: torch.Tensor, given: torch.Tensor | None) -> torch.Tensor:
    ids = torch.arange(len(table), device="cpu") if given is None else given
    assert len(ids) == len(table), (len(ids), len(table))
    return ids
