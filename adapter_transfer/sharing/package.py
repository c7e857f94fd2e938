"""What a package of adapters says of itself: the content of `manifest.json` beside the files. No torch.

A package is a folder. Each adapter of it lies in a folder of its own, as plain adapters writes it
(`adapter_config.json`, `adapter.safetensors`, and of an adapter with a head `head_config.json`,
`model_head.safetensors`): the package's root where there is one adapter, else `<name>` or `seed-<k>/<name>`.
`manifest.json` holds the SHA-256 of each file (`durable.seal`) and, under `package`, what is declared here;
`README.md`, the model card, is not sealed, because people edit it on the Hub. A folder that plain adapters wrote has
no manifest: `reading` tells what can be known of it.

Every path and name here is a stranger's until `inspection` has looked at the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.canonical import digest
from adapter_transfer.config import Settings
from adapter_transfer.durable import sha256_file
from adapter_transfer.methods.composition import ResolvedComposition
from adapter_transfer.sharing.references import AdapterName, is_safe_name

PACKAGE_FORMAT: Literal[1] = 1
ROOT = "."
"""The path of a package's only adapter."""

CARD = "README.md"
ADAPTER_FILES = ("adapter_config.json", "adapter.safetensors")
HEAD_FILES = ("head_config.json", "model_head.safetensors")
FUSION_FILES = ("adapter_fusion_config.json", "model_adapter_fusion.safetensors")

