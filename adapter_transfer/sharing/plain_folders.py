"""Folders that plain adapters saved: what can be known of their adapters and of how they act together. No torch.

`save_adapter` writes one adapter, `save_adapter_setup` a folder an adapter and `adapter_setup.json` beside them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adapter_transfer.backbones.file_headers import read_header
from adapter_transfer.durable import read_json
from adapter_transfer.errors import DataError, ImpossibleError, StoreError
from adapter_transfer.methods.recognition import recognise
from adapter_transfer.sharing.package import (
    ADAPTER_FILES,
    HEAD_FILES,
    ROOT,
    Package,
    SharedAdapter,
    SharedBackbone,
    SharedComposition,
)
from adapter_transfer.sharing.plain_setups import SETUP_FILE, Setup, read_setup
from adapter_transfer.sharing.references import is_safe_name

UNKNOWN_MODEL = "unknown"
"""Name of a backbone that the files do not name."""

_PICKLES = ("pytorch_adapter.bin", "pytorch_model_head.bin")
_LAYER = re.compile(r"\.layer\.(\d{1,4})\.")
# Earlier versions of the library named the model's class alone; the longer names first.
_MODEL_TYPES = {"XLMRobertaXL": "xlm-roberta-xl", "XLMRoberta": "xlm-roberta", "Roberta": "roberta", "Bert": "bert"}
_MAX_JSON_BYTES = 1 << 20
_MAX_NAME = 256


@dataclass(frozen=True)
class _Member:
    """One adapter's folder."""

    path: str
    name: str
    backbone: SharedBackbone
    method: str
    settings: Mapping[str, Any]
    has_head: bool
    version: str


def read_plain_folder(folder: Path) -> Package:
    """What plain adapters saved in a folder: one adapter, one in each of its folders, or a setup.

    Of tasks nothing is known; an adapter's name stands for its task.

    Raises:
        DataError: if there is no adapter, one is damaged or of no method here, or they act together in a way that is
            not supported.
    """
    try:
        if (folder / SETUP_FILE).is_file():
            return _read_setup(folder)
        if (folder / ADAPTER_FILES[0]).is_file():
            return _separate([_read_member(folder, ROOT)])
        paths = sorted(path.name for path in folder.iterdir() if (path / ADAPTER_FILES[0]).is_file())
        if not paths:
            raise DataError(
                f"no adapter lies in {folder}: there is no {ADAPTER_FILES[0]} in it or in a folder of it. Name the "
                "folder that `save_adapter(folder, name, use_safetensors=True)` wrote."
            )
        return _separate([_read_member(folder, path) for path in paths])
    except ImpossibleError as error:
        raise DataError(f"{folder}: {error}") from None
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"]
        raise DataError(f"{folder}: {told[:200]}") from None
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror})") from None


def _separate(members: list[_Member]) -> Package:
    """Adapters that have nothing to do with each other; each answers where it has a head."""
    adapters = tuple(
        SharedAdapter(
            path=member.path,
            name=member.name,
            role="target" if member.has_head else "intermediate",
            task=member.name,
            has_head=member.has_head,
            run=None,
        )
        for member in members
    )
    answering = [adapter for adapter in adapters if adapter.has_head]
    compositions = tuple(SharedComposition(adapters=(adapter.path,), head=adapter.path) for adapter in answering)
    target = answering[0].task if len(answering) == 1 else None
    return _package(members, adapters=adapters, compositions=compositions, target=target)


def _read_setup(folder: Path) -> Package:
    setup = read_setup(folder / SETUP_FILE, _read_json(folder / SETUP_FILE))
    members = [_read_member(folder, name) for name in setup.adapters]
    for member in members:
        if member.name != member.path:
            raise DataError(f"{folder / member.path}: the adapter in it is called {member.name!r}, not as its folder")
    setup.require_possible(folder, members[0].method)
    head = _find_head(folder, setup)
    if setup.combines is None and head in (None, setup.adapters[0]):
        return _separate(members)
    top = None if setup.fuses_all else setup.adapters[-1]
    lower = setup.adapters if top is None else setup.adapters[:-1]
    adapters = tuple(
        SharedAdapter(
            path=member.path,
            name=member.name,
            role="target" if member.path == top else "intermediate",
            task=member.name,
            parents=_parents(setup, member.path),
            has_head=member.has_head,
            run=None,
        )
        for member in members
    )
    fusion = setup.require_fusion(folder, _read_json)
    compositions: tuple[SharedComposition, ...] = ()
    if head is not None:
        answers = SharedComposition(adapters=setup.adapters, combines=setup.combines, fusion=fusion, head=head)
        compositions = (answers,)
    return _package(
        members,
        adapters=adapters,
        compositions=compositions,
        # What stands on fused adapters is stacked on them; a fusion alone has no target adapter.
        composition="none" if top is None or not lower else "sum" if setup.combines == "sum" else "stack",
        intermediate="+".join(lower) or "none",
        target=top or head,
    )


def _parents(setup: Setup, path: str) -> tuple[str, ...]:
    if setup.combines == "fuse":  # the fused ones stand beside each other
        return setup.adapters[:-1] if not setup.fuses_all and path == setup.adapters[-1] else ()
    return setup.adapters[: setup.adapters.index(path)]


