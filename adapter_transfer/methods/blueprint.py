"""What the files of adapters, heads and fusions have to hold for an encoder: names and shapes. No weight is read.

They are taken from a model of the real class on the meta device, where tensors have shapes and no numbers, so that what
plain adapters would load is what is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import adapters
import torch
from transformers import AutoConfig, AutoModel

from adapter_transfer.backbones.backbone import SHAPE_FIELDS, Backbone
from adapter_transfer.backbones.sizes import EncoderShape
from adapter_transfer.errors import DataError
from adapter_transfer.methods import fusion, weights
from adapter_transfer.methods.attach import adapter_state, with_flexible_heads
from adapter_transfer.methods.catalog import Method
from adapter_transfer.methods.tensor_names import without_name

Shapes: TypeAlias = dict[str, tuple[int, ...]]
"""Name of a tensor, `*` in place of the adapter's or the head's name → its shape."""

HEAD_TYPES = ("multiple_choice", "classification", "question_answering", "tagging")
"""Of the library's heads, those that answer here."""

_NAME = "a"
# Of each architecture's configuration, beside what all of them need.
_MORE_FIELDS = ("type_vocab_size", "pad_token_id", "hidden_act")
_HEAD_COUNTS = {"layers": 8, "num_labels": 10_000, "num_choices": 10_000}
_HEAD_FIELDS = ("activation_function", "bias", "dropout_prob", *_HEAD_COUNTS)


@dataclass(frozen=True)
class AdapterBlueprint:
    """What every adapter of a method with certain settings consists of.

    Attributes:
        shapes: of its tensors.
        config: all that the library says of its settings.
    """

    shapes: Shapes
    config: dict[str, Any]


def bare_model(backbone: Backbone) -> Any:
    """A model of a backbone's architecture and shape with flexible heads, on the meta device.

    Raises:
        DataError: if its configuration lacks sizes, or its architecture is not supported.
    """
    fields = backbone.known_fields()
    kept = {name: fields[name] for name in (*SHAPE_FIELDS, *_MORE_FIELDS) if name in fields}
    config = AutoConfig.for_model(backbone.architecture, **kept)
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        body = AutoModel.from_config(config, add_pooling_layer=False)
        return with_flexible_heads(body)


def count_numbers(backbone: Backbone, method: Method, settings: Mapping[str, Any]) -> int:
    """Numbers that an adapter's file holds; from a formula, so that it may be asked before anything is made."""
    shape = EncoderShape.of(backbone.known_fields())
    return method.footprint.parameters(settings, shape) + method.footprint.fixed(settings, shape)


def adapter_blueprint(model: Any, method: Method, settings: Mapping[str, Any]) -> AdapterBlueprint:
    """What an adapter of a method is on a `bare_model`, which is left as it was."""
    _add(model, method, settings, _NAME)
    try:
        state = adapter_state(model, _NAME)
        shapes = {without_name(key, _NAME): tuple(tensor.shape) for key, tensor in state.items()}
        return AdapterBlueprint(shapes, model.adapters_config.get(_NAME).to_dict())
    finally:
        model.delete_adapter(_NAME)


def head_shapes(model: Any, config: Mapping[str, Any]) -> Shapes:
    """The tensors of a head on a `bare_model`, named as in a file (`heads.*.1.weight`).

    Args:
        config: the `config` of a stranger's `head_config.json`.

    Raises:
        DataError: if it is no head that answers here.
    """
    kept = {name: config[name] for name in _HEAD_FIELDS if name in config}
    if config.get("head_type") not in HEAD_TYPES or config.get("use_pooler"):
        raise DataError(
            f"its head is {repr(config.get('head_type'))[:60]}{' with a pooler' if config.get('use_pooler') else ''}; "
            f"those that answer here are {', '.join(HEAD_TYPES)}, each without a pooler"
        )
    for name, most in _HEAD_COUNTS.items():
        if name in kept and not (type(kept[name]) is int and 0 < kept[name] <= most):
            raise DataError(f"its head has {name} {repr(kept[name])[:60]}; 1 to {most:,} are allowed")
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            model.add_prediction_head_from_config(_NAME, {**kept, "head_type": config["head_type"]}, set_active=False)
    except Exception as error:  # the library checks nothing of a head's settings, so that anything may be raised
        raise DataError(f"its head cannot be made ({type(error).__name__}: {repr(str(error))[:120]})") from None
    try:
        return {f"heads.*.{name}": tuple(value.shape) for name, value in model.heads[_NAME].named_parameters()}
    finally:
        model.delete_head(_NAME)


def fusion_shapes(model: Any, method: Method, settings: Mapping[str, Any], folder: Path) -> Shapes:
    """The tensors of the fusion layer that lies in a folder, on a `bare_model`, by the names in the file.

    Raises:
        DataError: if the method cannot be fused, or the fusion's configuration cannot be used.
    """
    if not method.is_fusible:
        raise DataError(f"adapters of method {method.name!r} cannot be fused")
    config = fusion.fusion_config(folder)
    names = fusion.fused_names(folder)
    if len(set(names)) < len(names):
        raise DataError("it fuses an adapter with itself")
    if taken := sorted(weights.TAKEN_NAMES.intersection(names)):
        raise DataError(f"it fuses an adapter called {taken[0]!r}, which torch's containers have for something else")
    joined = ",".join(names)
    try:
        for name in names:
            _add(model, method, settings, name)
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            model.add_adapter_fusion(list(names), config=config, name=joined)
        return {key: tuple(value.shape) for key, value in fusion.fusion_state(model, joined).items()}
    finally:
        fusion.remove_fusion(model, joined)
        for name in names:
            model.delete_adapter(name)


def _add(model: Any, method: Method, settings: Mapping[str, Any], name: str) -> None:
    assert method.adapter_config is not None, "full fine-tuning has no adapter"
    config = getattr(adapters, method.adapter_config)(**method.config_fields(settings))
    # Some of the library's modules are made on the CPU all the same, and draw.
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        model.add_adapter(name, config=config)
