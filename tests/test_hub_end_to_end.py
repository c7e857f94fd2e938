"""The Hub as a whole, against the server of the tests: the real libraries on it, our own reading of it, and offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_content import PARQUET_REF, Commits, publish_datasets, publish_encoder, publish_zoo, published_rows, small_rows
from loopback_hub import LoopbackHub

from adapter_transfer.backbones.checkpoints import HubModel
from adapter_transfer.backbones.loading import load_body
from adapter_transfer.backbones.tokenizer_loading import load_tokenizer
from adapter_transfer.backbones.zoo import PUBLISHED, own_backbone
from adapter_transfer.hub_lock import HubLock, Resolver
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.reading import Reading
from adapter_transfer.tasks.task import ExampleSet, Split, load_examples

BASE = "FacebookAI/xlm-roberta-base"


def _run(hub: LoopbackHub, hf_home: Path, code: str, **variables: str) -> Any:
    """What a fresh process prints as JSON, with the Hub's environment."""
    environment = {**os.environ, **hub.environment(hf_home), **variables}
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


LIBRARIES = """
import json
from huggingface_hub import HfApi, hf_hub_download, list_repo_files, model_info, snapshot_download
from datasets import load_dataset
from transformers import AutoModel, AutoTokenizer
import torch

commits = COMMITS
model = AutoModel.from_pretrained(BASE, revision=commits[BASE])
tokenizer = AutoTokenizer.from_pretrained(BASE, revision=commits[BASE])
with torch.no_grad():
    output = model(**tokenizer(["tabi molo."], return_tensors="pt")).last_hidden_state
xcopa = load_dataset("cambridgeltl/xcopa", "th", revision=commits["cambridgeltl/xcopa"])
copa = load_dataset("aps/super_glue", "copa", revision=commits["aps/super_glue"])
siqa = load_dataset("allenai/social_i_qa", revision=commits["allenai/social_i_qa"])
print(json.dumps({
    "class": type(model).__name__,
    "output": output.sum().item(),
    "xcopa": xcopa["test"].to_list(),
    "splits": {"xcopa": sorted(xcopa), "copa": sorted(copa), "siqa": sorted(siqa)},
    "copa": copa["test"].to_list(),
    "label": copa["train"].features["label"].names,
    "siqa": siqa["train"].to_list(),
}))
"""


def _libraries(commits: Commits) -> str:
    named = {repo: commit for (_, repo, _), commit in commits.items()}
    return f"BASE, COMMITS = {BASE!r}, {named!r}\n{LIBRARIES}"


