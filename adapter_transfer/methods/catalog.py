"""The methods there are, `full` among them. Adding one is one declaration here and one row in its test. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from adapter_transfer.config import Settings
from adapter_transfer.methods.composition import CompositionName
from adapter_transfer.registry import Registry


class FullSettings(Settings):
    """Full fine-tuning has nothing to set beyond the training itself."""


class BottleneckSettings(Settings):
    """A bottleneck adapter (Houlsby et al. 2019, arXiv 1902.00751; Pfeiffer et al. 2020, arXiv 2005.00052)."""

    reduction_factor: float = Field(16, gt=0)
    """Hidden size divided by bottleneck size."""
    non_linearity: Literal["relu", "gelu", "swish", "tanh", "leakyrelu"] = "relu"
    """Between the two projections."""


@dataclass(frozen=True)
class Method:
    """A way in which a phase changes the backbone.

    Attributes:
        name: as users write it.
        kind: "full" trains every weight of the encoder; "adapter" adds modules and freezes the rest.
        settings: the model of its settings; their defaults are the method's.
        adapter_config: the class in the adapters library, which takes the settings; None for `full`.
        compositions: how a target phase may stand on an intermediate one, the exact one first: `auto` takes it.
        refusals: composition → why it does not work with this method, as shown to people.
    """

    name: str
    kind: Literal["full", "adapter"]
    settings: type[Settings]
    compositions: tuple[CompositionName, ...]
    refusals: dict[CompositionName, str]
    summary: str
    reference: str
    adapter_config: str | None = None

    def parse_settings(self, given: dict[str, Any]) -> Settings:
        """The settings with defaults filled in.

        Raises:
            pydantic.ValidationError: for unknown or impossible values.
        """
        return self.settings.model_validate(given)


_NOTHING_TO_STACK = "full fine-tuning has no adapter to stack; it goes on from the intermediate's weights"

METHODS: Registry[Method] = Registry(
    "method",
    [
        Method(
            name="full",
            kind="full",
            settings=FullSettings,
            compositions=("sequential",),
            refusals={
                "stack": _NOTHING_TO_STACK,
                "stack-tuned": _NOTHING_TO_STACK,
            },
            summary="every weight of the encoder is trained",
            reference="Phang et al. 2018, arXiv 1811.01088 (STILTs)",
        ),
        Method(
            name="seq_bn",
            kind="adapter",
            settings=BottleneckSettings,
            compositions=("stack", "stack-tuned", "sequential"),
            refusals={},
            summary="a bottleneck after each layer's feed-forward block",
            reference="Pfeiffer et al. 2020, arXiv 2005.00247",
            adapter_config="SeqBnConfig",
        ),
    ],
)
