"""Pulled adapters in the place of intermediate trainings: which adapter of a package, and where it may stand. No torch.

A plan compares what a package says of itself. Every key and shape is compared when the adapter is taken over
(`adopting`), which needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from adapter_transfer.backbones.checkpoints import HubModel
from adapter_transfer.backbones.zoo import Backbone
from adapter_transfer.durable import read_json
from adapter_transfer.errors import AdapterTransferError, ConfigError, ImpossibleError
from adapter_transfer.experiments.adopted import Adopted, PullAdapter, PulledPackage
from adapter_transfer.experiments.data import SplitRef
from adapter_transfer.hub import RepoKind
from adapter_transfer.methods.catalog import Method
from adapter_transfer.sharing.package import HEAD_FILES, Package, SharedAdapter, SharedBackbone, content_digest
from adapter_transfer.sharing.references import parse_hub_adapter
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.task import Task

_DIGITS = 12
_SHOWN = 80


@dataclass(frozen=True)
class Place:
    """Where in a grid an adapter is to stand.

    Attributes:
        settings: of the method, defaults included.
        declaration: the backbone, its revisions resolved.
        backbone_digest: of its weights, configuration and tokenizer.
    """

    method: Method
    settings: Mapping[str, Any]
    declaration: Backbone
    backbone_digest: str


@dataclass
class Adoptions:
    """The pulled adapters of one plan; each package is pulled once.

    Attributes:
        commit: kind, repository and revision on the Hub → commit.
        pull: fetches a package; None where there is no store to keep it in.
        used: (intermediate, adapter of its package) for all that were asked for.
    """

    commit: Callable[[RepoKind, str, str], str]
    pull: PullAdapter | None
    used: dict[tuple[str, str], SharedAdapter] = field(default_factory=dict)
    _pulled: dict[str, PulledPackage] = field(default_factory=dict)
    _digests: dict[tuple[str, str], str] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)

    def require_fit(self, intermediate: str, place: Place) -> None:
        """Passes an adapter that can stand below a target adapter of this method, on this backbone.

        Raises:
            ImpossibleError: what the package has, and what the cell has.
            ConfigError: if there is nowhere to pull to.
            DataError: as `sharing.pull.pull`.
        """
        if place.method.kind == "full":
            raise ImpossibleError(
                f"{intermediate} is an adapter, and full fine-tuning has none: it would go on from a trained body"
            )
        package = self._package(intermediate)
        reason = _other_method(package, place) or _other_backbone(package.backbone, place)
        if reason is None and (stacked := [each for each in _candidates(package) if each.parents]):
            reason = f"it was trained on top of {', '.join(stacked[0].parents)}, and does not stand without it"
        if reason is not None:
            raise ImpossibleError(f"{intermediate}: {reason}")

    def adapter(self, intermediate: str, seed: int) -> Adopted:
        """The adapter on which a seed of the experiment stands.

        Raises:
            ConfigError: if the package has several, and none for this seed; or if two intermediates are one adapter.
        """
        wanted, package = parse_hub_adapter(intermediate), self._package(intermediate)
        shared = self._member(intermediate, seed)
        digest = self._digest(intermediate, shared)
        same = self._names.setdefault(digest, intermediate)
        if same != intermediate:
            raise ConfigError(f"intermediates: {same} and {intermediate} are the same adapter; leave one of them out")
        return Adopted(
            repo=wanted.repo,
            revision=wanted.revision,
            commit=self.commit("model", wanted.repo, wanted.revision),
            digest=digest,
            path=shared.path,
            trained_on=shared.task,
            seed=shared.seed,
            precision=package.precision,
            is_converted=wanted.digest is not None,
            is_data_known=bool(shared.data) and shared.is_data_complete,
        )

    def max_length(self, intermediate: str) -> int | None:
        """Tokens in a row in its training; None where nobody says."""
        return self._package(intermediate).max_length

    def head_fits(self, intermediate: str, seed: int, target: Task) -> bool:
        """Whether its head means the same as a new one of the target, and has the same shape.

        A head for choices has one logit, whatever they are. One for classes has to be of a task that is known here.
        """
        shared = self._member(intermediate, seed)
        path = self._found(intermediate).folder / shared.path / HEAD_FILES[0]
        if not shared.has_head or not path.is_file():
            return False
        config = read_json(path).get("config")
        if not isinstance(config, dict) or config.get("head_type") != target.format.head_type:
            return False
        wanted = {"layers": 2, "activation_function": "tanh", "use_pooler": False}
        if target.format.logits_per_row != 1:
            same_task = _known_task(shared.task)
            if same_task is None or same_task.format != target.format:
                return False
            wanted = {"num_labels": target.format.head_settings()["num_labels"]}
        return all(config.get(key, value) == value for key, value in wanted.items())

    def _found(self, intermediate: str) -> PulledPackage:
        if intermediate not in self._pulled:
            if self.pull is None:
                raise ConfigError(f"{intermediate}: there is no store to pull it into; name one with --store")
            wanted = parse_hub_adapter(intermediate)
            at = wanted.at(self.commit("model", wanted.repo, wanted.revision))
            self._pulled[intermediate] = self.pull(at)
        return self._pulled[intermediate]

    def _package(self, intermediate: str) -> Package:
        return self._found(intermediate).package

    def _digest(self, intermediate: str, shared: SharedAdapter) -> str:
        key = (intermediate, shared.path)
        if key not in self._digests:
            self._digests[key] = content_digest(self._found(intermediate).folder / shared.path)
            self.used[key] = shared
        return self._digests[key]

    def _member(self, intermediate: str, seed: int) -> SharedAdapter:
        candidates = _candidates(self._package(intermediate))
        of_seed = [each for each in candidates if each.seed == seed]
        if len(candidates) == 1 or len(of_seed) == 1:
            return of_seed[0] if len(of_seed) == 1 else candidates[0]
        seeds = sorted({each.seed for each in candidates if each.seed is not None})
        if of_seed or len(seeds) < len(candidates):
            names = ", ".join(each.path for each in candidates)
            raise ConfigError(f"{intermediate}: which of its adapters is meant cannot be told: {names}")
        raise ConfigError(
            f"{intermediate} has no adapter of seed {seed}; it has seeds {', '.join(map(str, seeds))}. Take `seeds` of "
            "these, or train the intermediate here."
        )


def require_no_adopted_leak(used: Mapping[tuple[str, str], SharedAdapter], evaluated: Iterable[SplitRef]) -> None:
    """Makes sure that no pulled adapter was trained on, or selected by, items that are evaluated.

    Args:
        used: as `Adoptions.used`.
        evaluated: test splits.

    Raises:
        ConfigError: naming every such adapter with the splits. What a package does not tell cannot be found.
    """
    tested = list(dict.fromkeys(evaluated))
    problems: dict[str, None] = {}
    for (intermediate, _), shared in used.items():
        for told in _leaks(shared, tested):
            problems[f"leak: {intermediate} was trained with {told}. Leave it out, or evaluate another task."] = None
    if problems:
        raise ConfigError(problems)


def _leaks(shared: SharedAdapter, tested: Sequence[SplitRef]) -> Iterator[str]:
    families = {_base(ref.task) for ref in tested}
    digests = {ref.digest: ref.name for ref in tested}
    for data in shared.data:
        task, _, rest = data.split.partition("/")
        if data.digest is not None and data.digest in digests:
            yield f"the examples of {digests[data.digest]} (as {_short(data.split)})"
        elif rest.split("/")[0] == "test" and _base(task) in families:
            yield f"{_short(data.split)}, which is evaluated"


def _base(task: str) -> str:
    """What a control is made of; of any other task, its own name."""
    known = _known_task(task)
    return task if known is None else known.base.name


def _known_task(name: str) -> Task | None:
    try:
        return TASKS[name]
    except AdapterTransferError:
        return None


def _candidates(package: Package) -> list[SharedAdapter]:
    """The adapters that may be meant: intermediates, where there are any."""
    return [each for each in package.adapters if each.role == "intermediate"] or list(package.adapters)


def _other_method(package: Package, place: Place) -> str | None:
    """In what its method differs from the cell's, in words; None where it is the same."""
    if package.method != place.method.name:
        return f"it is an adapter of method {_short(package.method)}, and the cell has {place.method.name!r}"
    try:
        has = place.method.parse_settings(package.method_settings).model_dump(mode="json")
    except ValidationError as error:
        return f"its settings are none of {package.method!r} here ({error.errors()[0]['msg']})"
    different = [name for name, value in place.settings.items() if has.get(name) != value]
    if not different:
        return None
    told = "; ".join(
        f"{name}: {_short(has.get(name))} in the adapter, {place.settings[name]!r} here" for name in different
    )
    return f"it was made with other settings of {package.method} ({told}). Write them under `methods` to use it"


