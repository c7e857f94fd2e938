"""Whether a package's adapters suit a backbone: the same encoder, and every tensor of every file as it has to be.

The library itself loads an adapter with every key missing, or on a deeper encoder, and says nothing (fact K in the
documentation). Here each mismatch is an error, found before any weight is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from adapter_transfer.backbones.checkpoints import HubModel, LocalFolder, PackageFolder
from adapter_transfer.backbones.file_headers import StoredTensor, read_header
from adapter_transfer.backbones.zoo import Backbone
from adapter_transfer.errors import AdapterTransferError, DataError
from adapter_transfer.methods import blueprint, weights
from adapter_transfer.methods.blueprint import AdapterBlueprint, Shapes
from adapter_transfer.methods.catalog import METHODS, Method, require_architecture
from adapter_transfer.methods.recognition import differing_fields, recognise
from adapter_transfer.methods.tensor_names import model_names
from adapter_transfer.sharing.encoders import repository_of
from adapter_transfer.sharing.inspection import WEIGHT_TYPES, read_untrusted
from adapter_transfer.sharing.listing import limited, shown
from adapter_transfer.sharing.package import ADAPTER_FILES, FUSION_FILES, HEAD_FILES, Package, SharedBackbone
from adapter_transfer.sharing.strict_json import parse_strict

_LAYER = re.compile(r"\.layer\.([0-9]{1,6})\.")
_MAX_PROBLEMS = 12
_MAX_NAMES = 3


class MisfitError(DataError):
    """Adapters do not fit a backbone. Holds every problem found, not only the first.

    Attributes:
        problems: each says what of the package differs from what of the backbone.
    """

    def __init__(self, summary: str, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([summary, *limited(problems, _MAX_PROBLEMS)]))


def require_fit(folder: Path, package: Package, backbone: Backbone, *, is_stated: bool = False) -> None:
    """Refuses a package that was made for another encoder, or whose files hold anything but what belongs on this one.

    Compared are who the encoder is (`Backbone.digest` where both are known, else repository, commit and the name that
    plain adapters wrote), architecture, hidden size and layers; then, with a model on the meta device, the settings and
    every name, shape and type of every adapter, head and fusion. Values are the matter of `inspection`.

    Args:
        folder: of the package, looked at by `inspection.inspect_package`.
        package: what it says of itself.
        backbone: pinned, where it lies on the Hub.
        is_stated: the user says that it is this backbone. Adapters whose files tell no encoder, or the path of a folder
            on somebody's machine, are taken at that word; what they do tell has to agree all the same.

    Raises:
        MisfitError: with everything that differs.
        DataError: if the backbone's own files are missing or damaged.
    """
    summary = f"{folder}: the adapters do not fit backbone {backbone.name!r}."
    configs = {each.path: _fields(folder / each.path / ADAPTER_FILES[0], summary) for each in package.adapters}
    problems = [
        *_shape_problems(package.backbone, backbone),
        *_identity_problems(package.backbone, backbone, configs, is_stated),
    ]
    for path, fields in configs.items():
        problems += [f"{_in(path)}{told}" for told in _config_problems(fields, backbone)]
    if problems:
        raise MisfitError(summary, list(dict.fromkeys(problems)))
    try:
        method, settings = _method(package, backbone)
    except AdapterTransferError as error:
        raise MisfitError(summary, [str(error)]) from None
    model = blueprint.bare_model(backbone)
    problems += _too_small(folder, package, backbone, method, settings)
    if not problems:
        wanted = blueprint.adapter_blueprint(model, method, settings)
        for adapter in package.adapters:
            place = folder / adapter.path
            told = [*_adapter_problems(place, configs[adapter.path], adapter.name, method, settings, wanted)]
            if adapter.has_head or (place / HEAD_FILES[0]).exists():
                told += _head_problems(place, model)
            problems += [f"{_in(adapter.path)}{each}" for each in told]
    for path in _further_heads(package):
        problems += [f"{_in(path)}{each}" for each in _head_problems(folder / path, model)]
    for path in sorted({each.fusion for each in package.compositions if each.fusion is not None}):
        problems += [f"{_in(path)}{each}" for each in _fusion_problems(folder / path, model, method, settings)]
    if problems:
        raise MisfitError(summary, problems)


def _in(path: str) -> str:
    return "" if path == "." else f"{path}: "


def _fields(path: Path, summary: str) -> dict[str, Any]:
    try:
        return parse_strict(read_untrusted(path))
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else error
        raise MisfitError(summary, [f"{path.name} cannot be read ({told})"]) from None


def _shape_problems(shared: SharedBackbone, backbone: Backbone) -> Iterator[str]:
    fields = backbone.known_fields()
    told = {
        "architecture": (shared.architecture, backbone.architecture),
        "hidden size": (shared.hidden_size, fields["hidden_size"]),
        "number of layers": (shared.num_hidden_layers, fields["num_hidden_layers"]),
    }
    for what, (theirs, own) in told.items():
        if theirs is not None and theirs != own:
            yield f"they were made for an encoder of {what} {shown(theirs)}, and this one's is {own!r}"


def _identity_problems(
    shared: SharedBackbone, backbone: Backbone, configs: Mapping[str, Mapping[str, Any]], is_stated: bool
) -> Iterator[str]:
    model = backbone.model
    on_hub = model if isinstance(model, HubModel) and backbone.weights == "pretrained" else None
    is_same_repo = on_hub is not None and repository_of(shared.repo) == on_hub.repo
    if (
        on_hub is not None
        and is_same_repo
        and None not in (shared.commit, on_hub.commit)
        and shared.commit != on_hub.commit
    ):
        yield (
            f"they were trained on {on_hub.repo} at commit {shared.commit}, and it is at {on_hub.commit} here. Use "
            f"that one: `backbones: [{{name: {backbone.name}, revision: {shared.commit}}}]`"
        )
        return
    is_known = not backbone.trains_tokenizer and (not isinstance(model, HubModel) or model.commit is not None)
    if shared.digest is not None and is_known:
        if shared.digest != backbone.digest():
            yield (
                f"they were trained on {_described(shared)}, and {backbone.name!r} ({shown(backbone.source)}) is "
                "another encoder, or differs in weights, configuration or tokenizer. Use the one they were trained on"
            )
        return
    if shared.repo is not None and not is_same_repo:
        yield f"they were trained on {_described(shared)}, and {backbone.name!r} is {shown(backbone.source)}"
        return
    if backbone.trains_tokenizer and shared.name != backbone.name:
        yield f"they were trained on {_described(shared)}, and this is {backbone.name!r}"
        return
    if shared.repo is None:
        for fields in configs.values():
            told = fields.get("model_name")
            if not (is_stated and _tells_no_encoder(told)):
                yield from _name_problems(told, backbone)


def _tells_no_encoder(name: object) -> bool:
    """Whether `model_name` is missing or the path of a folder, which means nothing on another machine."""
    return (
        not isinstance(name, str)
        or not name
        or re.match(r"[./~\\]|[A-Za-z]:|[^/\\]+[/\\][^/\\]+[/\\]", name) is not None
    )


def _name_problems(told: object, backbone: Backbone) -> Iterator[str]:
    """What plain adapters wrote of the encoder: an id of the Hub, or the path of a folder, whose last part counts."""
    model = backbone.model
    own = {backbone.name}
    name = told.rstrip("/\\") if isinstance(told, str) else ""
    if isinstance(model, HubModel):
        name = repository_of(name) or ""
        if backbone.weights == "pretrained":
            own.add(model.repo)
    else:
        name = re.split(r"[/\\]", name)[-1]
        if isinstance(model, LocalFolder | PackageFolder) and backbone.weights == "pretrained":
            own.add(Path(model.path).name)
    if not name:
        yield (
            "their adapter_config.json does not tell the encoder they were trained on (model_name), so nobody can know "
            "whether it is this one. Say so with --backbone, if you know"
        )
    elif name not in own:
        yield f"they were trained on {shown(told)} (model_name), and {backbone.name!r} is {shown(backbone.source)}"


def _described(shared: SharedBackbone) -> str:
    at = f" at commit {shared.commit}" if shared.commit else ""
    return f"{shown(shared.name)} ({shown(shared.repo)}{at})" if shared.repo else shown(shared.name)


def _config_problems(fields: Mapping[str, Any], backbone: Backbone) -> Iterator[str]:
    name = fields.get("name")
    if isinstance(name, str) and name in weights.TAKEN_NAMES:
        yield f"it is called {name!r}, and torch's containers have that name for something else. Save it under another"
    own = {"model_type": backbone.architecture, "hidden_size": backbone.known_fields()["hidden_size"]}
    for key, value in own.items():
        if key in fields and fields[key] != value:
            yield f"its {ADAPTER_FILES[0]} is for {key} {shown(fields[key])}, and this encoder's is {value!r}"


def _method(package: Package, backbone: Backbone) -> tuple[Method, dict[str, Any]]:
    if package.method not in METHODS or METHODS[package.method].kind != "adapter":
        raise DataError(f"their method {shown(package.method)} is none of the adapter methods here (`ls methods`)")
    method = METHODS[package.method]
    require_architecture(method, backbone.architecture)
    try:
        settings = method.parse_settings(dict(package.method_settings)).model_dump(mode="json")
    except ValueError as error:
        raise DataError(f"their settings are none of method {method.name!r}: {shown(str(error))}") from None
    method.check(settings, backbone.known_fields()["hidden_size"])
    return method, settings


def _too_small(
    folder: Path, package: Package, backbone: Backbone, method: Method, settings: Mapping[str, Any]
) -> Iterator[str]:
    """Settings that promise far more than the files hold: they would only fill the memory here."""
    wanted = blueprint.count_numbers(backbone, method, settings)
    for adapter in package.adapters:
        try:
            header = read_header(folder / adapter.path / ADAPTER_FILES[1])
        except DataError as error:
            yield str(error)
            continue
        there = sum(prod(tensor.shape) for tensor in header.values())
        if wanted > 2 * there:
            yield (
                f"{_in(adapter.path)}{method.name} of these settings has {wanted:,} numbers on this encoder, and the "
                f"file holds {there:,}"
            )


def _adapter_problems(
    place: Path,
    fields: Mapping[str, Any],
    name: str,
    method: Method,
    settings: Mapping[str, Any],
    wanted: AdapterBlueprint,
) -> Iterator[str]:
    saved_name, config = fields.get("name"), fields.get("config")
    if saved_name != name:
        yield f"it is saved as {shown(saved_name)}, and the package calls it {shown(name)}"
    if not isinstance(saved_name, str) or not isinstance(config, Mapping):
        yield f"its {ADAPTER_FILES[0]} has no name and settings"
        return
    try:
        found = recognise(config, str(fields.get("version", "")))
    except AdapterTransferError as error:
        yield str(error)
        return
    if found[0] != method.name:
        yield f"it is of method {found[0]!r}, and the package says {method.name!r}"
    elif found[1] != settings:
        different = differing_fields(config, wanted.config) or [f"they are {shown(found[1])}"]
        yield f"its settings are others than the package says: {', '.join(different[:_MAX_NAMES])}"
    header = read_header(place / ADAPTER_FILES[1])
    places = model_names(header, saved_name, wanted.shapes)
    yield from _tensor_problems(header, places, wanted.shapes)


def _head_problems(place: Path, model: Any) -> Iterator[str]:
    try:
        fields = parse_strict(read_untrusted(place / HEAD_FILES[0]))
        header = read_header(place / HEAD_FILES[1])
        config = fields.get("config")
        if not isinstance(config, Mapping):
            raise DataError(f"its {HEAD_FILES[0]} has no settings")
        wanted = blueprint.head_shapes(model, config)
    except OSError as error:
        yield f"its {HEAD_FILES[0]} cannot be read ({error.strerror})"
        return
    except (DataError, ValueError) as error:
        yield str(error)
        return
    start = f"heads.{fields.get('name')}."
    places = {key: f"heads.*.{key.removeprefix(start)}" if key.startswith(start) else key for key in header}
    yield from (f"head: {told}" for told in _tensor_problems(header, places, wanted))


def _fusion_problems(place: Path, model: Any, method: Method, settings: Mapping[str, Any]) -> Iterator[str]:
    try:
        wanted = blueprint.fusion_shapes(model, method, settings, place)
        header = read_header(place / FUSION_FILES[1])
    except DataError as error:
        yield str(error)
        return
    yield from (f"fusion: {told}" for told in _tensor_problems(header, {key: key for key in header}, wanted))


def _further_heads(package: Package) -> list[str]:
    """Folders of heads that stand beside no adapter."""
    return sorted({each.head for each in package.compositions} - {adapter.path for adapter in package.adapters})


def _tensor_problems(header: Mapping[str, StoredTensor], places: Mapping[str, str], wanted: Shapes) -> Iterator[str]:
    """What a file lacks, has besides, or has of another shape or type.

    Args:
        places: name in the file → name in the model.
    """
    found: dict[str, StoredTensor] = {}
    twice = [key for key, tensor in header.items() if found.setdefault(places[key], tensor) is not tensor]
    missing, unknown = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    theirs, own = _deepest_layer(found), _deepest_layer(wanted)
    if theirs is not None and own is not None and theirs != own:
        yield f"its file has layers up to number {theirs}, and on this encoder they go up to {own} (counted from 0)"
    for names, what in ((missing, "missing"), (unknown, "unknown"), (twice, "there twice under different names")):
        if names:
            yield f"{len(names):,} tensors are {what}: {_few(names)}"
    both = found.keys() & wanted.keys()
    odd = [
        f"{key} {list(found[key].shape)} instead of {list(wanted[key])}"
        for key in sorted(both)
        if found[key].shape != wanted[key]
    ]
    if odd:
        yield f"{len(odd):,} tensors have another shape: {_few(odd)}"
    types = sorted(key for key, tensor in found.items() if tensor.dtype not in WEIGHT_TYPES)
    if types:
        yield f"{len(types):,} tensors are not of type {', '.join(WEIGHT_TYPES)}: {_few(types)}"


def _deepest_layer(names: Iterable[str]) -> int | None:
    return max((int(at[1]) for name in names if (at := _LAYER.search(name))), default=None)


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(map(shown, names[:_MAX_NAMES])) + more
