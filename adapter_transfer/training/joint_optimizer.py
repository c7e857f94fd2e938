"""Several optimizers that act as one, and weights that move in the middle of the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from adapter_transfer.training.rounding import round_stochastically


class Part(Protocol):
    """Parameters that move together, with the optimizer that moves them.

    Attributes:
        parameters: by name, in the order of the optimizer's groups.
    """

    @property
    def parameters(self) -> Mapping[str, torch.nn.Parameter]: ...

    @property
    def optimizer(self) -> torch.optim.Optimizer: ...

    def update(self, step: int) -> None:
        """Moves those that have a gradient, in step `step` of the training."""


@dataclass(frozen=True)
class PlainPart:
    """Parameters that the optimizer moves themselves."""

    parameters: Mapping[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer

    def update(self, step: int) -> None:
        self.optimizer.step()


@dataclass(frozen=True)
class RoundedPart:
    """A parameter that is kept in bf16: computed with in fp32 for the time of its update, then rounded stochastically.

    Attributes:
        stand_in: what the optimizer knows in its place; it has the shape always and numbers during an update only.
        seed_at: gives the seed of the rounding noise in a step.
        ids: of the rows that are here, where the parameter is a table that other rows are missing of.
    """

    parameters: Mapping[str, torch.nn.Parameter]
    stand_in: torch.nn.Parameter
    optimizer: torch.optim.Optimizer
    seed_at: Callable[[int], int]
    ids: torch.Tensor | None = None

    @torch.no_grad()
    def update(self, step: int) -> None:
        (weight,) = self.parameters.values()
        if weight.grad is None:
            return
        stand_in = self.stand_in
        stand_in.data, stand_in.grad = weight.float(), weight.grad.float()
        weight.grad = None  # as early as can be: its memory is what all this is about
        self.optimizer.step()
        stand_in.grad = None
        round_stochastically(stand_in.data, weight, self.seed_at(step), self.ids)
        stand_in.data = without_storage(weight)


def without_storage(like: torch.Tensor) -> torch.Tensor:
    """An fp32 tensor of this shape, on this device, that takes four bytes."""
    return torch.zeros((), dtype=torch.float32, device=like.device).expand(like.shape)


class JointOptimizer(torch.optim.Optimizer):
    """Steps each of its parts; its groups and its state are theirs.

    Attributes:
        names: of the parameters, in the order of the groups.
        updates_in_backward: each part is a single parameter, moved as soon as its gradient is there.
    """

    def __init__(self, parts: Sequence[Part], *, updates_in_backward: bool) -> None:
        # The groups are taken as they are and not copied: a learning rate that is set here is set there.
        super().__init__([group for part in parts for group in part.optimizer.param_groups], {})
        for part in parts:
            part.optimizer.state = self.state
        self.names = [name for part in parts for name in part.parameters]
        self.updates_in_backward = updates_in_backward
        self._parts = tuple(parts)
        self._step = 0
        self._norms: list[torch.Tensor] = []
        self._owners: dict[torch.Tensor, torch.optim.Optimizer] = {
            parameter: part.optimizer
            for part in parts
            for group in part.optimizer.param_groups
            for parameter in group["params"]
        }

    def begin(self, step: int, learning_rate: float) -> None:
        """Says which step of the training comes next, and its learning rate."""
        self._step = step
        self._norms = []
        for group in self.param_groups:
            group["lr"] = learning_rate

    def owner(self, parameter: torch.Tensor) -> torch.optim.Optimizer:
        """The optimizer that has this parameter in one of its groups."""
        return self._owners[parameter]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no closure, so no loss either
        """Moves every parameter that has a gradient."""
        assert closure is None, "losses are computed before"
        for part in self._parts:
            part.update(self._step)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops all gradients, those of weights that a stand-in is known for included."""
        for part in self._parts:
            for parameter in part.parameters.values():
                parameter.grad = None

    @contextmanager
    def in_backward(self) -> Iterator[None]:
        """While this is open, a backward pass moves each parameter when its gradient is whole, and drops the gradient.

        That is the fused update of Lv et al. 2024 (LOMO, arXiv 2306.09782, section 3.1), with AdamW in place of plain
        descent. Nothing happens where updates come after the backward pass.
        """
        handles = [
            parameter.register_post_accumulate_grad_hook(partial(self._move, part))  # type: ignore[no-untyped-call]
            for part in self._parts
            for parameter in part.parameters.values()
            if self.updates_in_backward
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def norm(self) -> torch.Tensor:
        """The global norm of the gradients that this step has used up (a scalar on the device)."""
        norm: torch.Tensor = torch.linalg.vector_norm(torch.stack(self._norms))
        return norm

    @torch.no_grad()
    def _move(self, part: Part, parameter: torch.Tensor) -> None:
        assert parameter.grad is not None
        self._norms.append(torch.linalg.vector_norm(parameter.grad, dtype=torch.float32))
        part.update(self._step)
        parameter.grad = None
