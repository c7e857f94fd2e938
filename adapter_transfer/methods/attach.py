"""Attaching: adapters and heads on a body, what trains and what is frozen, saving. Owns the adapters library.

An *assembly* is what stands on the backbone in one phase: which adapters from where, which of them train, which head.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import adapters
import torch
from adapters.composition import AdapterCompositionBlock, Average, Fuse, Stack
from adapters.loading import AdapterLoader
from safetensors import SafetensorError
from transformers import PreTrainedModel

from adapter_transfer.backbones.quantization import is_quantized, keep_layout
from adapter_transfer.backbones.trimming import Trimming, save_whole
from adapter_transfer.canonical import digest
from adapter_transfer.durable import storage_errors
from adapter_transfer.errors import DataError, StoreError
from adapter_transfer.methods import weights
from adapter_transfer.methods.architectures import ARCHITECTURES
from adapter_transfer.methods.catalog import Method
from adapter_transfer.methods.composition import COMPOSITIONS, ResolvedComposition
from adapter_transfer.methods.fusion import add_fusion, fused_names, remove_fusion
from adapter_transfer.methods.heads import add_head, require_same_head
from adapter_transfer.tasks.formats import Format


def _is_real_warning(record: logging.LogRecord) -> bool:
    # `set_active_adapters` opens an empty forward context *before* it activates anything, which warns every time.
    return not record.getMessage().startswith("There are adapters available but none are activated")


logging.getLogger("adapters.model_mixin").addFilter(_is_real_warning)

# What a quantized body knows of itself and a model around it must know, too.
_QUANTIZATION_MARKS = (
    "is_quantized",
    "is_loaded_in_4bit",
    "is_loaded_in_8bit",
    "hf_quantizer",
    "quantization_method",
    "hf_device_map",
)


def _sum(*names: str) -> AdapterCompositionBlock:
    # The library averages; an average of n adapters, each taken n times, is their sum. The weights are whole numbers
    # because the library makes a tensor of them: one of fp32 would make fp32 of what is bf16 or fp16.
    return Average(*names, weights=[len(names)] * len(names), normalize_weights=False)


_BLOCKS: dict[str, Callable[..., AdapterCompositionBlock]] = {"stack": Stack, "sum": _sum}


@dataclass(frozen=True)
class AdapterPart:
    """One adapter of an assembly.

    Attributes:
        name: unique in the assembly; the task it was made for.
        trains: whether it moves in this phase.
        source: folder of a saved adapter to start from; None starts anew.
    """

    name: str
    trains: bool
    source: Path | None = None


@dataclass(frozen=True)
class Assembly:
    """What stands on a body in one phase.

    Attributes:
        adapters: from the lowest up; empty for full fine-tuning.
        composition: how several adapters act together; nothing where there is only one. "fuse" is what `fusion_source`
            says: all of them are fused, or all but the last, which stands on top.
        head: name of the head that answers (of a mixture, of its first task).
        format: of the task, which shapes the head.
        more_heads: name and format of the other heads of a mixture; they start anew.
        head_source: folder of a saved head whose weights it starts from; None starts anew.
        fusion_source: folder of the saved fusion layer, for composition "fuse"; it is loaded and never trained.
        trains_body: full fine-tuning.
        init_seed: of everything that starts anew. Each module draws under its own name, so that a head or an adapter
            starts from the same numbers whatever else stands on the body: cells are compared, not their luck.
    """

    method: Method
    settings: dict[str, Any]
    head: str
    format: Format
    init_seed: int
    adapters: tuple[AdapterPart, ...] = ()
    composition: ResolvedComposition | Literal["fuse"] = "stack"
    head_source: Path | None = None
    fusion_source: Path | None = None
    trains_body: bool = field(default=False)
    more_heads: tuple[tuple[str, Format], ...] = ()

    @property
    def heads(self) -> tuple[tuple[str, Format], ...]:
        """Name and format of every head."""
        return ((self.head, self.format), *self.more_heads)


def with_flexible_heads(body: PreTrainedModel) -> Any:
    """A model with adapters and flexible heads around a body that is already loaded.

    The body gets its adapters after loading (and after any quantization), then moves into a shell made on the meta
    device, so that no weight exists twice and none is initialised for nothing.

    Args:
        body: of one of the architectures there are, quantized or not.

    Raises:
        DataError: for an architecture that has no flexible heads.
    """
    kind = body.config.model_type
    if kind not in ARCHITECTURES:
        raise DataError(f"architecture {kind!r} is not supported; supported: {', '.join(ARCHITECTURES)}")
    architecture = ARCHITECTURES[kind]
    # A checkpoint with heads of its own would bring them along, with random weights.
    body.config.prediction_heads = {}
    adapters.init(body, interface=architecture.interface)
    if is_quantized(body):
        # The library has put layers of its own in place of some, with the switch of fact B at its default again.
        keep_layout(body)
    with torch.device("meta"):
        model: Any = architecture.model_class(body.config)
    setattr(model, model.base_model_prefix, body)
    model.config = body.config
    model.adapters_config = body.adapters_config
    for mark in _QUANTIZATION_MARKS:
        if hasattr(body, mark):
            setattr(model, mark, getattr(body, mark))
    return model


def assemble(model: Any, assembly: Assembly) -> None:
    """Puts an assembly on a model, freezes what does not train and activates it.

    Raises:
        DataError: if a saved adapter, fusion or head is missing, damaged or does not fit.
    """
    reference = next(model.base_model.parameters())
    for part in assembly.adapters:
        with _seeded(assembly.init_seed, f"adapter/{part.name}"):
            model.add_adapter(part.name, config=_adapter_config(assembly))
        # fp32 master weights, whatever the backbone's precision is.
        model.adapter_to(part.name, device=reference.device, dtype=torch.float32)
        if part.source is not None:
            config = model.adapters_config.get(part.name).to_dict()
            weights.load_adapter(part.source, part.name, adapter_state(model, part.name), config)
    if assembly.fusion_source is not None:
        with _seeded(assembly.init_seed, "fusion"):
            add_fusion(model, assembly.fusion_source, _fused(assembly))
    for name, format in assembly.heads:
        with _seeded(assembly.init_seed, f"head/{name}" if assembly.more_heads else "head"):
            add_head(model, name, format)
        model.heads[name].to(device=reference.device, dtype=torch.float32)
    if assembly.head_source is not None:
        require_same_head(assembly.head_source, model.heads[assembly.head].config)
        weights.load_head(assembly.head_source, dict(model.heads[assembly.head].named_parameters()))
    _activate(model, assembly)
    _freeze(model, assembly)


def disassemble(model: Any, assembly: Assembly) -> None:
    """Takes an assembly off again; the body is as it was (unless it was trained)."""
    model.set_active_adapters(None)
    for name in list(model.adapters_config.fusions):
        remove_fusion(model, name)
    for part in assembly.adapters:
        model.delete_adapter(part.name)
    for name, _ in assembly.heads:
        model.delete_head(name)


def trained_parameters(model: Any) -> dict[str, torch.nn.Parameter]:
    """The parameters that train, by name, in a fixed order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def adapter_weights(model: Any, name: str) -> dict[str, torch.nn.Parameter]:
    """The parameters of one adapter, by the library's names for them (as in its saved files)."""
    belongs = AdapterLoader(model).filter_func(name)
    return {key: parameter for key, parameter in model.named_parameters() if belongs(key)}