Role = Literal["intermediate", "target"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _require_inside(path: str) -> str:
    parts = path.split("/")
    if path != ROOT and not (len(parts) <= 2 and all(is_safe_name(part) for part in parts)):
        raise ValueError(f"{path!r} is no folder of a package: '.', a name, or seed-1/name")
    return path


def _require_inside_or_fusion(path: str) -> str:
    # The library names a fusion's folder after the adapters in it: `mnli,squad1`.
    _require_inside(path.split(",")[0])
    if not all(is_safe_name(name) for name in path.split(",")[1:]):
        raise ValueError(f"{path!r} is no folder of a fusion: a name, first,second, or seed-1/first,second")
    return path


MemberPath = Annotated[str, AfterValidator(_require_inside)]
"""Folder of an adapter, relative to its package, with forward slashes."""
FusionPath = Annotated[str, AfterValidator(_require_inside_or_fusion)]
"""Folder of a fusion layer, likewise."""


class SharedBackbone(Settings):
    """The encoder that adapters were trained on. They are worth nothing on another."""

    name: str
    """What the trainer called it: a scale of the zoo, or an encoder of their own."""
    repo: str | None = None
    """Its Hub repository; None for an encoder in a folder, and for the sandbox's."""
    commit: str | None = Field(None, pattern=r"^[0-9a-f]{40}$")
    """Of that repository; None where it is not known (adapters trained without this toolkit)."""
    digest: Digest | None = None
    """`Backbone.digest`: of weights, configuration and tokenizer."""
    architecture: str
    """`model_type` of its configuration."""
    hidden_size: int = Field(gt=0)
    num_hidden_layers: int | None = Field(None, gt=0)
    """None where the files do not tell."""
    is_sandbox: bool = False
    """One of the embedded tiny scales, which say nothing about published models."""


class SharedData(Settings):
    """A split that an adapter was trained or selected on."""

    split: str
    """task/split/language."""
    source: str = ""
    """The files' names, or the Hub's repository and commit; never a path of a machine."""
    digest: Digest | None = None
    num_examples: int = Field(0, ge=0)


class Score(Settings):
    """How well a composition answers one test set in one language, over all seeds of the package."""

    task: str
    language: str
    metric: str = "accuracy"
    value: float = Field(ge=0, le=1)
    """The mean over seeds."""
    low: float | None = Field(None, ge=-1, le=2)
    """95 % interval over items and seeds; None below three seeds. May lead a little beyond 0 and 1."""
    high: float | None = Field(None, ge=-1, le=2)
    num_items: int = Field(gt=0)
    num_seeds: int = Field(gt=0)
    chance: float | None = Field(None, ge=0, le=1)

    @model_validator(mode="after")
    def _check_interval(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has two ends, or there is none")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("an interval ends before it begins")
        return self


class SharedAdapter(Settings):
    """One adapter of a package."""

    path: MemberPath
    name: AdapterName
    """As saved: what plain adapters calls it when it is loaded."""
    role: Role
    task: str
    """That it was trained on, by our name or another's; may be a mixture (`mnli+squad1`)."""
    seed: int | None = None
    run: str | None = Field(None, pattern=r"^[0-9a-f]{16,64}$")
    """Id of the run that made it."""
    parents: tuple[MemberPath, ...] = ()
    """Adapters that it was trained on top of, lowest first."""
    has_head: bool
    data: tuple[SharedData, ...] = ()
    """Everything that its weights were trained or selected on, the training that they started from included."""
    is_data_complete: bool = True
    """False where it started from an adapter of which this is not known."""
    training: Mapping[str, Any] = {}
    """Hyper-parameters."""
    validation: Mapping[str, float] = {}
    """Scores on English validation items, 0 to 1, by metric."""


class SharedComposition(Settings):
    """Adapters that answer together."""

    adapters: tuple[MemberPath, ...] = Field(min_length=1)
    """From the lowest up."""
    combines: Literal["stack", "sum", "fuse"] | None = None
    """How several act together; `fuse`: all but the last are fused, the last stands on top of them (or, where `head`
    is a folder of its own, all of them are fused)."""
    fusion: FusionPath | None = None
    """Folder of the fusion layer."""
    head: MemberPath
    """Folder of the head that answers."""
    seed: int | None = None


class Package(Settings):
    """What is shared, and what it stands on."""

    format: Literal[1] = PACKAGE_FORMAT
    backbone: SharedBackbone
    precision: Precision | None = None
    """Of the backbone in training; None where it is not known."""
    method: str
    """Of all adapters (`ls methods`)."""
    method_settings: Mapping[str, Any] = {}
    """Resolved, defaults included."""
    composition: ResolvedComposition = "none"
    """How the target met the intermediate."""
    intermediate: str = "none"
    target: str | None = None
    """Task that the compositions answer; None for an intermediate alone."""
    max_length: int | None = Field(None, ge=8)
    """Tokens in a row, in training."""
    adapters: tuple[SharedAdapter, ...] = Field(min_length=1)
    compositions: tuple[SharedComposition, ...] = ()
    """What can answer; empty where nothing here has a head."""
    scores: tuple[Score, ...] = ()
    versions: Mapping[str, str] = {}
    """Of what trained them."""
    licence: str | None = None
    """As the Hub names licences, chosen by who shares."""

    @model_validator(mode="after")
    def _check_paths(self) -> Self:
        paths = [adapter.path for adapter in self.adapters]
        if len(set(paths)) < len(paths):
            raise ValueError("two adapters lie in one folder")
        if ROOT in paths and len(paths) > 1:
            raise ValueError("an adapter lies in the package's root and others beside it")
        named = {path for adapter in self.adapters for path in adapter.parents}
        named |= {path for each in self.compositions for path in each.adapters}
        if unknown := sorted(named - set(paths)):
            raise ValueError(f"no adapter lies in {', '.join(unknown)}")
        return self

    def adapter(self, path: str) -> SharedAdapter:
        """The adapter in a folder of this package."""
        return next(adapter for adapter in self.adapters if adapter.path == path)


def member_files(folder: Path) -> dict[str, Path]:
    """The files of one adapter that change what it computes, by name: its own, and of a head where there is one."""
    names = (*ADAPTER_FILES, *HEAD_FILES)
    return {name: folder / name for name in names if (folder / name).is_file()}


def content_digest(folder: Path) -> str:
    """SHA-256 over the names and digests of an adapter's files: what a run's id and a converted adapter's name hold.

    Raises:
        StoreError: if a file cannot be read.
    """
    return digest({name: sha256_file(path) for name, path in member_files(folder).items()})
