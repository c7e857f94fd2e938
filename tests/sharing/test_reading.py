"""A folder is read as what it is, ours or plain adapters', and told to be damaged, newer or nothing where it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import adapters
import pytest
from plain_files import LORA, SEQ_BN, block, put_adapter, put_members, put_setup

from adapter_transfer.canonical import digest
from adapter_transfer.durable import seal
from adapter_transfer.errors import DataError
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.sharing.package import (
    ADAPTER_FILES,
    HEAD_FILES,
    Package,
    SharedAdapter,
    SharedBackbone,
    SharedComposition,
)
from adapter_transfer.sharing.reading import read_package

# Adapters of plain adapters.


def test_one_adapter_of_plain_adapters(tmp_path):
    package = read_package(put_adapter(tmp_path, "copa"))
    assert package.backbone == SharedBackbone(
        name="xlm-roberta-base", architecture="xlm-roberta", hidden_size=32, num_hidden_layers=3
    )
    assert (package.method, package.target, package.composition, package.intermediate) == (
        "seq_bn",
        "copa",
        "none",
        "none",
    )
    assert package.method_settings == METHODS["seq_bn"].parse_settings({}).model_dump(mode="json")
    assert package.adapters == (SharedAdapter(path=".", name="copa", role="target", task="copa", has_head=True),)
    assert package.compositions == (SharedComposition(adapters=(".",), head="."),)
    assert (package.versions, package.precision) == ({"adapters": "1.3.0"}, None)


def test_without_a_head_it_answers_nothing(tmp_path):
    package = read_package(put_adapter(tmp_path, "mnli", head=False))
    assert (package.adapters[0].role, package.compositions, package.target) == ("intermediate", (), None)


def test_the_encoder_as_earlier_versions_told_it(tmp_path):
    folder = put_adapter(tmp_path, "x", model_type=None, model_class="XLMRobertaModelWithHeads", model_name=None)
    assert (read_package(folder).backbone.architecture, read_package(folder).backbone.name) == (
        "xlm-roberta",
        "unknown",
    )
    with pytest.raises(DataError, match="does not tell what encoder it is for"):
        read_package(put_adapter(tmp_path, "x", model_type=None, model_class="T5AdapterModel"))


def test_prefixes_do_not_tell_the_number_of_layers(tmp_path):
    folder = put_adapter(tmp_path, "x", adapters.PrefixTuningConfig().to_dict(), num_layers=1)
    assert read_package(folder).backbone.num_hidden_layers is None


def test_an_adapter_in_each_folder(tmp_path):
    put_adapter(tmp_path / "one", "a")
    put_adapter(tmp_path / "two", "b", head=False)
    (tmp_path / "other").mkdir()
    package = read_package(tmp_path)
    assert [(each.path, each.name, each.parents) for each in package.adapters] == [("one", "a", ()), ("two", "b", ())]
    assert package.compositions == (SharedComposition(adapters=("one",), head="one"),)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"hidden_size": 64}, "of different backbones: .* 3 layers of 32.* 3 layers of 64"),
        ({"num_layers": 2}, "of different backbones: .* 3 layers .* 2 layers"),
        ({"model_name": "other"}, "of different backbones: 'xlm-roberta-base' .* 'other'"),
        ({"config": LORA}, "not of one method with one setting: seq_bn .* lora"),
        ({"config": {**SEQ_BN, "reduction_factor": 2}}, "not of one method with one setting"),
    ],
)
def test_adapters_that_have_nothing_in_common_are_no_package(tmp_path, fields, told):
    put_adapter(tmp_path / "one", "a")
    put_adapter(tmp_path / "two", "b", **fields)
    with pytest.raises(DataError, match=told):
        read_package(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="no adapter lies in"):
        read_package(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        read_package(tmp_path / "nowhere")


def test_pickles_are_not_read(tmp_path):
    folder = put_adapter(tmp_path, "x")
    (folder / ADAPTER_FILES[1]).rename(folder / "pytorch_adapter.bin")
    with pytest.raises(DataError, match=r"holds a pickle \(pytorch_adapter.bin\).* --convert"):
        read_package(folder)


def test_missing_and_damaged_weights(tmp_path):
    folder = put_adapter(tmp_path / "a", "x")
    (folder / ADAPTER_FILES[1]).write_bytes(b"\x00" * 40)
    with pytest.raises(DataError, match="no whole safetensors file"):
        read_package(folder)
    (folder / ADAPTER_FILES[1]).unlink()
    with pytest.raises(DataError, match=r"adapter.safetensors is missing"):
        read_package(folder)
    folder = put_adapter(tmp_path / "b", "x")
    (folder / HEAD_FILES[1]).unlink()
    with pytest.raises(DataError, match="of a head there have to be"):
        read_package(folder)


def test_a_method_that_is_none_here_is_told_with_its_folder(tmp_path):
    folder = put_adapter(tmp_path / "mine", "x", adapters.SeqBnInvConfig().to_dict())
    with pytest.raises(DataError, match=r"mine: this adapter is of none of the methods here.*inv_adapter 'nice'"):
        read_package(folder)


ODD = ["", "[]", "3", "null", "{", "\ud800", '{"a": NaN}', "[" * 100_000, '{"name": 1e999}', '{"config": {"r": []}}']


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("file", [ADAPTER_FILES[0], "adapter_setup.json", "manifest.json"])
def test_odd_json_is_refused_in_words(tmp_path, file, text):
    folder = put_adapter(tmp_path, "x")
    (folder / file).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError) as caught:
        read_package(folder)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("name", ["../x", "/x", "a.b", "", 3, None, "x" * 65, ["x"], "a\nb"])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="the adapter is called"):
        read_package(_renamed(put_adapter(tmp_path, "x"), name))
    with pytest.raises(DataError, match=r"no name of an adapter|no mapping|children"):
        read_package(put_setup(put_members(tmp_path / "setup"), block("Stack", name, "t")))


def _renamed(folder: Path, name: Any) -> Path:
    content = json.loads((folder / ADAPTER_FILES[0]).read_text())
    (folder / ADAPTER_FILES[0]).write_text(json.dumps({**content, "name": name}))
    return folder


# Ours.


def declared(**changes: Any) -> Package:
    fields: dict[str, Any] = {
        "backbone": SharedBackbone(name="nano", architecture="xlm-roberta", hidden_size=32, is_sandbox=True),
        "method": "seq_bn",
        "method_settings": {"reduction_factor": 16.0, "non_linearity": "relu"},
        "composition": "stack",
        "intermediate": "mnli",
        "target": "copa",
        "adapters": (
            SharedAdapter(path="seed-1/mnli", name="mnli", role="intermediate", task="mnli", seed=1, has_head=False),
            SharedAdapter(
                path="seed-1/copa",
                name="copa",
                role="target",
                task="copa",
                seed=1,
                parents=("seed-1/mnli",),
                has_head=True,
            ),
        ),
        "compositions": (
            SharedComposition(adapters=("seed-1/mnli", "seed-1/copa"), combines="stack", head="seed-1/copa", seed=1),
        ),
    }
    return Package(**(fields | changes))


def put_package(folder: Path, package: Package | Mapping[str, Any], **options: Any) -> Path:
    put_adapter(folder / "seed-1" / "mnli", "mnli", head=False)
    put_adapter(folder / "seed-1" / "copa", "copa")
    (folder / "README.md").write_text("a card")
    content = package.model_dump(mode="json") if isinstance(package, Package) else package
    seal(folder, exclude=("README.md", *options.get("exclude", ())), package=content)
    return folder


def test_ours_is_as_declared_whatever_the_card_says_now(tmp_path):
    folder = put_package(tmp_path, declared())
    (folder / "README.md").write_text("another card")
    assert read_package(folder) == declared()


def test_a_changed_file_is_damage(tmp_path):
    folder = put_package(tmp_path, declared())
    path = folder / "seed-1" / "copa" / HEAD_FILES[1]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"seed-1/copa/model_head\.safetensors has changed"):
        read_package(folder)


def test_what_a_newer_version_declared_asks_for_an_upgrade(tmp_path):
    content = declared().model_dump(mode="json")
    with pytest.raises(DataError, match=r"format 2; .* Upgrade adapter-transfer"):
        read_package(put_package(tmp_path, {**content, "format": 2, "new": True}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"method": "seq_bm"}, "method 'seq_bm' is none that this version knows"),
        ({"method": "full", "method_settings": {}}, "method 'full' is none"),
        ({"method_settings": {"reduction_factor": -1}}, "settings of method 'seq_bn': 'reduction_factor'"),
        ({"method_settings": {"who": 1}}, "settings of method 'seq_bn': 'who'"),
        (
            {"compositions": (SharedComposition(adapters=("seed-1/copa",), head="seed-1/mnli"),)},
            "seed-1/mnli/head_config.json is not among its sealed files",
        ),
        (
            {
                "compositions": (
                    SharedComposition(
                        adapters=("seed-1/mnli", "seed-1/copa"),
                        combines="fuse",
                        head="seed-1/copa",
                        fusion="seed-1/a,b",
                    ),
                )
            },
            "seed-1/a,b/adapter_fusion_config.json is not among its sealed files",
        ),
        (
            {
                "compositions": (
                    SharedComposition(adapters=("seed-1/mnli", "seed-1/copa"), combines="fuse", head="seed-1/copa"),
                )
            },
            "to be fused without a fusion layer",
        ),
        # Of what these would answer, nothing is what is said of them.
        (
            {"compositions": (SharedComposition(adapters=("seed-1/copa",), head="seed-1/copa"),)},
            "seed-1/copa was trained on top of seed-1/mnli, and is to answer without it",
        ),
        (
            {
                "compositions": (
                    SharedComposition(adapters=("seed-1/copa", "seed-1/mnli"), combines="stack", head="seed-1/mnli"),
                )
            },
            "trained on top of seed-1/mnli, and is to answer without it or below it",
        ),
        (
            {
                "compositions": (
                    SharedComposition(adapters=("seed-1/mnli", "seed-1/copa"), combines="stack", head="seed-1/mnli"),
                )
            },
            "the head of seed-1/mnli is to answer, and seed-1/copa is on top",
        ),
    ],
)
def test_what_is_declared_and_cannot_be_is_refused(tmp_path, changes, told):
    with pytest.raises(DataError, match=told):
        read_package(put_package(tmp_path, declared(**changes)))


def test_a_file_that_is_there_and_not_sealed_does_not_count(tmp_path):
    folder = put_package(tmp_path, declared(), exclude=("seed-1/mnli/adapter.safetensors",))
    with pytest.raises(DataError, match=r"seed-1/mnli/adapter\.safetensors is not among its sealed files"):
        read_package(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"adapters": []},
        {"adapters": 3},
        {"backbone": {"name": "x"}},
        {"compositions": [{"adapters": ["../x"], "head": "."}]},
        {"format": "1"},
        {"surprise": 1},
        {"max_length": -1},
    ],
)
def test_a_declaration_that_cannot_be_read_is_refused(tmp_path, change):
    content = declared().model_dump(mode="json")
    with pytest.raises(DataError, match=r"in a way that cannot be read: '\w+") as caught:
        read_package(put_package(tmp_path, {**content, **change}))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("package", [None, "x", []])
def test_a_manifest_of_something_else_is_told(tmp_path, package):
    with pytest.raises(DataError, match="this folder is no package of adapters"):
        read_package(put_package(tmp_path, package))


def test_a_manifest_with_odd_entries_is_told(tmp_path):
    folder = put_package(tmp_path, declared())
    content = {"format": 1, "files": {"seed-1/mnli/adapter.safetensors": {"sha256": 1, "size_bytes": "x"}}}
    (folder / "manifest.json").write_text(json.dumps({**content, "sha256": digest(content)}))
    with pytest.raises(DataError, match="damaged"):
        read_package(folder)
