"""Words for backbones."""

from __future__ import annotations

import pytest

from adapter_transfer.backbones.named import named_backbone
from adapter_transfer.backbones.zoo import BACKBONES
from adapter_transfer.errors import ConfigError


def test_a_name_of_the_zoo():
    assert named_backbone("nano") == BACKBONES["nano"]
    assert named_backbone("base", "v2").model.revision == "v2"


def test_a_hub_id_and_a_folder(encoder, monkeypatch):
    assert named_backbone("org/mine").model.repo == "org/mine"
    folder = encoder("xlm-roberta")
    assert named_backbone(str(folder)).model.path == str(folder.resolve())


def test_an_own_encoder_called_like_one_of_the_zoo():
    assert named_backbone("org/base").name == "own-base"


@pytest.mark.parametrize(("text", "said"), [("bsae", "base"), ("nano2", "nano")])
def test_an_unknown_name_suggests_the_nearest(text, said):
    with pytest.raises(ConfigError, match=said):
        named_backbone(text)


def test_the_sandbox_has_no_revisions():
    with pytest.raises(ConfigError, match="only what lies on the Hub has revisions"):
        named_backbone("nano", "main")
