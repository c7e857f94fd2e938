"""The code that a model card shows: Python with plain adapters, and the same with adapter-transfer. Each runs as it is.

Rows are put together and cut exactly as training does it (`tasks.asking`, `tasks.encoding`), so that both ways give the
same probabilities.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.checkpoints import Checkpoint, HubModel, PackageFolder
from adapter_transfer.errors import AdapterTransferError
from adapter_transfer.publishing.escaping import literal, visible
from adapter_transfer.sharing.encoders import backbone_to_state
from adapter_transfer.sharing.package import ROOT, Package, SharedComposition
from adapter_transfer.sharing.references import PREFIX
from adapter_transfer.tasks.asking import Asking
from adapter_transfer.tasks.catalog import TASKS

_PREMISE = "Anna dropped the cup."
_QUESTION = "What happened to the cup that Anna dropped?"
_CHOICES = ("The cup shattered.", "The cup overflowed.", "Anna filled the cup.", "Anna wrapped the cup.")
_SECOND = "The cup is broken."
_SUM = "Average({names}, weights={weights}, normalize_weights=False)"


@dataclass(frozen=True)
class Place:
    """Where the package of a card is found.

    Attributes:
        repo: its Hub repository; None where it is not on the Hub.
        folder: name of the folder that it was written to, which snippets name where it is not on the Hub.
    """

    repo: str | None
    folder: str

    @property
    def source(self) -> str:
        """As adapter-transfer is told it."""
        return f"{PREFIX}{self.repo}" if self.repo is not None else f"./{self.folder}"


@dataclass(frozen=True)
class Encoder:
    """How the snippets load a backbone.

    Attributes:
        backbone: as declared.
    """

    backbone: Backbone

    @property
    def is_rebuilt(self) -> bool:
        """Whether it has weights that only adapter-transfer makes."""
        return self.backbone.weights == "random" or self.backbone.model is None

    @property
    def is_here(self) -> bool:
        """Whether it lies where every reader finds it."""
        return isinstance(self.backbone.model, HubModel | PackageFolder)


@dataclass(frozen=True)
class Worked:
    """A question that can be asked of a head.

    Attributes:
        asking: how the task puts questions; None for a task that this version does not know.
        num_choices: that the head was trained with.
    """

    asking: Asking | None
    num_choices: int

    @property
    def choices(self) -> tuple[str, ...]:
        more = (f"Something else happened ({number})." for number in range(len(_CHOICES), self.num_choices))
        return (*_CHOICES[: self.num_choices], *more)

    @property
    def premise(self) -> str:
        return _PREMISE if self.asking is None or self.asking.has_premise else ""

    @property
    def question(self) -> str:
        """As `predict` is asked: in one word where the task has words for it."""
        if self.asking is None or not self.asking.has_question:
            return ""
        return list(self.asking.words)[-1] if self.asking.allowed else _QUESTION

    def first(self) -> Iterator[str]:
        """Lines of Python that make `first`, what stands before each choice."""
        asking = self.asking
        if asking is not None and asking.allowed:
            yield f"premise, question = {literal(self.premise)}, {literal(self.question)}"
            words = ", ".join(f"{literal(word)}: {literal(asked)}" for word, asked in asking.words.items())
            yield f"asked = {{{words}}}"
            yield 'first = f"{premise} {asked[question]}"'
        else:
            yield f"first = {literal(' '.join(filter(None, (self.premise, self.question))))}"


def worked_question(package: Package, head: Mapping[str, Any] | None) -> Worked | None:
    """The question of a card, where the head gives choices."""
    if _head_type(head) != "multiple_choice" or head is None:
        return None
    number = head["config"].get("num_choices")
    if type(number) is not int or not 2 <= number <= 64:
        return None
    return Worked(asking_of(answered_task(package)), number)


def answered_task(package: Package) -> str:
    """The task that a package's compositions answer: its target, or the task of an intermediate alone."""
    return package.target if package.target is not None else package.adapters[-1].task


def asking_of(task: str) -> Asking | None:
    """How questions of a task are put; None where this version does not know the task, or it is none of choices."""
    try:
        return TASKS[task].asking
    except AdapterTransferError:
        return None


