from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from adapter_transfer.sharing.secrets import find_secrets

# Put together here, so that no scanner takes this file for a leak.
CANARIES = {
    "Hugging Face": "hf" + "_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345",
    "GitHub": "ghp" + "_" + "0123456789abcdefghijABCDEFGHIJ012345",
    "GitLab": "glpat" + "-" + "abcdefghij0123456789",
    "OpenAI": "sk" + "-" + "proj-abcdefghijklmnopqrstuvwxyz0123",
    "Anthropic": "sk" + "-" + "ant-api03-abcdefghijklmnopqrstuvwxyz",
    "access key of AWS": "AKIA" + "ABCDEFGHIJKLMNOP",
    "secret key of AWS": "aws_secret" + "_access_key = abcdefghijklmnopqrstuvwxyz0123456789ABCD",
    "API key of Google": "AIza" + "SyA-abcdefghijklmnopqrstuvwxyz01234",
    "access token of Google": "ya29" + ".abcdefghijklmnopqrstuvwxyz0123",
    "Slack token": "xox" + "b-123456789012-abcdefghijkl",
    "Slack webhook": "https://hooks.slack" + ".com/services/T00000000/B00000000/abcdefghijkl",
    "package index": "pypi" + "-AgEIcHlwaS5vcmcCJDAxMjM0NTY3ODlhYmNkZWY",
    "private key": "-----BEGIN" + " OPENSSH PRIVATE KEY-----",
    "JSON web token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijklmnop",
    "Authorization header": "Authorization: " + "Basic dXNlcjpwYXNz",
    "bearer token": "with Bearer " + "abcdefghij0123456789",
    "password in an address": "https://user:" + "hunter22@example.org/x",
    "password or key": "pass" + "word=hunter22",
}


def told(folder: Path, **environment: str) -> list[str]:
    return find_secrets(folder, environment=environment)


@pytest.mark.parametrize("kind", CANARIES)
def test_each_kind_is_found_and_never_repeated(tmp_path, kind):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "README.md").write_text(f"first line\nbefore {CANARIES[kind]} behind\n")
    found = told(tmp_path)
    assert any(line.startswith("sub/README.md, line 2: ") and kind.split()[0] in line for line in found), found
    secret = CANARIES[kind].split()[-1]
    assert not any(secret in line for line in found)


@pytest.mark.parametrize("kind", CANARIES)
def test_each_kind_is_found_in_json_and_in_the_metadata_of_safetensors(tmp_path, kind):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"note": CANARIES[kind]}))
    save_file({"a": np.zeros(2, np.float32)}, tmp_path / "adapter.safetensors", metadata={"note": CANARIES[kind]})
    found = told(tmp_path)
    assert any(line.startswith("adapter_config.json, line 1: ") for line in found), found
    assert any(line.startswith("adapter.safetensors, in its header: ") for line in found), found


def test_the_name_of_a_file_may_be_a_secret(tmp_path):
    (tmp_path / f"{CANARIES['Hugging Face']}.md").write_text(CANARIES["GitHub"])
    found = told(tmp_path)
    assert len(found) == 2
    assert not any(CANARIES["Hugging Face"] in line for line in found)


@pytest.mark.parametrize("name", ["HF_TOKEN", "WANDB_API_KEY", "MY_SECRET", "DB_PASSWORD", "aws_secret_access_key"])
def test_values_of_the_environment(tmp_path, name):
    (tmp_path / "manifest.json").write_text('{\n "x": "a canary+(like) this"\n}')
    assert told(tmp_path, **{name: "canary+(like)"}) == [
        f"manifest.json, line 2: the value of the environment variable {name}"
    ]


@pytest.mark.parametrize(
    "environment", [{"HF_TOKEN": "canary"}, {"TOKENIZERS_PARALLELISM": "canarycanary"}, {"NAME": "canarycanary"}]
)
def test_what_is_no_secret_of_the_environment(tmp_path, environment):
    (tmp_path / "README.md").write_text("canary canarycanary")
    assert told(tmp_path, **environment) == []


def test_places_of_this_machine(tmp_path):
    home = "/" + "home" + "/somebody"
    lines = [home, f"({home}/x)", "/" + "root" + "/.cache", "C:" + "\\Users\\me", str(tmp_path), "file.txt"]
    (tmp_path / "card.md").write_text("\n".join(lines))
    (tmp_path / "config.json").write_text(json.dumps({"path": home}).replace("/", "\\/"))
    found = told(tmp_path, HOME=home)
    for line in range(1, 6):
        assert f"card.md, line {line}: an absolute path of a machine" in found, line
    assert "card.md, line 1: the home folder of this machine" in found
    assert "config.json, escaped: an absolute path of a machine" in found
    assert not any("line 6" in line for line in found)
    assert not any("somebody" in line for line in found)


def test_ordinary_text_is_left_alone(tmp_path):
    text = f"""---
base_model: FacebookAI/xlm-roberta-base
license: apache-2.0
---
See https://huggingface.co/home/models and hub:org/name@{"0" * 40}, sandbox/data/train.jsonl, {"a1" * 32}.
The key is the token of a word: `tokenizer = AutoTokenizer.from_pretrained(...)`. secret_key: <yours>, password=$X
keys/values, and/or, 1/2, ~/runs, ./package, token_type_ids=1
"""
    (tmp_path / "README.md").write_text(text)
    save_file({"layer.0.key.weight": np.zeros((2, 2), np.float32)}, tmp_path / "adapter.safetensors")
    assert find_secrets(tmp_path, environment={"PATH": os.environ["PATH"], "HOME": "/"}) == []
