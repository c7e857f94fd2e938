"""What can be set for each method, and what a hidden size allows of it. Fields are named as in the adapters library.

Where the library's default is not the one here, the field says so. No torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from adapter_transfer.config import Settings

NonLinearity = Literal["relu", "gelu", "swish", "tanh", "leakyrelu"]
AttentionMatrices = tuple[Literal["q", "k", "v"], ...]
Rank = Annotated[int, Field(gt=0)]
Dropout = Annotated[float, Field(ge=0, lt=1)]

SizeCheck = Callable[[Mapping[str, Any], int], str | None]
"""(resolved settings, hidden size D) → what is wrong with them together, or None."""


class FullSettings(Settings):
    """Full fine-tuning has nothing to set beyond the training itself."""


class BottleneckSettings(Settings):
    """A bottleneck adapter (Houlsby et al. 2019, arXiv 1902.00751; Pfeiffer et al. 2020, arXiv 2005.00052)."""

    reduction_factor: float = Field(16, gt=0)
    """Hidden size divided by bottleneck size."""
    non_linearity: NonLinearity = "relu"
    """Between the two projections."""
    ln_before: bool = False
    """Normalise what a bottleneck is given; in pre-LN models (XLM-R XL, XXL) it is a stream that nothing normalises."""

    @model_serializer(mode="wrap")
    def _leave_out_no_norm(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Run ids of earlier versions are made of settings without it.
        fields: dict[str, Any] = write(self)
        return fields if self.ln_before else {key: value for key, value in fields.items() if key != "ln_before"}


class DoubleBottleneckSettings(BottleneckSettings):
    """Two bottlenecks a layer, after the attention and after the feed-forward block (Houlsby et al. 2019)."""

    non_linearity: NonLinearity = "swish"
    """Between the two projections."""


class ParallelBottleneckSettings(BottleneckSettings):
    """A bottleneck beside the feed-forward block (He et al. 2022, arXiv 2110.04366: scaled, s = 4)."""

    reduction_factor: float = Field(2, gt=0)
    """Hidden size divided by bottleneck size."""
    scaling: float = Field(4.0, gt=0)
    """What the bottleneck gives out is multiplied by this before it is added."""


class CompacterSettings(DoubleBottleneckSettings):
    """Bottlenecks whose projections are sums of Kronecker products (Mahabadi et al. 2021, arXiv 2106.04647)."""

    reduction_factor: float = Field(32, gt=0)
    """Hidden size divided by bottleneck size."""
    non_linearity: NonLinearity = "gelu"
    """Between the two projections."""
    phm_dim: int = Field(4, gt=0)
    """n of the paper: Kronecker products in a sum; hidden and bottleneck size must be divisible by it."""
    phm_rank: Rank = 1
    """Rank of the second factor of each product."""


class _LowRankPlaces(Settings):
    """Which projections of a layer are adapted."""

    attn_matrices: AttentionMatrices = ("q", "v")
    """Of the self-attention: query, key, value."""
    intermediate_lora: bool = False
    """The first projection of the feed-forward block, too."""
    output_lora: bool = False
    """The second projection of the feed-forward block, too."""

    @model_validator(mode="after")
    def _check_places(self) -> _LowRankPlaces:
        if not (self.attn_matrices or self.intermediate_lora or self.output_lora):
            raise ValueError("adapts nothing: name attn_matrices, or set intermediate_lora or output_lora")
        return self


class LoRASettings(_LowRankPlaces):
    """A low-rank update of projections (Hu et al. 2021, arXiv 2106.09685)."""

    r: Rank = 8
    """Rank of the update."""
    alpha: int = Field(8, gt=0)
    """The update is multiplied by alpha / r."""
    dropout: Dropout = 0.0
    """Of the update's input."""


class DoRASettings(_LowRankPlaces):
    """A low-rank update of directions beside a learned magnitude (Liu et al. 2024, arXiv 2402.09353).

    There is no alpha: it is r. The library divides by the norm of W + BA whatever alpha is, so that with another alpha
    it would not be the norm of what is applied. And it multiplies all that a projection gives out, bias included, by
    magnitude / norm, where the paper rescales the weight alone.
    """

    r: Rank = 8
    """Rank of the update."""
    dropout: Dropout = 0.0
    """Of the update's input."""


class IA3Settings(_LowRankPlaces):
    """Learned vectors that scale what projections give out (Liu et al. 2022, arXiv 2205.05638)."""

    attn_matrices: AttentionMatrices = ("k", "v")
    """Of the self-attention: query, key, value."""
    intermediate_lora: bool = True
    """The first projection of the feed-forward block, too."""


class PrefixSettings(Settings):
    """Learned keys and values before those of each layer's tokens (Li and Liang 2021, arXiv 2101.00190)."""

    prefix_length: int = Field(30, gt=0)
    """Keys and values added to each layer; they take no position of a token."""
    flat: bool = False
    """Train keys and values themselves, not a small network that makes them."""
    bottleneck_size: int = Field(512, gt=0)
    """Of that network."""
    dropout: Dropout = 0.0
    """Of keys and values."""


class ReFTSettings(Settings):
    """LoReFT: the first tokens' states are moved in a low-rank subspace (Wu et al. 2024, arXiv 2404.03592, eq. 2)."""

    r: Rank = 1
    """Rank of the subspace."""
    prefix_positions: int = Field(3, gt=0)
    """Tokens that are intervened on, from the row's start; the head reads the first."""
    dropout: Dropout = 0.0
    """Of the states that were moved (the library's default is 0.05)."""


def bottleneck_fits(settings: Mapping[str, Any], hidden_size: int) -> str | None:
    """The library makes a bottleneck of 0 one of 1 and says nothing."""
    factor = settings["reduction_factor"]
    if factor <= hidden_size:
        return None
    return f"reduction_factor {factor:g} leaves nothing of a hidden size of {hidden_size}; at most {hidden_size}"


def kronecker_fits(settings: Mapping[str, Any], hidden_size: int) -> str | None:
    """Both sides of each projection are cut into `phm_dim` parts."""
    factor, parts = settings["reduction_factor"], settings["phm_dim"]
    bottleneck = int(hidden_size // factor)
    if hidden_size % parts == 0 and bottleneck >= parts and bottleneck % parts == 0:
        return None
    working = [f for f in (2, 4, 8, 16, 32, 64) if hidden_size % (f * parts) == 0]
    advice = f"reduction_factor {' or '.join(map(str, working))} would do" if working else "change phm_dim"
    return (
        f"hidden size {hidden_size} and bottleneck {hidden_size} / {factor:g} = {bottleneck} must be divisible by "
        f"phm_dim {parts}, and not 0; {advice}"
    )


def rank_fits(settings: Mapping[str, Any], hidden_size: int) -> str | None:
    """A rank beyond the hidden size is no low rank, and LoReFT's projection cannot be orthogonal."""
    rank = settings["r"]
    return (
        None if rank <= hidden_size else f"r {rank} is more than the hidden size {hidden_size}; at most {hidden_size}"
    )