def plain_adapters(package: Package, encoder: Encoder, place: Place, head: Mapping[str, Any] | None) -> str:
    """Python that loads the first composition with plain adapters and asks it a question.

    Args:
        head: `head_config.json` of what answers; None where nothing does.
    """
    composition = package.compositions[0] if package.compositions else None
    worked = worked_question(package, head)
    answers = worked is not None or _head_type(head) == "classification"
    lines = [
        *_imports(package, encoder, place, composition, answers=answers),
        "",
        f"folder = {_folder(place)}",
        *_load_encoder(encoder),
        "",
        *_load_adapters(package, composition, head),
        "model.eval()",
    ]
    cut = f'truncation="longest_first", max_length={package.max_length}, ' if package.max_length else ""
    if worked is not None:
        lines += ["", *_ask_choices(worked, cut)]
    elif answers and head is not None:
        lines += ["", *_ask_class(head, cut)]
    else:
        lines += ["", "print(model.active_adapters, model.active_head)"]
    return "\n".join(lines)


def _imports(
    package: Package, encoder: Encoder, place: Place, composition: SharedComposition | None, *, answers: bool
) -> Iterator[str]:
    if isinstance(encoder.backbone.model, PackageFolder):
        yield "from importlib.resources import files"
        yield ""
    if answers:
        yield "import torch"
    yield "from adapters import AutoAdapterModel"
    blocks = {"stack": "Stack", "sum": "Average", "fuse": "Fuse, Stack"}
    if composition is not None and composition.combines is not None:
        names = blocks[composition.combines]
        yield f"from adapters.composition import {names if _has_upper(composition) else 'Fuse'}"
    if place.repo is not None:
        yield "from huggingface_hub import snapshot_download"
    yield f"from transformers import {_tokenizer_class(encoder.backbone)}"
    if package.backbone.architecture == "xlm-roberta-xl":
        yield ""
        yield "import adapter_transfer.methods.architectures  # the library has no class for XLM-R XL; this brings one"


def _has_upper(composition: SharedComposition) -> bool:
    """Whether an adapter stands above what is fused; what is stacked or summed always has one."""
    return composition.combines != "fuse" or composition.head in composition.adapters


def _tokenizer_class(backbone: Backbone) -> str:
    return "XLMRobertaTokenizerFast" if backbone.tokenizer_class == "xlm-roberta" else "AutoTokenizer"


def _folder(place: Place) -> str:
    return f"snapshot_download({literal(place.repo)})" if place.repo is not None else literal(place.folder)


def _load_encoder(encoder: Encoder) -> Iterator[str]:
    backbone = encoder.backbone
    settings = "".join(f", {name}={value}" for name, value in backbone.config_overrides.items())
    yield f"model = AutoAdapterModel.from_pretrained({_checkpoint(backbone, backbone.model)}{settings})"
    tokenizer = _checkpoint(backbone, backbone.tokenizer)
    yield f"tokenizer = {_tokenizer_class(backbone)}.from_pretrained({tokenizer})"


def _checkpoint(backbone: Backbone, checkpoint: Checkpoint | None) -> str:
    if isinstance(checkpoint, HubModel):
        revision = checkpoint.commit or checkpoint.revision
        return f"{literal(checkpoint.repo)}, revision={literal(revision)}"
    if isinstance(checkpoint, PackageFolder):
        return f'str(files("adapter_transfer") / {literal(checkpoint.path)})'
    # Somebody's folder: where it lies on their machine is nobody's business.
    return f"{literal(f'./{backbone.name}')}"


def _load_adapters(
    package: Package, composition: SharedComposition | None, head: Mapping[str, Any] | None
) -> Iterator[str]:
    paths = composition.adapters if composition is not None else (package.adapters[0].path,)
    answering = composition.head if composition is not None else None
    for path in paths:
        with_head = "" if path == answering else ", with_head=False"
        yield f"model.load_adapter({_inside(path)}{with_head}, use_safetensors=True)"
    names = [package.adapter(path).name for path in paths]
    if composition is not None and composition.fusion is not None:
        yield f"model.load_adapter_fusion({_inside(composition.fusion)}, use_safetensors=True)"
    yield f"model.active_adapters = {_block(names, composition)}"
    if composition is not None and answering not in paths:
        yield f"model.load_head({_inside(composition.head)}, use_safetensors=True)"
    name = str(head.get("name", names[-1])) if head is not None else None
    yield f"model.active_head = {literal(name) if name is not None else 'None'}"


