"""The backbone that a package stands on, as this machine can load it. No torch."""

from __future__ import annotations

import re

from adapter_transfer.backbones.checkpoints import HubModel, LocalFolder
from adapter_transfer.backbones.named import named_backbone
from adapter_transfer.backbones.zoo import BACKBONES, PUBLISHED, Backbone
from adapter_transfer.errors import ConfigError
from adapter_transfer.hub import resolve_commit
from adapter_transfer.sharing.package import SharedBackbone

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_OLD_NAME = re.compile(r"(xlm-roberta|roberta|bert)-(base|large)\b")
_ORGANISATIONS = {"xlm-roberta": "FacebookAI", "roberta": "FacebookAI", "bert": "google-bert"}
"""Whose models the Hub used to name without an organisation: `xlm-roberta-base` is `FacebookAI/xlm-roberta-base`."""


def repository_of(name: str | None) -> str | None:
    """A repository's name with its organisation, where an old name has none."""
    old = None if not name or "/" in name else _OLD_NAME.match(name)
    return name if old is None else f"{_ORGANISATIONS[old[1]]}/{name}"


def backbone_of(recorded: SharedBackbone, given: str | None = None) -> Backbone:
    """The backbone to load a package's adapters on, pinned to a commit where it lies on the Hub; not checked yet.

    `fit.require_fit` says whether the adapters fit it.

    Args:
        given: what the user names in its place (`named.named_backbone`).

    Raises:
        ConfigError: if the package does not tell where its backbone lies and none is given, or there is no such.
        HubError: if a revision cannot be resolved.
        DataError: if a folder has no checkpoint.
    """
    if given is None:
        return _recorded(recorded).pinned(resolve_commit)
    # Whoever names the same repository means the state of it that the adapters were trained on.
    is_same = recorded.repo is not None and repository_of(given) == repository_of(recorded.repo)
    return named_backbone(given, recorded.commit if is_same else None).pinned(resolve_commit)


def backbone_to_state(backbone: Backbone) -> str | None:
    """What a user has to name (`--backbone`) to load adapters on this encoder; None where the package's word will do.

    A package is a stranger's, and may name a repository that nobody has looked at: only the zoo's and the sandbox's
    encoders are loaded without being asked for.
    """
    if isinstance(backbone.model, LocalFolder):
        return f"./{backbone.name}"
    repo = _repo(backbone)
    return None if repo is None or _in_zoo(repo) is not None else repo


def _recorded(recorded: SharedBackbone) -> Backbone:
    if recorded.is_sandbox and recorded.name in BACKBONES:
        return BACKBONES[recorded.name]
    # Plain adapters writes the Hub's id, or the path of a folder; which of them it is, `own_backbone` knows.
    repo = repository_of(recorded.repo or recorded.name)
    if repo is None or not _HUB_ID.fullmatch(repo):
        raise ConfigError(
            f"the adapters were trained on an encoder in somebody's folder, called {recorded.name!r}; name your copy "
            "of it with --backbone ./folder"
        )
    in_zoo = _in_zoo(repo)
    if in_zoo is None:
        raise ConfigError(
            f"the adapters were trained on {repo!r}, an encoder outside of the zoo (`ls backbones`), which would be "
            f"downloaded. If you trust it, say --backbone {repo}"
        )
    return in_zoo if recorded.commit is None else in_zoo.at_revision(recorded.commit)


def _in_zoo(repo: str) -> Backbone | None:
    return next((each for each in PUBLISHED if _repo(each) == repo), None)


def _repo(backbone: Backbone) -> str | None:
    return backbone.model.repo if isinstance(backbone.model, HubModel) else None
