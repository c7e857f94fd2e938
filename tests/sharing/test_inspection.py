"""A stranger's folder is refused unless it is a whole package of plain files; nothing in it is run."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch
from small_packages import CONFIG, TENSORS, sizes, write_json, write_member, write_package

from adapter_transfer.backbones.file_headers import header_bytes
from adapter_transfer.durable import seal
from adapter_transfer.sharing.inspection import MAX_TENSORS, inspect_package
from adapter_transfer.sharing.listing import UnsafePackageError, admitted_files

NAME = next(iter(TENSORS))


@pytest.fixture
def package(tmp_path):
    return write_package(tmp_path / "package")


def refusal(folder, **options):
    with pytest.raises(UnsafePackageError) as caught:
        inspect_package(folder, **options)
    return str(caught.value)


def test_a_package_passes(package):
    inspect_package(package)
    assert "adapter.safetensors" in admitted_files(sizes(package))


def test_a_sealed_package_of_several_adapters_passes(package, tmp_path):
    several = tmp_path / "several"
    for place in ("mnli", "copa"):
        write_member(several / "seed-1" / place)
    fusion = {"name": "copa,mnli", "config": {"key": True}, "adapter_names": ["copa", "mnli"]}
    (several / "seed-1" / "copa,mnli").mkdir()
    write_json(several / "seed-1" / "copa,mnli" / "adapter_fusion_config.json", fusion)
    save_file(TENSORS, several / "seed-1" / "copa,mnli" / "model_adapter_fusion.safetensors")
    seal(several, exclude=("README.md", ".gitattributes"), package={"format": 1})
    (several / "README.md").write_text("# Köche und 你好 \u200d\n", "utf-8")
    inspect_package(several)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_are_finite(package, dtype, value):
    tensor = torch.randn(3, 5).to(dtype)
    save_torch({NAME: tensor}, package / "adapter.safetensors")
    inspect_package(package)
    tensor[2, 4] = value
    save_torch({NAME: tensor}, package / "adapter.safetensors")
    assert "not finite" in refusal(package)
    inspect_package(package, check_values=False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.uint8, torch.bool])
def test_other_types_are_refused(package, dtype):
    save_torch({NAME: torch.ones(2, 2).to(dtype)}, package / "adapter.safetensors")
    assert "weights are F32, F16, BF16" in refusal(package)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "/somewhere/else"}, "library makes paths of names"),
        ({"name": "../x"}, "library makes paths of names"),
        ({"name": ""}, "library makes paths of names"),
        ({"name": None}, "library makes paths of names"),
        ({"name": "a,b"}, "library makes paths of names"),
        ({"name": "x" * 65}, "library makes paths of names"),
        ({"config": "pfeiffer"}, "its config is no object"),
        ({"model_name": ["nano"]}, "its model_name is no text"),
        ({"auto_map": {"AutoModel": "evil--evil.Model"}}, "'auto_map'"),
        ({"config": {"deep": [{"trust_remote_code": True}]}}, "'trust_remote_code'"),
        ({"config": {"custom_code": "x"}}, "'custom_code'"),
    ],
)
@pytest.mark.parametrize("name", ["adapter_config.json", "head_config.json"])
def test_what_configurations_may_not_say(package, name, fields, told):
    write_json(package / name, CONFIG | fields)
    assert told in refusal(package)


def test_setups_and_fusions_name_adapters_alone(package):
    children = [{"type": "single", "children": ["copa"]}]
    write_json(package / "adapter_setup.json", {"adapter_setup": {"type": "Stack", "children": children}})
    inspect_package(package)
    children[0]["children"] = ["../../etc"]
    write_json(package / "adapter_setup.json", {"adapter_setup": {"type": "Stack", "children": children}})
    assert "'../../etc'" in refusal(package)


def test_a_manifest_lists_exactly_what_is_there(package):
    seal(package, exclude=("README.md", ".gitattributes"))
    inspect_package(package)
    write_member(package / "other", has_head=False)
    assert "does not list 'other/adapter.safetensors'" in refusal(package)
    shutil.rmtree(package / "other")
    manifest = json.loads((package / "manifest.json").read_text())
    manifest["files"]["../../etc/passwd"] = {"sha256": "0" * 64, "size_bytes": 1}
    write_json(package / "manifest.json", manifest)
    assert "lists '../../etc/passwd', which is not there" in refusal(package)


def test_odd_tensors_are_refused(package):
    save_file({"\u0430.weight": np.ones(2, np.float32)}, package / "adapter.safetensors")
    assert "odd name" in refusal(package)
    save_file({"empty": np.ones((0, 4), np.float32)}, package / "adapter.safetensors")
    assert "odd shape" in refusal(package)
    (package / "adapter.safetensors").write_bytes(
        header_bytes({f"t{number}": ("F32", (1,)) for number in range(MAX_TENSORS + 1)}) + bytes(4 * (MAX_TENSORS + 1))
    )
    assert "tensors, more than the 20,000" in refusal(package)


def test_every_problem_of_a_folder_is_in_one_error(package):
    (package / "evil.py").write_text("")
    write_json(package / "adapter_config.json", CONFIG | {"name": "../x"})
    (package / "model_head.safetensors").write_bytes(b"\x80\x04.")
    (package / "README.md").write_bytes(b"\xff\xfe")
    told = refusal(package)
    assert all(word in told for word in ("program code", "'../x'", "no safetensors", "no UTF-8 text"))


def test_a_folder_that_is_not_there_is_told(tmp_path):
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "nowhere")