@pytest.mark.slow
def test_the_libraries_take_the_server_for_the_hub(loopback_hub: LoopbackHub, tmp_path: Path) -> None:
    rows = small_rows()
    commits = publish_datasets(loopback_hub, tmp_path / "data", rows) | publish_encoder(
        loopback_hub, tmp_path / "model"
    )
    loopback_hub.store.commit("model", BASE, {"README.md": b"a later commit"}, "main")
    code = _libraries(commits)
    seen = _run(loopback_hub, tmp_path / "home", code)
    assert seen["class"] == "XLMRobertaModel"
    assert seen["xcopa"] == rows.xcopa["th"]["test"]
    assert seen["copa"] == rows.copa["test"] and {row["label"] for row in seen["copa"]} == {-1}
    assert seen["siqa"] == rows.social_i_qa["train"]
    assert seen["label"] == ["choice1", "choice2"]
    assert seen["splits"] == {
        "xcopa": ["test", "validation"],
        "copa": ["test", "train", "validation"],
        "siqa": ["train", "validation"],
    }
    loopback_hub.stop()
    assert _run(loopback_hub, tmp_path / "home", code, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1") == seen


def read_ours() -> dict[str, Any]:
    """What our own code reads from the Hub that the process is pointed at: a backbone and three splits."""
    resolver = Resolver()
    backbone = own_backbone(BASE).pinned(resolver.commit)
    vocab_size = len(load_tokenizer(backbone))
    device = torch.device("cpu")
    body = load_body(backbone, precision="fp32", trains=False, device=device, vocab_size=vocab_size)
    digests = []
    for name, split, language in (("xcopa", "test", "th"), ("xcopa", "test", "en"), ("socialiqa", "train", "en")):
        digests.append(_from_hub(resolver, name, split, language, TASKS[name].splits[split]).digest)
    return {
        "pins": sorted([*pin, commit] for pin, commit in resolver.lock.pins.items()),
        "weights": sum(weight.double().sum().item() for weight in body.parameters()),
        "digests": digests,
        "backbone": backbone.digest(),
    }


def _from_hub(resolver: Resolver, name: str, split: Split, language: str, published: str) -> ExampleSet:
    datasets = TASKS[name].hub_datasets(split, language, published)
    revisions = tuple((repo, resolver.commit("dataset", repo, revision)) for repo, revision in datasets)
    return load_examples(TASKS[name], split, language, Reading(published, revisions=revisions))


def _publish(hub: LoopbackHub, folder: Path) -> Commits:
    return publish_datasets(hub, folder / "data", small_rows()) | publish_encoder(hub, folder / "model", weights="bin")


def test_ours_from_the_hub_and_offline(
    loopback_hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = _publish(loopback_hub, tmp_path)
    loopback_hub.use(monkeypatch, tmp_path / "home")
    seen = read_ours()
    assert {tuple(pin): commit for *pin, commit in seen["pins"]} == commits
    loopback_hub.requests.clear()
    loopback_hub.use(monkeypatch, tmp_path / "home", offline=True)
    assert read_ours() == seen
    assert loopback_hub.requests == []


@pytest.mark.slow
def test_ours_in_processes_of_their_own(loopback_hub: LoopbackHub, tmp_path: Path) -> None:
    commits = _publish(loopback_hub, tmp_path)
    here = Path(__file__)
    code = f"import json, sys; sys.path.append({str(here.parent)!r}); import {here.stem} as us"
    code += "; print(json.dumps(us.read_ours()))"
    seen = _run(loopback_hub, tmp_path / "home", code)
    assert {tuple(pin): commit for *pin, commit in seen["pins"]} == commits
    loopback_hub.stop()
    assert _run(loopback_hub, tmp_path / "home", code, HF_HUB_OFFLINE="1") == seen


def test_the_published_files_give_the_same_examples_through_the_hub(
    loopback_hub: LoopbackHub, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = publish_datasets(loopback_hub, tmp_path / "data", published_rows(shared_data))
    loopback_hub.use(monkeypatch, tmp_path / "home")
    resolver = Resolver(HubLock(commits))
    cases = [("xcopa", "test", language, "test", "test") for language in TASKS["xcopa"].languages["test"]]
    cases += [("xcopa-translate-test", "test", "th", "test", "test"), ("xcopa", "validation", "en", "val", "val")]
    cases += [("socialiqa", "train", "en", "dev", "trn"), ("socialiqa", "validation", "en", "tst", "dev")]
    for name, split, language, in_files, on_hub in cases:
        from_hub = _from_hub(resolver, name, split, language, on_hub)
        from_files = load_examples(TASKS[name], split, language, Reading(in_files), shared_data)
        assert from_hub.digest == from_files.digest, (name, split, language)
        assert from_hub.num_repaired == from_files.num_repaired
    assert not resolver.has_new
    downloads = [path for method, path in loopback_hub.requests if method == "GET" and "/large/" in path]
    assert len(downloads) == len(set(downloads)), "each file came once"


def test_the_zoo_can_be_served_for_plans(
    loopback_hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = publish_zoo(loopback_hub, tmp_path / "zoo")
    loopback_hub.use(monkeypatch, tmp_path / "home")
    resolver = Resolver()
    for backbone in PUBLISHED:
        pinned = backbone.pinned(resolver.commit)
        assert isinstance(pinned.model, HubModel)
        assert pinned.model.commit == commits["model", pinned.model.repo, "main"]
        assert pinned.config_fields()["hidden_size"] == backbone.shape["hidden_size"]
    assert resolver.lock == HubLock(commits)
    assert PARQUET_REF not in {revision for _, _, revision in commits}
