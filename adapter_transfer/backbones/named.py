"""Which backbone a word means: a name of the zoo, a folder, or a Hub id. No torch."""

from __future__ import annotations

from adapter_transfer.backbones.zoo import BACKBONES, Backbone, own_backbone, own_name
from adapter_transfer.errors import ConfigError
from adapter_transfer.registry import unknown_name_message


def named_backbone(text: str, revision: str | None = None) -> Backbone:
    """The backbone of the zoo, or the user's own encoder, that `text` names; a revision is not resolved yet.

    Args:
        text: a name (`ls backbones`), a folder ("./my-model") or a Hub id ("org/name"), as in a configuration.
        revision: branch, tag or commit on the Hub; None for the declared one.

    Raises:
        ConfigError: if it names none, or has a revision and does not lie on the Hub.
        DataError: if a folder has no checkpoint.
    """
    if text not in BACKBONES and "/" in text:
        name = own_name(text)
        return own_backbone(text, name=f"own-{name}"[:64] if name in BACKBONES else name, revision=revision)
    if text not in BACKBONES:
        hint = "Your own is a folder, given as ./my-model, or a Hub id, org/name."
        raise ConfigError(f"{unknown_name_message('backbone', text, BACKBONES)} {hint}")
    declared = BACKBONES[text]
    return declared if revision is None else declared.at_revision(revision)
