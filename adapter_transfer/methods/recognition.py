"""Which of our methods an adapter is of that somebody else has saved, and with which settings. No torch.

An `adapter_config.json` holds the fields of one of the library's configurations, no method's name. What is read off
them has to build the very same configuration again: two adapters whose weights have the same names and shapes may
compute different things.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from adapter_transfer.errors import DataError, ImpossibleError
from adapter_transfer.methods.catalog import METHODS, Method

WITHOUT_EFFECT = frozenset(
    {
        # From what a new adapter starts; a saved one is loaded over it.
        "init_weights",
        "init_weights_seed",
        "phm_c_init",
        "phm_init_range",
        "hypercomplex_nonlinearity",
        # Encoders attend to nothing but their own tokens.
        "cross_adapter",
        "cross_prefix",
    }
)
"""Fields of the library's configurations that change nothing in an adapter that is there."""
# Dropout, stochastic depth and what is learned at all act in training only, yet they do count: frozen below a target
# that trains, such an adapter would act differently, and one that goes on would train differently.

# What tells methods apart that share a class of the library; of two, the nearer is of the same kind.
_OF_A_KIND = frozenset({"mh_adapter", "is_parallel", "phm_layer", "composition_mode", "use_dora"})
_SHOWN = 60


def differing_fields(saved: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """What both configurations know and have different, as `field given instead of wanted`.

    Another version of the library may know other fields; those that both know decide.

    Args:
        saved: as read from JSON.
        own: of the library's configuration that an adapter of ours has; tuples are lists in a file.
    """
    wanted = json.loads(json.dumps(dict(own)))
    return [
        f"{field} {_shown(saved[field])} instead of {_shown(wanted[field])}"
        for field in sorted(saved.keys() & wanted.keys() - WITHOUT_EFFECT)
        if saved[field] != wanted[field]
    ]


def recognise(config: Mapping[str, Any], version: str = "") -> tuple[str, dict[str, Any]]:
    """The method that a saved adapter is of, and its settings, defaults included.

    Args:
        config: the `config` of its `adapter_config.json`.
        version: what saved it, as that file says ("adapters.1.3.0").

    Raises:
        ImpossibleError: if it is none of `METHODS`, with the nearest one and what differs.
        DataError: if it is no configuration of the adapters library at all.
    """
    if not isinstance(config, Mapping):
        raise DataError(f"its config must be a mapping, not {_shown(config)}. Save the adapter again.")
    whole = _with_defaults(config)
    _require_lasting_alpha(whole, version)
    compared: list[tuple[str, list[str]]] = []
    for method in METHODS.values():
        if method.adapter_config is None or _architecture(method) != whole["architecture"]:
            continue
        settings, different = _compare(method, whole)
        if not different:
            return method.name, settings
        compared.append((method.name, different))
    if not compared:
        raise ImpossibleError(
            f"an adapter of architecture {_shown(whole['architecture'])} is none that this toolkit can use; methods: "
            f"{_method_names()}."
        )
    nearest, different = min(compared, key=lambda entry: _distance(entry[1]))
    raise ImpossibleError(
        f"this adapter is of none of the methods here. The nearest is {nearest!r}, from which it differs in "
        f"{', '.join(different)}. Methods: {_method_names()}."
    )


def _distance(different: list[str]) -> tuple[int, int]:
    return sum(field.split()[0] in _OF_A_KIND for field in different), len(different)


def _compare(method: Method, config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings that a method would need to be this configuration, and what would differ even so."""
    read = {name: _plain_number(config[name]) for name in method.settings.model_fields if name in config}
    try:
        settings = method.parse_settings(read).model_dump(mode="json")
    except ValueError:  # pydantic's own, or NaN
        settings = method.parse_settings({}).model_dump(mode="json")
    own = _library_config(method, settings)
    return settings, differing_fields(config, own)


def _plain_number(value: Any) -> Any:
    # A file may have 16.0 where a setting is a whole number; where it is none, pydantic takes 16 for 16.0.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _library_config(method: Method, settings: Mapping[str, Any]) -> dict[str, Any]:
    import adapters

    assert method.adapter_config is not None, "full fine-tuning has no adapter"
    made = getattr(adapters, method.adapter_config)(**method.config_fields(settings))
    fields: dict[str, Any] = made.to_dict()
    return fields


def _architecture(method: Method) -> str | None:
    import adapters

    assert method.adapter_config is not None, "full fine-tuning has no adapter"
    architecture: str | None = getattr(adapters, method.adapter_config).architecture
    return architecture


def _with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every field as the library would have it: for one that a file lacks it takes the default of a base class."""
    import adapters
    from adapters.configuration.adapter_config import ReftConfig

    architecture = config.get("architecture")
    bases = {None: adapters.BnConfig, "lora": adapters.LoRAConfig, "prefix_tuning": adapters.PrefixTuningConfig}
    base = {**bases, "reft": ReftConfig}.get(architecture) if isinstance(architecture, str | None) else None
    if base is None:
        return {**config, "architecture": architecture}
    whole: dict[str, Any] = {}
    for field in dataclasses.fields(base):
        if field.default is not dataclasses.MISSING:
            whole[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            whole[field.name] = field.default_factory()
        elif field.name not in config:
            raise DataError(f"its config lacks {field.name}, so it cannot be told what it is. Save the adapter again.")
    return {**whole, **config, "architecture": architecture}


def _require_lasting_alpha(config: Mapping[str, Any], version: str) -> None:
    """Refuses a LoRA whose scale the library changes when it loads it (`AdapterLoader._fix_backward_compat`)."""
    numbers = version.removeprefix("adapters.").split(".")
    is_early = version.startswith("adapters.") and (numbers[0] == "0" or numbers[:2] == ["1", "0"])
    if is_early and config["architecture"] == "lora" and config.get("alpha") != config.get("r"):
        raise ImpossibleError(
            f"a LoRA saved by adapters {_shown('.'.join(numbers))}, whose scale was not alpha / r: adapters 1.1 and "
            "later set its alpha to r when they load it. Load it there and save it again."
        )


def _method_names() -> str:
    return ", ".join(method.name for method in METHODS.values() if method.kind == "adapter")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
