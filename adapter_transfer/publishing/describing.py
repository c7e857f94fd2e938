"""What a package says of its encoder and its licence."""

from __future__ import annotations

import re

from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.backbones.checkpoints import HubModel
from adapter_transfer.errors import ConfigError
from adapter_transfer.sharing.package import SharedBackbone

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


def require_licence(licence: str | None) -> None:
    """Refuses what cannot be a licence's name on the Hub.

    Raises:
        ConfigError: if it is none.
    """
    if licence is not None and not _LICENCE.fullmatch(licence):
        raise ConfigError(
            f"licence {licence!r}: the Hub names licences in small letters, as in apache-2.0 or cc-by-4.0"
        )


def describe_backbone(backbone: Backbone, backbone_digest: str | None) -> SharedBackbone:
    """What a package says of its encoder: never where it lies on a machine.

    Raises:
        DataError: if its configuration cannot be read.
        HubError: if it has to be fetched and cannot.
    """
    model = backbone.model
    fields = backbone.known_fields()
    return SharedBackbone(
        name=backbone.name,
        repo=model.repo if isinstance(model, HubModel) else None,
        commit=model.commit if isinstance(model, HubModel) else None,
        digest=backbone_digest,
        architecture=backbone.architecture,
        hidden_size=int(fields["hidden_size"]),
        num_hidden_layers=int(fields["num_hidden_layers"]),
        is_sandbox=backbone.is_sandbox,
    )
