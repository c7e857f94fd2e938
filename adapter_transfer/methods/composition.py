"""Compositions: how the target's adapter (or weights) meets the intermediate's. What goes with what. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from adapter_transfer.errors import ImpossibleError
from adapter_transfer.registry import Registry

CompositionName = Literal["stack", "stack-tuned", "sum", "sequential"]
CompositionRequest = Literal["auto", "stack", "stack-tuned", "sum", "sequential"]
ResolvedComposition = Literal["none", "alone", "stack", "stack-tuned", "sum", "sequential"]


@dataclass(frozen=True)
class Composition:
    """How two phases are put together.

    Attributes:
        keeps_lower: the intermediate's adapter stays beside a new one (else the same weights go on).
        trains_lower: the intermediate's adapter moves in the target phase, too.
        combines: how two adapters act together: "stack" feeds the lower one's output to the upper one, "sum" adds what
            both add; None where there is only one.
    """

    name: ResolvedComposition
    keeps_lower: bool
    trains_lower: bool
    combines: Literal["stack", "sum"] | None
    summary: str


COMPOSITIONS: Registry[Composition] = Registry(
    "composition",
    [
        Composition("none", False, False, None, "no intermediate: the target phase starts from the backbone"),
        Composition("alone", False, False, None, "no target phase: the intermediate answers with its own head"),
        Composition(
            "stack", True, False, "stack", "the intermediate adapter is frozen below a new target adapter (MAD-X)"
        ),
        Composition("stack-tuned", True, True, "stack", "as stack, but both adapters move in the target phase"),
        Composition(
            "sum",
            True,
            False,
            "sum",
            "a new target adapter adds to what the frozen intermediate one adds (LoRA's stack)",
        ),
        Composition(
            "sequential", False, False, None, "the same adapter (or the same weights) goes on to the target (STILTs)"
        ),
    ],
)


class Composable(Protocol):
    """The part of a method that composition looks at."""

    @property
    def name(self) -> str: ...
    @property
    def compositions(self) -> tuple[CompositionName, ...]: ...
    @property
    def refusals(self) -> Mapping[CompositionName, str]: ...


def resolve_composition(
    method: Composable, request: CompositionRequest, *, has_intermediate: bool
) -> ResolvedComposition:
    """What a cell's composition comes to: `none` without an intermediate, the method's exact one for `auto`.

    Raises:
        ImpossibleError: if the method cannot be composed like that, with the reason and what works.
    """
    if not has_intermediate:
        return "none"
    if request == "auto":
        return method.compositions[0]
    if request not in method.compositions:
        reason = method.refusals.get(request, f"method {method.name!r} does not support composition {request!r}")
        raise ImpossibleError(f"{reason}. Works with {method.name!r}: {', '.join(method.compositions)}.")
    return request
