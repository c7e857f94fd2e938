"""From a package of adapters (ours or of plain adapters) to a predictor. Nothing of it is used before it is checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.durable import read_json
from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer.methods.attach import AdapterPart, Assembly, assemble, with_flexible_heads
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.methods.composition import ResolvedComposition
from adapter_transfer.prediction.predictor import Identity, Predictor, make_scoring, require_choices
from adapter_transfer.sharing.opening import open_package
from adapter_transfer.sharing.package import HEAD_FILES, Package, SharedComposition
from adapter_transfer.tasks.asking import Asking
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.choice_formats import MultipleChoice
from adapter_transfer.tasks.copa import COPA_PROMPTS
from adapter_transfer.training.runtime import chosen_device, device_precisions
from adapter_transfer.training.settings import DeviceRequest

FREE_ASKING = Asking(words=COPA_PROMPTS, is_open=True)
"""For a head whose task is none of ours: a premise and any question; COPA's two are asked as COPA's."""
DEFAULT_MAX_LENGTH = 512
"""Tokens in a row where nothing tells what training had: so long that text of usual length is not cut."""


@dataclass(frozen=True)
class PackageChoice:
    """What a person chooses of a package; None leaves it to the package.

    Attributes:
        seed: of several; the lowest by default.
        backbone: where its encoder is found: a name of the zoo, a folder or a Hub id.
        precision: of the encoder's weights; training's by default.
    """

    seed: int | None = None
    backbone: str | None = None
    precision: Precision | None = None


def load_package(
    folder: Path,
    name: str,
    choice: PackageChoice,
    *,
    device: DeviceRequest = "auto",
    token_budget: int | None = None,
    prepared_dir: Path | None = None,
) -> Predictor:
    """The predictor of a package in a folder.

    Args:
        name: what to call it.
        prepared_dir: where prepared copies of checkpoints lie.

    Raises:
        UnsafePackageError: if the folder holds what is not to be opened.
        MisfitError: if an adapter does not fit the backbone.
        DataError: if a file is missing or damaged.
        ConfigError: if nothing in it answers choices, it has no such seed, or its backbone is not told.
        HubError: if its backbone has to be fetched and cannot.
        DeviceError: if the device or the precision cannot be had.
    """
    package, backbone = open_package(folder, choice.backbone)
    composition, notes = _chosen(package, choice.seed)
    task = package.target or package.adapter(composition.adapters[-1]).task
    format, asking = _asked(folder / composition.head, task)
    assembly = _assembly(folder, package, composition, format)
    tokenizer = load_tokenizer(backbone)
    precision, changed = _precision(package, choice.precision, device)
    scoring = make_scoring(device, precision, token_budget, tokenizer.pad_token_id)
    body = load_body(
        backbone,
        precision=precision,
        device=scoring.device,
        vocab_size=len(tokenizer),
        prepared_dir=prepared_dir,
    )
    model = with_flexible_heads(body)
    assemble(model, assembly)
    identity = Identity(
        name=name,
        task=task,
        backbone=backbone.name,
        method=package.method,
        intermediate=package.intermediate,
        composition=package.composition,
        seed=composition.seed,
        is_sandbox=backbone.is_sandbox or (task in TASKS and TASKS[task].is_sandbox),
        notes=(*notes, *_asking_notes(task), *changed),
    )
    max_length = min(package.max_length or DEFAULT_MAX_LENGTH, backbone.max_length)
    return Predictor(identity, asking, format, model, assembly.head, tokenizer, scoring, max_length)


def _chosen(package: Package, seed: int | None) -> tuple[SharedComposition, tuple[str, ...]]:
    """The composition that answers: of the seed that was asked for, the target's own before an intermediate's."""
    if not package.compositions:
        raise ConfigError(
            "nothing in this package has a head, so nothing answers: its adapters are to be trained on further. Use "
            "them in an experiment, or give a package of a target task."
        )
    seeds = sorted({each.seed for each in package.compositions if each.seed is not None})
    if seed is not None and seed not in seeds:
        have = ", ".join(map(str, seeds)) or "none that is told"
        raise ConfigError(f"seed {seed} is not in this package; it has {have}")
    wanted = seed if seed is not None else (seeds[0] if seeds else None)
    found = [each for each in package.compositions if wanted is None or each.seed == wanted]
    found = [each for each in found if package.adapter(each.adapters[-1]).role == "target"] or found
    if len(found) > 1:
        places = ", ".join(each.head for each in found)
        raise ConfigError(f"several adapters answer here, each on its own: give the folder of one of them ({places})")
    several = seed is None and len(seeds) > 1
    notes = (f"Of seeds {', '.join(map(str, seeds))}, {wanted} answers.",) if several else ()
    return found[0], notes


def _asked(head: Path, task: str) -> tuple[MultipleChoice, Asking]:
    """How the head answers and how it is asked.

    Raises:
        ConfigError: if it is no head for choices.
        DataError: if its configuration cannot be read.
    """
    config = read_json(head / HEAD_FILES[0]).get("config")
    kind = config.get("head_type") if isinstance(config, dict) else None
    if task in TASKS:
        format, asking = require_choices(task, TASKS[task].format, TASKS[task].asking)
    else:
        format, asking = MultipleChoice(num_choices=2), FREE_ASKING
    if not isinstance(config, dict) or kind != format.head_type:
        raise ConfigError(
            f"the head in {head.name!r} is of kind {str(kind)[:40]!r}, and only one of kind {format.head_type!r} "
            "chooses between texts. Give adapters of a multiple-choice task."
        )
    trained = config.get("num_choices")
    # A head trained on four choices may answer a task of two; the number has no weights.
    return (replace(format, num_choices=trained) if type(trained) is int and trained > 1 else format), asking


def _asking_notes(task: str) -> tuple[str, ...]:
    if task in TASKS:
        return ()
    return (f"How {task[:60]!r} puts its questions is not known here: a row is premise, question and choice.",)


def _assembly(folder: Path, package: Package, composition: SharedComposition, format: MultipleChoice) -> Assembly:
    """The adapters of a composition on each other, with its head.

    Raises:
        DataError: if they cannot stand together.
    """
    method = METHODS[package.method]
    members = [package.adapter(path) for path in composition.adapters]
    names = [member.name for member in members]
    combines: ResolvedComposition | Literal["fuse"] = composition.combines or "none"
    problems = []
    if len(set(names)) < len(names):
        problems.append(f"two of its adapters have one name ({', '.join(names)})")
    if (len(names) > 1) != (composition.combines is not None):
        problems.append(f"{len(names)} adapters are combined by {combines!r}")
    if combines == "fuse" and not (method.is_fusible and composition.fusion):
        problems.append(f"adapters of method {method.name!r} are fused without a fusion layer, or cannot be")
    elif combines not in ("none", "fuse", *method.compositions):
        problems.append(f"method {method.name!r} cannot be combined by {combines!r}")
    if problems:
        raise DataError(f"{folder.name}: this package cannot be put together: {'; '.join(problems)}")
    return Assembly(
        method=method,
        settings=dict(package.method_settings),
        head=names[-1],
        format=format,
        init_seed=0,  # everything is loaded over what it draws
        adapters=tuple(AdapterPart(each.name, trains=False, source=folder / each.path) for each in members),
        composition=combines,
        head_source=folder / composition.head,
        fusion_source=None if composition.fusion is None else folder / composition.fusion,
    )


def _precision(package: Package, asked: Precision | None, device: DeviceRequest) -> tuple[Precision, tuple[str, ...]]:
    """Training's precision where nothing is asked for and the device has it, and what is to be told.

    Raises:
        ConfigError: if the method does not work on a backbone of the precision that is asked for.
    """
    trained: Precision = package.precision or "fp32"
    if asked is not None:
        refused = METHODS[package.method].refused_precisions.get(asked)
        if refused is not None:
            raise ConfigError(f"precision {asked}: {refused}")
        return asked, () if asked == trained else (f"It was trained in {trained} and answers in {asked}.",)
    if trained in device_precisions(chosen_device(device)):
        return trained, ()
    return "fp32", (f"It was trained in {trained}, which this device does not have, and answers in fp32.",)