def _find_head(folder: Path, setup: Setup) -> str | None:
    """The folder of the head that answers: as the setup names it, else the topmost adapter's, as the library does."""
    if setup.head is None:
        top = setup.adapters[-1]
        return top if not setup.fuses_all and _has_head(folder / top) else None
    is_on_top = not setup.fuses_all and setup.head == setup.adapters[-1]
    if setup.head in setup.adapters and not is_on_top:
        raise DataError(
            f"{folder}: the head {setup.head!r} is that of an adapter which is not on top. Save the setup with a head "
            "of its own name, or with that of the adapter on top."
        )
    if setup.combines == "fuse" and not setup.fuses_all and not is_on_top:
        raise DataError(f"{folder}: the head has to be that of the adapter on the fusion, {setup.adapters[-1]!r}")
    if not _has_head(folder / setup.head):
        raise DataError(f"{folder}: there is no head in {setup.head!r}, where its setup says there is one")
    return setup.head


def _package(members: list[_Member], **fields: Any) -> Package:
    """A package of members that have to be of one backbone and one method."""
    first = members[0]
    for other in members[1:]:
        if other.backbone != first.backbone:
            raise DataError(
                f"adapters {first.name!r} and {other.name!r} are of different backbones: {_shape(first.backbone)}, "
                f"and {_shape(other.backbone)}. Use each of them by the folder that it lies in."
            )
        if (other.method, other.settings) != (first.method, first.settings):
            raise DataError(
                f"adapters {first.name!r} and {other.name!r} are not of one method with one setting: {first.method} "
                f"{dict(first.settings)}, and {other.method} {dict(other.settings)}. Use each of them by the folder "
                "that it lies in."
            )
    versions = {"adapters": first.version} if first.version else {}
    return Package(
        backbone=first.backbone, method=first.method, method_settings=first.settings, versions=versions, **fields
    )


def _shape(backbone: SharedBackbone) -> str:
    layers = "?" if backbone.num_hidden_layers is None else backbone.num_hidden_layers
    return f"{backbone.name!r} ({backbone.architecture!r}, {layers} layers of {backbone.hidden_size})"


def _read_member(folder: Path, path: str) -> _Member:
    place = folder if path == ROOT else folder / path
    content = _read_json(place / ADAPTER_FILES[0])
    name = content.get("name")
    if not is_safe_name(name) or not (path == ROOT or is_safe_name(path)):
        raise DataError(
            f"{place}: the adapter is called {str(name)[:80]!r}; a name may have letters, digits, - and _, 64 at most"
        )
    for wanted, pickle in zip((ADAPTER_FILES[1], HEAD_FILES[1]), _PICKLES, strict=True):
        if (place / pickle).is_file() and not (place / wanted).is_file():
            raise DataError(
                f"{place} holds a pickle ({pickle}) and no {wanted}. Save it with use_safetensors=True, or have it "
                "converted if you trust who made it (adapter-transfer adapters pull --convert)."
            )
    if not (place / ADAPTER_FILES[1]).is_file():
        raise DataError(f"{place}: {ADAPTER_FILES[1]} is missing")
    version = content.get("version")
    version = version[:_MAX_NAME] if isinstance(version, str) else ""
    try:
        method, settings = recognise(content.get("config"), version)  # type: ignore[arg-type]  # it refuses what is none
    except (DataError, ImpossibleError) as error:
        raise DataError(f"{place}: {error}") from None
    return _Member(
        path=path,
        name=str(name),
        backbone=_backbone(place, content, method),
        method=method,
        settings=settings,
        has_head=_has_head(place),
        version=version.removeprefix("adapters."),
    )


def _backbone(place: Path, content: Mapping[str, Any], method: str) -> SharedBackbone:
    model_class, model_name = str(content.get("model_class")), content.get("model_name")
    by_class = (kind for prefix, kind in _MODEL_TYPES.items() if model_class.startswith(prefix))
    architecture = content.get("model_type") or next(by_class, None)
    size = content.get("hidden_size")
    if not isinstance(architecture, str) or type(size) is not int or size < 1:
        raise DataError(f"{place / ADAPTER_FILES[0]} does not tell what encoder it is for (model_type, hidden_size)")
    layers = [int(found[1]) for key in read_header(place / ADAPTER_FILES[1]) if (found := _LAYER.search(key))]
    # The prefixes of all layers come from one module, which a file holds once, under the first layer's name.
    is_told = bool(layers) and method != "prefix"
    return SharedBackbone(
        name=model_name[:_MAX_NAME] if isinstance(model_name, str) and model_name else UNKNOWN_MODEL,
        commit=None,
        architecture=architecture[:_MAX_NAME],
        hidden_size=size,
        num_hidden_layers=max(layers) + 1 if is_told else None,
    )


def _has_head(place: Path) -> bool:
    there = [(place / name).is_file() for name in HEAD_FILES]
    if any(there) and not all(there):
        raise DataError(f"{place}: of a head there have to be {' and '.join(HEAD_FILES)}; one is missing")
    return all(there)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise DataError(f"{path} is larger than {_MAX_JSON_BYTES:,} bytes, which no configuration is")
        return read_json(path)
    except (StoreError, OSError, TypeError) as error:
        raise DataError(str(error) if isinstance(error, StoreError) else f"{path} cannot be read ({error})") from None
