"""Writing a package: beside its destination, sealed, looked through for secrets, then put in place by one rename."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from adapter_transfer import durable
from adapter_transfer.backbones.backbone import Backbone
from adapter_transfer.errors import ConfigError, DataError
from adapter_transfer.publishing.card import write_card
from adapter_transfer.publishing.snippets import Place
from adapter_transfer.sharing.package import CARD, Package
from adapter_transfer.sharing.references import HubAdapter, parse_hub_adapter
from adapter_transfer.sharing.secrets import find_secrets

UNSEALED = (CARD, ".gitattributes")
"""What people and the Hub change in a package: not sealed."""


def write_staged(
    destination: Path,
    fill: Callable[[Path], tuple[Package, tuple[str, ...]]],
    *,
    backbone: Backbone,
    repo: str | None,
    environment: Mapping[str, str],
) -> Package:
    """Writes a package, whole or not at all.

    Args:
        fill: writes the adapters' files into a new folder and says what they are, with notes on their data.
        backbone: as the card loads it.
        repo: where the package will lie on the Hub; None where it stays a folder.
        environment: of this process, whose secrets must not be in it.

    Raises:
        ConfigError: if something is at the destination already, or `repo` is no repository's name.
        DataError: if a secret, or a path of this machine, is in it.
        StoreError: if something cannot be read or written.
    """
    if repo is not None and parse_hub_adapter(f"hub:{repo}") != HubAdapter(repo):
        raise ConfigError(f"{repo!r} is no repository on the Hub; it is written organisation/name")
    _require_free(destination)
    durable.make_folders(destination.parent)
    with _temporary_folder(destination) as folder:
        package, notes = fill(folder)
        place = Place(repo, destination.absolute().name)
        card = write_card(folder, package, backbone=backbone, place=place, notes=notes)
        with durable.storage_errors("write", folder):
            (folder / CARD).write_text(card, "utf-8")
        durable.seal(folder, exclude=UNSEALED, package=package.model_dump(mode="json"))
        if problems := find_secrets(folder, environment=environment):
            raise DataError(
                f"nothing was written to {destination}, because it would tell what must not be shared: "
                f"{'; '.join(problems)}. Take it out of the names and settings that it comes from, then try again."
            )
        _publish(folder, destination)
    return package


def _require_free(destination: Path) -> None:
    with durable.storage_errors("look at", destination):
        is_folder = destination.is_dir() and not destination.is_symlink()
        if (destination.exists() or destination.is_symlink()) and not (is_folder and not any(destination.iterdir())):
            raise ConfigError(f"{destination} is not empty, and is left alone. Name a new folder for the package.")


@contextlib.contextmanager
def _temporary_folder(destination: Path) -> Iterator[Path]:
    folder = durable.temporary_path(destination)
    with durable.storage_errors("make", folder):
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # it is gone where all went well


def _publish(folder: Path, destination: Path) -> None:
    with durable.storage_errors("publish", destination):
        # Onto an empty folder a rename is allowed; onto one that somebody has filled meanwhile it fails.
        os.rename(folder, destination)
        durable.sync_directory(destination.parent)