def adapter_state(model: Any, name: str) -> dict[str, torch.Tensor]:
    """Everything that one adapter consists of, by the library's names: its parameters, and what it keeps beside them.

    Each tensor stands here once, where it is met first: every layer's prefixes come from one and the same module, which
    the library names once a layer (and could therefore not save as safetensors).
    """
    belongs = AdapterLoader(model).filter_func(name)
    state: dict[str, torch.Tensor] = dict(adapter_weights(model, name))
    # ReFT's projections are kept relative to a fixed orthogonal matrix that is drawn when they are made.
    return state | {key: buffer for key, buffer in model.named_buffers() if belongs(key)}


def undecayed_parameters(model: Any, assembly: Assembly) -> frozenset[str]:
    """Names of the trained parameters that weight decay must leave alone, because their neutral value is not 0."""
    ends = assembly.method.undecayed
    return frozenset(name for name in trained_parameters(model) if ends and name.endswith(ends))


def save_artifact(model: Any, assembly: Assembly, destination: Path, trimming: Trimming | None = None) -> None:
    """Saves what trained, each adapter (or the body) and the head, as plain adapters and transformers read them.

    `adapters/<name>/` loads with `model.load_adapter(path, use_safetensors=True)`, its head included;
    `model/` loads with `AutoAdapterModel.from_pretrained`, `head/` and, of a mixture, each of `heads/` with
    `model.load_head(path, use_safetensors=True)`.

    Args:
        trimming: how the table of a body that trained was cut; it is saved whole.
    """
    try:
        with storage_errors("save the artifact in", destination):
            _save(model, assembly, destination, trimming)
    except SafetensorError as error:  # a full disk, reported as text only
        raise StoreError(f"cannot save the artifact in {destination}: {error}. Check the free space there.") from None