def _other_backbone(has: SharedBackbone, place: Place) -> str | None:
    """In what its backbone differs from the cell's, as far as it is declared; None where nothing does."""
    declaration, fields = place.declaration, place.declaration.known_fields()
    wanted = {
        "architecture": declaration.architecture,
        "hidden_size": fields["hidden_size"],
        "num_hidden_layers": fields["num_hidden_layers"],
    }
    different = [
        f"{name} {_short(getattr(has, name))} instead of {value!r}"
        for name, value in wanted.items()
        if getattr(has, name) not in (None, value)
    ]
    own = declaration.model.repo if isinstance(declaration.model, HubModel) else None
    if not different and has.digest is not None and has.digest != place.backbone_digest:
        different.append(f"other weights, configuration or tokenizer{_where(has, own)}")
    elif not different and has.digest is None and has.repo and own and _last(has.repo) != _last(own):
        different.append(f"{_short(has.repo)} instead of {own!r}")
    if not different:
        return None
    return f"it was trained on {_short(has.name)}, another backbone than {declaration.name!r} ({'; '.join(different)})"


def _where(has: SharedBackbone, own: str | None) -> str:
    """Where another state of a backbone lies, and how it is named if it is of the same repository."""
    if has.repo is None or has.commit is None:
        return ""
    hint = f", which is `revision: {has.commit}` under `backbones`" if has.repo == own else ""
    return f": {_short(has.repo)} at {has.commit[:_DIGITS]}{hint}"


def _short(said: object) -> str:
    """What a stranger wrote, as it may stand in a message."""
    return f"{repr(said)[:_SHOWN]}…" if len(repr(said)) > _SHOWN else repr(said)


def _last(repo: str) -> str:
    # `xlm-roberta-base` and `FacebookAI/xlm-roberta-base` are one repository, before and after it moved.
    return repo.rpartition("/")[2].lower()