def _inside(path: str) -> str:
    return "folder" if path == ROOT else f'f"{{folder}}/{path}"'


def _block(names: list[str], composition: SharedComposition | None) -> str:
    written = ", ".join(map(literal, names))
    if composition is None or composition.combines is None:
        return literal(names[-1])
    if composition.combines == "stack":
        return f"Stack({written})"
    if composition.combines == "sum":
        # The library averages: each adapter counts as often as there are adapters.
        return _SUM.format(names=written, weights=[len(names)] * len(names))
    if not _has_upper(composition):
        return f"Fuse({written})"
    return f"Stack(Fuse({', '.join(map(literal, names[:-1]))}), {literal(names[-1])})"


def _ask_choices(worked: Worked, cut: str) -> Iterator[str]:
    yield f"choices = {literal(worked.choices)}"
    if worked.asking is not None and worked.asking.hides_first:
        texts = "choices"
    else:
        yield from worked.first()
        texts = "[first] * len(choices), choices"
    yield from _tokenize(texts, cut)
    yield "with torch.no_grad():"
    yield "    probabilities = model(**rows).logits[0].softmax(-1).tolist()"
    yield "print(dict(zip(choices, probabilities)))"


def _ask_class(head: Mapping[str, Any], cut: str) -> Iterator[str]:
    names = head["config"].get("label2id")
    known = isinstance(names, Mapping) and all(type(number) is int for number in names.values())
    labels = sorted(names, key=lambda name: int(names[name])) if known and names is not None else []
    yield from _tokenize(f"[{literal(_PREMISE)}], [{literal(_SECOND)}]", cut)
    yield "with torch.no_grad():"
    yield "    probabilities = model(**rows).logits[0].softmax(-1).tolist()"
    if labels:
        yield f"print(dict(zip({literal([str(label) for label in labels])}, probabilities)))"
    else:
        yield "print(probabilities)"


def _tokenize(texts: str, cut: str) -> Iterator[str]:
    yield "rows = tokenizer("
    yield f'    {texts}, {cut}padding=True, return_tensors="pt"'
    yield ")"


def _head_type(head: Mapping[str, Any] | None) -> str | None:
    config = head.get("config") if head is not None else None
    found = config.get("head_type") if isinstance(config, Mapping) else None
    return found if isinstance(found, str) else None


def with_us(place: Place, worked: Worked, encoder: Encoder) -> str:
    """Python that asks the same question by way of adapter-transfer."""
    stated = backbone_to_state(encoder.backbone)
    named = "" if stated is None else f", backbone={literal(stated)}"
    asked = ", ".join(map(literal, (worked.premise, worked.question)))
    choices = ", ".join(map(literal, worked.choices))
    return "\n".join(
        [
            "from adapter_transfer import Question, load",
            "",
            f"predictor = load({literal(place.source)}{named})",
            f"print(predictor.predict([Question({asked}, ({choices}))]))",
        ]
    )


def command(place: Place, worked: Worked, encoder: Encoder) -> str:
    """The same question on the command line."""
    stated = backbone_to_state(encoder.backbone)
    options = [("--premise", worked.premise), ("--question", worked.question)]
    options += [("--choice", choice) for choice in worked.choices]
    options += [("--backbone", stated)] if stated is not None else []
    said = " ".join(f"{option} {shell(text)}" for option, text in options if text)
    return f"adapter-transfer predict {shell(place.source)} {said}"


def shell(text: str) -> str:
    """A text as one word of a shell command, on one line."""
    return shlex.quote(visible(text).replace("`", "'"))


def in_experiment(place: Place) -> str:
    """The line of a configuration in which an adapter serves as an intermediate."""
    return f"intermediates: [none, {literal(place.source)}]"
