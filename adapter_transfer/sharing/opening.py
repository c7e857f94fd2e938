"""Opening a folder of adapters for use: looked at, read, and fitted to its backbone, in this order and no other.

`inspection` comes first because everything after it opens files; `fit` comes last because it needs to know the encoder.
"""

from __future__ import annotations

from pathlib import Path

from adapter_transfer.backbones.zoo import Backbone
from adapter_transfer.sharing.encoders import backbone_of
from adapter_transfer.sharing.fit import require_fit
from adapter_transfer.sharing.inspection import inspect_package
from adapter_transfer.sharing.package import Package
from adapter_transfer.sharing.reading import read_package


def look_into(folder: Path) -> Package:
    """What a folder holds, once it is known to be safe to open; whether it fits an encoder is not asked.

    Raises:
        UnsafePackageError: if the folder holds what is not to be opened.
        DataError: if a file is missing or damaged, or it holds no adapters.
    """
    inspect_package(folder)
    return read_package(folder)


def open_package(folder: Path, given: str | None = None) -> tuple[Package, Backbone]:
    """What a folder holds, and the backbone that its adapters fit; nothing of it may be loaded before.

    Args:
        given: the backbone that the user names in place of the package's own (`named.named_backbone`).

    Raises:
        UnsafePackageError: if the folder holds what is not to be opened.
        MisfitError: if an adapter does not fit the backbone.
        DataError: if a file is missing or damaged.
        ConfigError: if the package does not tell where its backbone lies and none is given, or there is no such.
        HubError: if a revision cannot be resolved.
    """
    package = look_into(folder)
    backbone = backbone_of(package.backbone, given)
    require_fit(folder, package, backbone, is_stated=given is not None)
    return package, backbone
