"""The model classes that carry adapters and flexible heads, one for each architecture; XLM-R XL's is our own.

The adapters library has no class for XLM-R XL (and XXL). What it needs to know of such a model, where its projections
and residual connections are, is an *interface*; from it come the same adapters, with the same files, as elsewhere.
Importing this module registers the class, so that `AutoAdapterModel.from_pretrained` loads what is saved here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import adapters
import torch
from adapters import AdapterModelInterface, AutoAdapterModel
from adapters.context import AdapterSetup, ForwardContext
from adapters.heads import ModelWithFlexibleHeadsAdaptersMixin
from adapters.model_mixin import EmbeddingAdaptersWrapperMixin
from transformers import PreTrainedModel, XLMRobertaXLConfig, XLMRobertaXLModel
from transformers.models.xlm_roberta_xl.modeling_xlm_roberta_xl import XLMRobertaXLPreTrainedModel

XL_INTERFACE = AdapterModelInterface(
    adapter_methods=["bottleneck", "lora", "reft", "invertible"],
    model_embeddings="embeddings",
    model_layers="encoder.layer",
    layer_self_attn="attention",
    layer_cross_attn=None,
    attn_q_proj="self.query",
    attn_k_proj="self.key",
    attn_v_proj="self.value",
    attn_o_proj="output.dense",
    layer_intermediate_proj="intermediate.dense",
    layer_output_proj="output.dense",
    # Where a block branches off the residual stream, whose state a bottleneck after that block is given.
    layer_pre_self_attn="attention.self_attn_layer_norm",
    layer_pre_ffn="LayerNorm",
    # These are for norms *after* a block, of which there are none. (Named, every layer would get the last one's: the
    # library looks them up by way of a variable of its loop.)
    layer_ln_1=None,
    layer_ln_2=None,
)
"""Where adapters go in XLM-R XL, a pre-LN model (Goyal et al. 2021, arXiv 2105.00572, section 2).

A bottleneck stands after the last projection of a block and before the block is added to the residual stream. With the
library's defaults it is given what that sum would be, un-normalised: the stream's next state.
"""


class XLMRobertaXLAdapterModel(
    EmbeddingAdaptersWrapperMixin,  # type: ignore[misc]  # the library ships no types
    ModelWithFlexibleHeadsAdaptersMixin,  # type: ignore[misc]
    XLMRobertaXLPreTrainedModel,
):
    """XLM-R XL or XXL with adapters and flexible heads, as the library's own classes are for other architectures."""

    head_types = (
        "classification",
        "multilabel_classification",
        "tagging",
        "multiple_choice",
        "question_answering",
        "dependency_parsing",
        "masked_lm",
    )

    def __init__(self, config: XLMRobertaXLConfig) -> None:
        super().__init__(config)
        self.roberta = XLMRobertaXLModel(config)
        adapters.init(self.roberta, interface=XL_INTERFACE)
        untyped: Any = self
        untyped._init_head_modules()
        untyped.init_weights()

    @ForwardContext.wrap  # type: ignore[untyped-decorator]  # the library ships no types
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        head_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        head: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """What the head makes of the encoder's states; these themselves where no head is active.

        Args:
            input_ids: (B, T), or (B, C, T) for multiple choice; the other inputs likewise.
            head: name of the head; by default, the active one.
            kwargs: for the head (`labels`, say).
        """
        return_dict = self.config.use_return_dict if return_dict is None else return_dict
        attention_mask = _as_rows(attention_mask)
        outputs = self.roberta(
            _as_rows(input_ids),
            attention_mask=attention_mask,
            token_type_ids=_as_rows(token_type_ids),
            position_ids=_as_rows(position_ids),
            head_mask=head_mask,
            inputs_embeds=_as_rows(inputs_embeds, num_dimensions=2),
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=return_dict,
        )
        if not (head or AdapterSetup.get_context_head_setup() or self.active_head):
            return outputs
        run_head: Any = self.forward_head
        return run_head(
            outputs if return_dict else (outputs[0], *outputs[2:]),
            head_name=head,
            attention_mask=attention_mask,
            return_dict=return_dict,
            pooled_output=outputs.pooler_output if return_dict else outputs[1],
            **kwargs,
        )


def _as_rows(values: torch.Tensor | None, num_dimensions: int = 1) -> torch.Tensor | None:
    """Choices of one example as rows like any other: (B, C, T) → (B·C, T)."""
    return None if values is None else values.view(-1, *values.shape[-num_dimensions:])


AutoAdapterModel.register(XLMRobertaXLConfig, XLMRobertaXLAdapterModel)


@dataclass(frozen=True)
class Architecture:
    """How an encoder of one architecture gets adapters and heads.

    Attributes:
        model_class: the class with flexible heads.
        interface: where adapters go; None where the library knows.
    """

    model_class: type[PreTrainedModel]
    interface: AdapterModelInterface | None = None


ARCHITECTURES: Mapping[str, Architecture] = {
    "xlm-roberta": Architecture(adapters.XLMRobertaAdapterModel),
    "roberta": Architecture(adapters.RobertaAdapterModel),
    "bert": Architecture(adapters.BertAdapterModel),
    "xlm-roberta-xl": Architecture(XLMRobertaXLAdapterModel, XL_INTERFACE),
}
"""`model_type` → how it gets adapters and heads; those of `backbones.SUPPORTED_ARCHITECTURES`."""
