"""Names and settings of adapters as older versions of the library saved them → as it saves them today. No torch.

The library itself renames such weights and settings when it loads them, but only there, in memory and from a pickle.
Its own tables are used where it has them: of weights (`AdapterLoader.legacy_weights_mapping`), of activations, of heads
that belonged to a model class. The settings' names of its very first versions it knows no more.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from adapter_transfer.errors import DataError
from adapter_transfer.methods.tensor_names import CONTAINERS

logger = logging.getLogger(__name__)

WRITTEN_AS = "adapters.1.3.0"
"""`version` of converted files: a fixed one, so that they stay the same, byte for byte, with later versions."""

_FIRST_NAMES = {
    "LN_after": "ln_after",
    "LN_before": "ln_before",
    "MH_Adapter": "mh_adapter",
    "Output_Adapter": "output_adapter",
}
# Of a fusion, though they stood in every adapter's settings.
_WITHOUT_EFFECT = {"attention_type", "new_attention_norm"}
# Nested settings of an invertible adapter, which became two plain ones.
_NESTED = "invertible_adapter"
_CONTAINER = re.compile(CONTAINERS)
_INVERTIBLE = "invertible_adapters"
_OF_A_CLASS = re.compile(r"(\w+?)(?:ModelWithHeads|AdapterModel|For[A-Z]\w*)")
_DESCRIPTION = {"model_type": str, "model_name": str, "model_class": str, "hidden_size": int}


def adapter_keys(keys: Iterable[str], saved_name: str, name: str, model_type: str | None) -> dict[str, str]:
    """What the weights of an adapter are called today, by what they are called in its file.

    Args:
        saved_name: of the adapter, in its file.
        name: that it is to have.
        model_type: of the backbone; files of a model without heads lack the prefix that others begin with.

    Raises:
        DataError: if a weight belongs to no adapter or to another, or two would have one name.
    """
    from adapters.loading import AdapterLoader

    prefix = _model_prefix(model_type)
    renamed = {}
    for key in keys:
        parts = [AdapterLoader.legacy_weights_mapping.get(part, part) for part in key.split(".")]
        places = [i for i in range(1, len(parts)) if _CONTAINER.fullmatch(parts[i - 1]) and parts[i] == saved_name]
        if len(places) != 1:
            raise DataError(f"{key[:200]!r} is no weight of the adapter {saved_name!r}")
        parts[places[0]] = name
        if prefix and parts[0] != prefix:
            parts.insert(0, prefix)
        renamed[key] = ".".join(parts)
    if len(set(renamed.values())) < len(renamed):
        raise DataError(f"two weights of the adapter {saved_name!r} would have one name")
    return renamed


def _model_prefix(model_type: str | None) -> str | None:
    from transformers.models.auto import CONFIG_MAPPING, MODEL_MAPPING

    try:
        model_class: Any = MODEL_MAPPING[CONFIG_MAPPING[model_type or ""]]
    except KeyError:
        return None
    return getattr(model_class, "base_model_prefix", None)


def adapter_description(saved: Mapping[str, Any], name: str, keys: Iterable[str]) -> dict[str, Any]:
    """The content of `adapter_config.json` as the library writes it today.

    Args:
        saved: that content as it was written.
        name: that the adapter is to have.
        keys: of its weights, as they are called today.

    Raises:
        DataError: if the settings are of no known kind.
    """
    from adapters import AdapterConfig
    from adapters.loading import AdapterLoader

    current = {**saved, "config": _settings(saved.get("config"), is_old="version" not in saved)}
    try:
        # Of versions that scaled LoRA otherwise than its settings say.
        AdapterLoader._fix_backward_compat(None, current)
        settings = AdapterConfig.load(current["config"]).to_dict()
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DataError(f"the settings of the adapter are of no known kind ({str(error)[:200]!r})") from None
    is_invertible = any(_INVERTIBLE in key.split(".") for key in keys)
    if settings.get("inv_adapter") and not is_invertible:
        if saved.get("type") != "text_task":
            raise DataError("its settings tell of an invertible adapter, of which there are no weights")
        # The first versions told of it in every adapter's settings, and used it in those of languages only.
        settings |= {"inv_adapter": None, "inv_adapter_reduction_factor": None}
    return _described(saved, name, settings)


def _settings(saved: object, *, is_old: bool) -> dict[str, Any]:
    from adapters import ADAPTER_CONFIG_MAP, AdapterConfig
    from adapters.utils import ACTIVATION_RENAME

    if isinstance(saved, str) and saved in ADAPTER_CONFIG_MAP:
        known: dict[str, Any] = ADAPTER_CONFIG_MAP[saved].to_dict()
        return known
    if not isinstance(saved, dict):
        raise DataError(f"the settings of the adapter are of no known kind ({str(saved)[:200]!r})")
    if saved.get("architecture") == "union" and isinstance(saved.get("configs"), list):
        return {"architecture": "union", "configs": [_settings(each, is_old=is_old) for each in saved["configs"]]}
    settings: dict[str, Any] = {
        _FIRST_NAMES.get(str(key), str(key)): value for key, value in saved.items() if key not in _WITHOUT_EFFECT
    }
    if is_old and isinstance(activation := settings.get("non_linearity"), str):
        settings["non_linearity"] = ACTIVATION_RENAME.get(activation, activation)
    try:
        fields = AdapterConfig._get_config_class(settings).__dataclass_fields__
    except (KeyError, TypeError):
        raise DataError(f"an adapter of an unknown kind, {str(settings.get('architecture'))[:100]!r}") from None
    if unknown := sorted(settings.keys() - fields.keys() - {_NESTED}):
        logger.warning("settings of an adapter that the library knows no more are left out: %s", str(unknown)[:500])
    return {key: value for key, value in settings.items() if key in fields or key == _NESTED}


def head_description(saved: Mapping[str, Any], name: str) -> tuple[dict[str, Any], dict[str, int]]:
    """The content of `head_config.json` as the library writes it today, and which weights are at which layer.

    Args:
        saved: that content as it was written, maybe of a model class with one fixed head.
        name: that the head is to have.

    Returns:
        The content; and of a model's fixed head what each layer was called → its number in a flexible head (of a head
        that was flexible, nothing).

    Raises:
        DataError: if it is a head of no known kind.
    """
    from adapters.head_utils import STATIC_TO_FLEX_HEAD_MAP, get_head_config_and_rename_list

    model_class = saved.get("model_class")
    named = _OF_A_CLASS.fullmatch(model_class) if isinstance(model_class, str) else None
    if named is None:
        raise DataError(f"a head of a model of an unknown class, {str(model_class)[:100]!r}")
    model_class = named.group()
    settings: Any = saved.get("config")
    layers: dict[str, int] = {}
    if settings is None and model_class in STATIC_TO_FLEX_HEAD_MAP:
        labels, num_labels = saved.get("label2id"), saved.get("num_labels")
        if not isinstance(labels, dict | None) or not isinstance(num_labels, int | None):
            raise DataError(f"the labels of a head of the class {model_class!r} are not told")
        settings, _ = get_head_config_and_rename_list(model_class, name, labels, num_labels=num_labels)
        names = STATIC_TO_FLEX_HEAD_MAP[model_class]["layers"]
        layers = {layer: number for number, layer in enumerate(names) if layer is not None}
    if not isinstance(settings, dict) or not isinstance(settings.get("head_type"), str):
        raise DataError(f"a head of an unknown kind, of the class {model_class[:100]!r}")
    return _described({**saved, "model_class": f"{named.group(1)}AdapterModel"}, name, settings), layers


def head_keys(keys: Iterable[str], saved_name: str, name: str, layers: Mapping[str, int]) -> dict[str, str]:
    """What the weights of a head are called today, by what they are called in its file.

    Args:
        layers: as `head_description` gives them.

    Returns:
        Nothing for weights of other heads. (The library saved those, too, whose name begins with this head's.)

    Raises:
        DataError: if a weight belongs to no head.
    """
    renamed = {}
    for key in keys:
        layer, _, parameter = key.rpartition(".")
        if layer in layers:
            renamed[key] = f"heads.{name}.{layers[layer]}.{parameter}"
        elif key.startswith(f"heads.{saved_name}."):
            renamed[key] = f"heads.{name}.{key.removeprefix(f'heads.{saved_name}.')}"
        elif key.startswith(f"heads.{saved_name}"):
            logger.warning("a weight of another head is left out: %r", key[:200])
        else:
            raise DataError(f"{key[:200]!r} is no weight of the head {saved_name!r}")
    return renamed


def _described(saved: Mapping[str, Any], name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the library writes beside an adapter's or a head's settings."""
    described: dict[str, Any] = {key: saved.get(key) for key in _DESCRIPTION}
    for key, kind in _DESCRIPTION.items():
        value = described[key]
        if value is not None and (type(value) is not kind or len(str(value)) > 200):
            raise DataError(f"{key} is {str(value)[:100]!r}")
    if isinstance(described["model_class"], str):
        described["model_class"] = described["model_class"].replace("ModelWithHeads", "AdapterModel")
    return {**described, "name": name, "config": dict(settings), "version": WRITTEN_AS}
