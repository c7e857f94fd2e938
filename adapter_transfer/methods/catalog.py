"""The methods there are, `full` among them. Adding one is one declaration here and one row in its test. No torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.config import Settings
from adapter_transfer.errors import ImpossibleError
from adapter_transfer.methods import footprint
from adapter_transfer.methods.adapter_settings import (
    BottleneckSettings,
    CompacterSettings,
    DoRASettings,
    DoubleBottleneckSettings,
    FullSettings,
    IA3Settings,
    LoRASettings,
    ParallelBottleneckSettings,
    PrefixSettings,
    ReFTSettings,
    SizeCheck,
    bottleneck_fits,
    kronecker_fits,
    rank_fits,
)
from adapter_transfer.methods.composition import CompositionName
from adapter_transfer.methods.footprint import NO_FOOTPRINT, Footprint
from adapter_transfer.registry import Registry


@dataclass(frozen=True)
class Method:
    """A way in which a phase changes the backbone.

    Attributes:
        name: as users write it.
        kind: "full" trains every weight of the encoder; "adapter" adds modules and freezes the rest.
        settings: the model of its settings; their defaults are the method's.
        adapter_config: the class in the adapters library; None for `full`.
        config_fields: resolved settings → arguments of that class, where they are not the settings themselves.
        compositions: how a target phase may stand on an intermediate one; `auto` takes the first.
        refusals: composition → why it does not work with this method, as shown to people.
        refused_precisions: precision of the backbone → why this method does not work on it.
        refused_architectures: architecture of the backbone → why this method does not work on it.
        size_checks: what settings must fulfil for a hidden size.
        undecayed: ends of the names of parameters whose neutral value is not 0, so that weight decay, which pulls
            towards 0, would undo what they stand for.
        footprint: parameters and operations that one adapter adds.
        is_fusible: whether the library can lay a fusion over several of its adapters.
    """

    name: str
    kind: Literal["full", "adapter"]
    settings: type[Settings]
    compositions: tuple[CompositionName, ...]
    refusals: Mapping[CompositionName, str]
    summary: str
    reference: str
    adapter_config: str | None = None
    config_fields: Callable[[Mapping[str, Any]], dict[str, Any]] = dict
    refused_precisions: Mapping[Precision, str] = field(default_factory=dict)
    refused_architectures: Mapping[str, str] = field(default_factory=dict)
    size_checks: tuple[SizeCheck, ...] = ()
    undecayed: tuple[str, ...] = ()
    footprint: Footprint = NO_FOOTPRINT
    is_fusible: bool = False

    def parse_settings(self, given: Mapping[str, Any]) -> Settings:
        """The settings with defaults filled in.

        Raises:
            pydantic.ValidationError: for unknown or impossible values.
        """
        # By way of JSON, where strict pydantic takes a list for a tuple, as a file must write one.
        return self.settings.model_validate_json(json.dumps(given))

    def check(self, settings: Mapping[str, Any], hidden_size: int) -> None:
        """Refuses settings that a backbone is too small for, or that do not divide its size.

        Args:
            settings: resolved, defaults included.
            hidden_size: of the backbone.

        Raises:
            ImpossibleError: with everything that does not fit.
        """
        problems = [problem for check in self.size_checks if (problem := check(settings, hidden_size)) is not None]
        if problems:
            raise ImpossibleError(f"method {self.name!r}: {'; '.join(problems)}.")


def _alpha_is_r(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**settings, "alpha": settings["r"]}


def _from_the_start_only(settings: Mapping[str, Any]) -> dict[str, Any]:
    # Untied, the library makes a second set of weights for positions from the row's end, of which there are none here:
    # they would be saved, counted and decayed without ever acting.
    return {**settings, "suffix_positions": 0, "tied_weights": True}


_NO_ADAPTER = "full fine-tuning has no adapter to keep; it goes on from the intermediate's weights"
_LAYERED = "adapters of this method act one after the other, so they are stacked and not summed"
_LORA_ERASED = (
    "the library computes a stack of LoRA as B2·A2·B1·A1·x: a new target adapter, where B2 is 0, erases the "
    "intermediate one. What a stack is for, B1·A1·x + B2·A2·x, is composition 'sum'"
)
_DORA_ALONE = (
    "DoRA rescales the whole weight, so two of them neither stack nor add up, and the library applies the upper one's "
    "magnitude alone"
)
_LOWER_IGNORED = "in a stack of parallel bottlenecks the library ignores the lower one"
_UPPER_NEVER_RUN = (
    "of several ReFT adapters the library runs the first alone, so a new target adapter would never train"
)
_QUANTIZED_FULL = (
    "full fine-tuning trains every weight, and quantized weights cannot be trained; use an adapter method, or fp32, "
    "bf16 or fp16"
)
_QUANTIZED_DORA = (
    "DoRA's magnitude starts as the norm of the frozen weights, which the library cannot read from quantized ones; use "
    "lora, or fp32, bf16 or fp16"
)

_NO_PREFIX_ON_XL = (
    "the library puts prefixes into attention layers that it has rewritten for each architecture, and for XLM-R XL and "
    "XXL it has not"
)

METHODS: Registry[Method] = Registry(
    "method",
    [
        Method(
            name="full",
            kind="full",
            settings=FullSettings,
            compositions=("sequential",),
            refusals={"stack": _NO_ADAPTER, "stack-tuned": _NO_ADAPTER, "sum": _NO_ADAPTER},
            refused_precisions={"int8": _QUANTIZED_FULL, "nf4": _QUANTIZED_FULL},
            summary="every weight of the encoder is trained",
            reference="Phang et al. 2018, arXiv 1811.01088 (STILTs)",
        ),
        Method(
            name="seq_bn",
            kind="adapter",
            settings=BottleneckSettings,
            compositions=("stack", "stack-tuned", "sequential"),
            refusals={"sum": _LAYERED},
            size_checks=(bottleneck_fits,),
            summary="a bottleneck after each layer's feed-forward block",
            reference="Pfeiffer et al. 2020, arXiv 2005.00247",
            adapter_config="SeqBnConfig",
            footprint=footprint.SEQ_BN,
            is_fusible=True,
        ),
        Method(
            name="double_seq_bn",
            kind="adapter",
            settings=DoubleBottleneckSettings,
            compositions=("stack", "stack-tuned", "sequential"),
            refusals={"sum": _LAYERED},
            size_checks=(bottleneck_fits,),
            summary="a bottleneck after each layer's attention and after its feed-forward block",
            reference="Houlsby et al. 2019, arXiv 1902.00751",
            adapter_config="DoubleSeqBnConfig",
            footprint=footprint.DOUBLE_SEQ_BN,
            is_fusible=True,
        ),
        Method(
            name="par_bn",
            kind="adapter",
            settings=ParallelBottleneckSettings,
            # A sum is exact here, too, but not what has been published for this method: `auto` does not take it.
            compositions=("sequential", "sum"),
            refusals={"stack": _LOWER_IGNORED, "stack-tuned": _LOWER_IGNORED},
            size_checks=(bottleneck_fits,),
            summary="a bottleneck beside each layer's feed-forward block",
            reference="He et al. 2022, arXiv 2110.04366",
            adapter_config="ParBnConfig",
            footprint=footprint.PAR_BN,
        ),
        Method(
            name="lora",
            kind="adapter",
            settings=LoRASettings,
            compositions=("sum", "sequential"),
            refusals={"stack": _LORA_ERASED, "stack-tuned": _LORA_ERASED},
            size_checks=(rank_fits,),
            summary="a low-rank update of each layer's query and value projections",
            reference="Hu et al. 2021, arXiv 2106.09685",
            adapter_config="LoRAConfig",
            footprint=footprint.LORA,
        ),
        Method(
            name="dora",
            kind="adapter",
            settings=DoRASettings,
            compositions=("sequential",),
            refusals={"stack": _DORA_ALONE, "stack-tuned": _DORA_ALONE, "sum": _DORA_ALONE},
            refused_precisions={"int8": _QUANTIZED_DORA, "nf4": _QUANTIZED_DORA},
            size_checks=(rank_fits,),
            undecayed=(".m.weight",),
            summary="as lora, for the direction of weights, beside a learned magnitude",
            reference="Liu et al. 2024, arXiv 2402.09353",
            adapter_config="DoRAConfig",
            footprint=footprint.DORA,
            config_fields=_alpha_is_r,
        ),
        Method(
            name="ia3",
            kind="adapter",
            settings=IA3Settings,
            compositions=("stack", "stack-tuned", "sequential"),
            refusals={"sum": "vectors that scale are multiplied, which is what a stack of them does"},
            undecayed=(".lora_B",),
            summary="vectors that scale keys, values and the feed-forward block's inner states",
            reference="Liu et al. 2022, arXiv 2205.05638",
            adapter_config="IA3Config",
            footprint=footprint.IA3,
        ),
        Method(
            name="compacter",
            kind="adapter",
            settings=CompacterSettings,
            compositions=("stack", "stack-tuned", "sequential"),
            refusals={"sum": _LAYERED},
            size_checks=(bottleneck_fits, kronecker_fits),
            summary="as double_seq_bn, its projections sums of Kronecker products",
            reference="Mahabadi et al. 2021, arXiv 2106.04647",
            adapter_config="CompacterConfig",
            footprint=footprint.COMPACTER,
            is_fusible=True,
        ),
        Method(
            name="prefix",
            kind="adapter",
            settings=PrefixSettings,
            compositions=("stack", "stack-tuned", "sequential"),
            refusals={"sum": "keys and values are put beside each other, which is what a stack of prefixes does"},
            refused_architectures={"xlm-roberta-xl": _NO_PREFIX_ON_XL},
            summary="learned keys and values before those of each layer's tokens",
            reference="Li and Liang 2021, arXiv 2101.00190",
            adapter_config="PrefixTuningConfig",
            footprint=footprint.PREFIX,
        ),
        Method(
            name="reft",
            kind="adapter",
            settings=ReFTSettings,
            compositions=("sequential",),
            refusals={"stack": _UPPER_NEVER_RUN, "stack-tuned": _UPPER_NEVER_RUN, "sum": _UPPER_NEVER_RUN},
            size_checks=(rank_fits,),
            # The library keeps an orthogonal matrix as reflections whose diagonal must stay -1: torch reads it as whole
            # numbers, so that one step's decay, to -0.99999, makes it 0 and the whole intervention nothing.
            undecayed=(".parametrizations.weight.original",),
            summary="the first tokens' states are moved in a low-rank subspace (LoReFT)",
            reference="Wu et al. 2024, arXiv 2404.03592",
            adapter_config="LoReftConfig",
            footprint=footprint.REFT,
            config_fields=_from_the_start_only,
        ),
    ],
)


def require_architecture(method: Method, architecture: str) -> None:
    """Refuses a method that does not work on a backbone of this architecture.

    Args:
        architecture: one of the backbones' `SUPPORTED_ARCHITECTURES`.

    Raises:
        ImpossibleError: with the reason and the methods that work there.
    """
    if architecture not in method.refused_architectures:
        return
    working = ", ".join(other.name for other in METHODS.values() if architecture not in other.refused_architectures)
    raise ImpossibleError(
        f"method {method.name!r} does not work on {architecture}: {method.refused_architectures[architecture]}. "
        f"Works there: {working}."
    )
