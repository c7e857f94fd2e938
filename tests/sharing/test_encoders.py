"""Which backbone a package's adapters are loaded on."""

from __future__ import annotations

import pytest

from adapter_transfer.backbones.zoo import BACKBONES, own_backbone
from adapter_transfer.errors import ConfigError
from adapter_transfer.sharing.encoders import backbone_of, backbone_to_state
from adapter_transfer.sharing.package import SharedBackbone

COMMIT = "0a" * 20


def recorded(name="base", **fields):
    return SharedBackbone(name=name, architecture="xlm-roberta", hidden_size=64, **fields)


def test_the_sandbox_is_here():
    assert backbone_of(recorded("nano", is_sandbox=True)) == BACKBONES["nano"]


def test_a_published_one_is_taken_at_its_commit():
    found = backbone_of(recorded(repo="FacebookAI/xlm-roberta-base", commit=COMMIT))
    assert (found.name, found.model.repo, found.model.commit) == ("base", "FacebookAI/xlm-roberta-base", COMMIT)
    assert found.tokenizer.commit == COMMIT


def test_somebodys_own_on_the_hub_has_to_be_asked_for():
    theirs = recorded("theirs", repo="org/encoder", commit=COMMIT)
    with pytest.raises(ConfigError, match=r"outside of the zoo.*--backbone org/encoder"):
        backbone_of(theirs)
    found = backbone_of(theirs, "org/encoder")
    assert (found.model.repo, found.model.commit) == ("org/encoder", COMMIT)
    assert backbone_to_state(found) == "org/encoder"


def test_the_zoos_and_the_sandboxs_are_taken_at_a_packages_word(encoder):
    assert backbone_to_state(BACKBONES["nano"]) is None
    assert backbone_to_state(BACKBONES["base"]) is None
    assert backbone_to_state(own_backbone(str(encoder("bert")), name="mine")) == "./mine"


def test_a_folder_of_somebodys_has_to_be_named():
    with pytest.raises(ConfigError, match="'theirs'; name your copy"):
        backbone_of(recorded("theirs"))
    assert backbone_of(recorded("theirs"), "nano") == BACKBONES["nano"]


def test_a_name_of_the_sandbox_alone_is_not_enough():
    with pytest.raises(ConfigError, match="somebody's folder"):
        backbone_of(recorded("nano"))