def _save(model: Any, assembly: Assembly, destination: Path, trimming: Trimming | None) -> None:
    destination.mkdir(parents=True, exist_ok=True)
    if assembly.trains_body:
        _save_body(model.base_model, destination / "model", trimming)
    if assembly.more_heads:
        for name, _ in assembly.heads:
            (destination / "heads" / name).mkdir(parents=True)
            model.save_head(str(destination / "heads" / name), name, use_safetensors=True)
    elif assembly.trains_body:
        model.save_head(str(destination / "head"), assembly.head, use_safetensors=True)
    for part in assembly.adapters:
        if part.trains:
            folder = destination / "adapters" / part.name
            folder.mkdir(parents=True)
            # The library's own saving cannot do prefixes; the files are the same.
            _, config = AdapterLoader(model).save_to_state_dict(part.name)
            weights.save_adapter(folder, config, adapter_state(model, part.name))
            if part.name == assembly.head and not assembly.more_heads:
                model.save_head(str(folder), assembly.head, use_safetensors=True)


def _save_body(body: Any, folder: Path, trimming: Trimming | None) -> None:
    # Of a model with an interface, the library writes that first, into a folder that must be there.
    folder.mkdir(exist_ok=True)
    if trimming is None:
        body.save_pretrained(folder, safe_serialization=True)
        return
    # What the library adds to a checkpoint. Without the interface it could not load that of XLM-R XL.
    if body.adapter_interface is not None:
        body.adapter_interface._save(folder, body.config)
    body.config.adapters = body.adapters_config.to_dict()
    try:
        save_whole(body, trimming, folder)
    finally:
        del body.config.adapters


def head_dir(artifact: Path, task: str) -> Path:
    """Where the head of a saved artifact lies: beside its adapter, or on its own after full fine-tuning."""
    full = artifact / "head"
    return full if full.is_dir() else artifact / "adapters" / task


def adapter_dir(artifact: Path, name: str) -> Path:
    """Where an adapter of a saved artifact lies."""
    return artifact / "adapters" / name


def body_dir(artifact: Path) -> Path:
    """Where the body of a fully fine-tuned artifact lies."""
    return artifact / "model"


def _adapter_config(assembly: Assembly) -> Any:
    assert assembly.method.adapter_config is not None, "full fine-tuning has no adapter"
    fields = assembly.method.config_fields(assembly.settings)
    return getattr(adapters, assembly.method.adapter_config)(**fields)


def _activate(model: Any, assembly: Assembly) -> None:
    names = [part.name for part in assembly.adapters]
    if assembly.composition == "fuse":
        fused = _fused(assembly)
        on_top = names[len(fused) :]
        model.set_active_adapters(Stack(Fuse(*fused), *on_top) if on_top else Fuse(*fused))
    elif len(names) > 1:
        method, combines = assembly.method, COMPOSITIONS[assembly.composition].combines
        # Most of what a method refuses would run and be wrong.
        assert combines and assembly.composition in method.compositions, f"{method.name}: {assembly.composition}"
        model.set_active_adapters(_BLOCKS[combines](*names))
    elif names:
        model.set_active_adapters(names[0])
    # `train_adapter` and `add_head` leave the active head to chance of order (library fact H).
    model.active_head = assembly.head


def _fused(assembly: Assembly) -> tuple[str, ...]:
    """Names of the adapters that the saved fusion joins: all, or all but the last."""
    assert assembly.fusion_source is not None, "composition 'fuse' needs a fusion layer"
    assert assembly.method.is_fusible, f"{assembly.method.name} cannot be fused"
    number = len(fused_names(assembly.fusion_source))
    if number not in (len(assembly.adapters) - 1, len(assembly.adapters)):
        raise DataError(
            f"{assembly.fusion_source}: fuses {number} adapters, and {len(assembly.adapters)} are here: all of them "
            "have to be fused, or all but the last"
        )
    return tuple(part.name for part in assembly.adapters[:number])


def _freeze(model: Any, assembly: Assembly) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    if assembly.trains_body:
        model.base_model.requires_grad_(True)
    for part in assembly.adapters:
        if part.trains:
            for parameter in adapter_weights(model, part.name).values():
                parameter.requires_grad_(True)
    for name, _ in assembly.heads:
        model.heads[name].requires_grad_(True)


@contextmanager
def _seeded(seed: int, name: str) -> Iterator[None]:
    """New modules draw from torch's global generator; this makes the draw theirs alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(digest([seed, name])[:15], 16))
        yield
