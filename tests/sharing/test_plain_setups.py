"""How adapters of a setup act together is read as the library means it, or refused with what is supported."""

from __future__ import annotations

import json

import pytest
from plain_files import LORA, SEQ_BN, block, put_adapter, put_members, put_setup

from adapter_transfer.errors import DataError
from adapter_transfer.sharing.package import FUSION_FILES, SharedComposition
from adapter_transfer.sharing.reading import read_package

FUSE = block("Fuse", "a", "b")


@pytest.mark.parametrize(
    ("config", "setup", "head", "composition", "wanted"),
    [
        (SEQ_BN, block("Stack", "i", "t"), None, "stack", {"adapters": ("i", "t"), "combines": "stack", "head": "t"}),
        (
            SEQ_BN,
            block("Stack", "a", "b", "t"),
            "t",
            "stack",
            {"adapters": ("a", "b", "t"), "combines": "stack", "head": "t"},
        ),
        (SEQ_BN, block("Stack", "i", "t"), ["h"], "stack", {"adapters": ("i", "t"), "combines": "stack", "head": "h"}),
        (
            LORA,
            block("Average", "i", "t", weights=[2.0, 2]),
            "t",
            "sum",
            {"adapters": ("i", "t"), "combines": "sum", "head": "t"},
        ),
        (
            SEQ_BN,
            FUSE,
            "h",
            "none",
            {"adapters": ("a", "b"), "combines": "fuse", "head": "h", "fusion": "a,b"},
        ),
        (
            SEQ_BN,
            block("Stack", FUSE, "t"),
            None,
            "stack",
            {"adapters": ("a", "b", "t"), "combines": "fuse", "head": "t", "fusion": "a,b"},
        ),
        (
            SEQ_BN,
            block("Stack", FUSE),
            "h",
            "none",
            {"adapters": ("a", "b"), "combines": "fuse", "head": "h", "fusion": "a,b"},
        ),
        (SEQ_BN, block("Stack", "t"), None, "none", {"adapters": ("t",), "head": "t"}),
        (SEQ_BN, block("Stack", "t"), "h", "none", {"adapters": ("t",), "head": "h"}),
    ],
)
def test_setups_become_compositions(tmp_path, config, setup, head, composition, wanted):
    package = read_package(put_setup(put_members(tmp_path, config), setup, head))
    assert package.compositions == (SharedComposition(**wanted),)
    assert package.composition == composition
    lower = wanted["adapters"] if wanted["adapters"][-1] != "t" else wanted["adapters"][:-1]
    assert [each.role for each in package.adapters].count("intermediate") == len(lower)
    assert package.intermediate == ("+".join(lower) or "none")
    top = package.adapters[-1]
    assert top.parents == (lower if top.name == "t" else ())
    assert package.target == ("t" if top.name == "t" else "h")


def test_a_setup_without_a_head_answers_nothing(tmp_path):
    assert read_package(put_setup(put_members(tmp_path), FUSE)).compositions == ()


@pytest.mark.parametrize(
    ("config", "setup", "head", "told"),
    [
        (SEQ_BN, block("Parallel", "a", "b"), None, "'Parallel' is no way .* supported are Stack"),
        (SEQ_BN, block("Stack", "i", FUSE), None, "nested in a way that is not supported; supported are"),
        (SEQ_BN, block("Stack", FUSE, "i", "t"), None, "nested in a way that is not supported"),
        (SEQ_BN, block("Fuse", block("Stack", "a", "b"), "t"), "t", "nested in a way that is not supported"),
        (SEQ_BN, block("Stack", "t", "t"), None, "occurs twice"),
        (LORA, block("Stack", "i", "t"), None, "erases the intermediate.*Works with 'lora': sum"),
        (LORA, FUSE, "h", "method 'lora' cannot be fused; fusible: seq_bn"),
        (SEQ_BN, block("Average", "i", "t", weights=[2, 2]), None, "stacked and not summed"),
        (LORA, block("Average", "i", "t", weights=[0.5, 0.5]), None, "only their sum"),
        (LORA, block("Average", "i", "t"), None, "only their sum"),
        (SEQ_BN, block("Fuse", "i", "b"), "h", "i,b/adapter_fusion_config.json is missing"),
        (SEQ_BN, FUSE, "b", "the head 'b' is that of an adapter which is not on top"),
        (SEQ_BN, block("Stack", "i", "t"), "i", "which is not on top"),
        (SEQ_BN, block("Stack", FUSE, "t"), "h", "has to be that of the adapter on the fusion, 't'"),
        (SEQ_BN, block("Stack", "i", "t"), "gone", "there is no head in 'gone'"),
        (SEQ_BN, block("Stack", "i", "t"), ["t", "i"], "head_setup must be the name of one head"),
        (SEQ_BN, block("Stack", "i", "t"), True, "head_setup must be the name of one head"),
        (SEQ_BN, block("Stack", "i", "t"), "../t", "head_setup must be the name of one head"),
        (SEQ_BN, {"type": "Stack", "children": []}, None, "damaged"),
        (SEQ_BN, {"type": "Stack", "children": ["i", "t"]}, None, "damaged"),
        (SEQ_BN, {"type": ["Stack"], "children": ["i"]}, None, "damaged"),
        (SEQ_BN, block("Stack", *(["i"] * 40)), None, "1 to 32 children"),
        (SEQ_BN, "Stack", None, "damaged"),
    ],
)
def test_other_setups_are_refused_with_what_is_supported(tmp_path, config, setup, head, told):
    with pytest.raises(DataError, match=told):
        read_package(put_setup(put_members(tmp_path, config), setup, head))


def test_a_fusion_of_other_adapters_is_refused(tmp_path):
    folder = put_setup(put_members(tmp_path), FUSE, "h")
    (folder / "a,b" / FUSION_FILES[0]).write_text(json.dumps({"name": "a,b", "adapter_names": ["b", "c"]}))
    with pytest.raises(DataError, match="this fusion layer is not of a and b"):
        read_package(folder)


def test_an_adapter_of_another_name_than_its_folder_is_refused(tmp_path):
    folder = put_setup(put_members(tmp_path), block("Stack", "i", "t"))
    put_adapter(folder / "i", "other")
    with pytest.raises(DataError, match="called 'other', not as its folder"):
        read_package(folder)
