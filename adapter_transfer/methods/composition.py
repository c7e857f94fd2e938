"""Compositions: how the target's adapter (or weights) meets the intermediate's. What goes with what. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from adapter_transfer.errors import ImpossibleError
from adapter_transfer.registry import Registry

CompositionName = Literal["stack", "stack-tuned", "sequential"]
CompositionRequest = Literal["auto", "stack", "stack-tuned", "sequential"]
ResolvedComposition = Literal["none", "stack", "stack-tuned", "sequential"]


@dataclass(frozen=True)
class Composition:
    """How two phases are put together.

    Attributes:
        keeps_lower: the intermediate's adapter stays below a new one (else the same weights go on).
        trains_lower: the lower adapter moves in the target phase, too.
    """

    name: str
    keeps_lower: bool
    trains_lower: bool
    summary: str


COMPOSITIONS: Registry[Composition] = Registry(
    "composition",
    [
        Composition("none", False, False, "no intermediate: the target phase starts from the backbone"),
        Composition("stack", True, False, "the intermediate adapter is frozen below a new target adapter (MAD-X)"),
        Composition("stack-tuned", True, True, "as stack, but both adapters move in the target phase"),
        Composition(
            "sequential", False, False, "the same adapter (or the same weights) goes on to the target (STILTs)"
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
