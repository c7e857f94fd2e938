"""`compare` through a Hub: revisions are resolved once and pinned, and offline the cache does, without a request."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hub_content import publish_datasets, publish_encoder, published_rows, small_rows
from loopback_hub import LoopbackHub

CONFIG = """
name: hub
backbones: [{name: tiny, model: FacebookAI/xlm-roberta-base}]
methods: [full, {name: seq_bn, settings: {reduction_factor: 4}}]
intermediates: [none, socialiqa]
target: xcopa
languages: [en, th, ta]
seeds: [1]
training:
  - {learning_rate: 1e-3, batch_size: 8, epochs: 1, max_length: 64, max_train_examples: 16}
"""


def adapter_transfer(
    hub: LoopbackHub, home: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, because the Hub's libraries read their environment when imported."""
    environment = {**os.environ, **hub.environment(home), **variables}
    command = [sys.executable, "-W", "ignore", "-m", "adapter_transfer_cli.main", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A configuration, a store and a cache."""
    config = tmp_path / "hub.yaml"
    config.write_text(CONFIG, "utf-8")
    return config, tmp_path / "store", tmp_path / "home"


def test_compare_pins_what_it_used_and_goes_on_offline(loopback_hub, files, tmp_path):
    config, store, home = files
    commits = publish_datasets(loopback_hub, tmp_path / "data", small_rows())
    commits |= publish_encoder(loopback_hub, tmp_path / "encoder")
    compare = ("compare", str(config), "--store", str(store), "--device", "cpu", "--threads", "1")
    done = adapter_transfer(loopback_hub, home, *compare)
    assert done.returncode == 0, done.stderr
    lock = json.loads(config.with_suffix(".lock.json").read_text("utf-8"))
    assert set(commits.values()) == set(re.findall(r'"([0-9a-f]{40})"', json.dumps(lock)))
    run = next(path for path in (store / "runs").glob("*/run.json") if '"evaluation"' in path.read_text("utf-8"))
    recorded = run.read_text("utf-8")
    assert commits["dataset", "cambridgeltl/xcopa", "main"] in recorded
    assert commits["model", "FacebookAI/xlm-roberta-base", "main"] in recorded

    # Somebody pushes to the branch. Who has the lock stays with the commit.
    loopback_hub.store.commit("model", "FacebookAI/xlm-roberta-base", {"README.md": b"a later commit"}, "main")
    again = adapter_transfer(loopback_hub, tmp_path / "elsewhere", *compare)
    assert again.returncode == 0, again.stderr
    assert "0 to do" in again.stderr

    # Offline, with the server gone and from the first cache: one more seed is trained without a request.
    asked = len(loopback_hub.requests)
    more = adapter_transfer(loopback_hub, home, *compare, "--set", "seeds=[1,2]", HF_HUB_OFFLINE="1")
    assert more.returncode == 0, more.stderr
    assert len(loopback_hub.requests) == asked
    loopback_hub.stop()
    still = adapter_transfer(loopback_hub, home, *compare, "--set", "seeds=[1,2,3]")
    assert still.returncode == 0, still.stderr


@pytest.mark.parametrize(
    ("change", "variables", "message"),
    [
        ("backbones=[org/no-such-encoder]", {}, "org/no-such-encoder"),
        ("backbones=[{name: tiny, model: FacebookAI/xlm-roberta-base, revision: v9}]", {}, "v9"),
        ("seeds=[1]", {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
    ],
)
def test_what_cannot_be_reached_is_said_and_nothing_is_made(loopback_hub, files, tmp_path, change, variables, message):
    config, store, home = files
    publish_datasets(loopback_hub, tmp_path / "data", small_rows())
    publish_encoder(loopback_hub, tmp_path / "encoder")
    command = ("compare", str(config), "--store", str(store), "--set", change)
    done = adapter_transfer(loopback_hub, home, *command, **variables)
    assert done.returncode == 4, done.stderr
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1
    assert "Traceback" not in done.stderr
    assert not store.exists() and not config.with_suffix(".lock.json").exists()


@pytest.mark.slow
def test_the_files_experiment_through_the_hub_has_the_same_data(loopback_hub, shared_data, tmp_path):
    """The real rows as parquet from the Hub are the examples that the published files hold, and the experiment runs."""
    config = tmp_path / "same.yaml"
    config.write_text(CONFIG.replace("languages: [en, th, ta]\n", ""), "utf-8")
    publish_datasets(loopback_hub, tmp_path / "data", published_rows(shared_data))
    publish_encoder(loopback_hub, tmp_path / "encoder")
    home, store = tmp_path / "home", ("--store", str(tmp_path / "store"), "--json")
    online = adapter_transfer(loopback_hub, home, "plan", str(config), *store)
    assert online.returncode == 0, online.stderr
    mapped = ("--set", "splits.socialiqa={train: dev, validation: tst}", "--data-dir", str(shared_data))
    local = adapter_transfer(loopback_hub, home, "plan", str(config), *store, *mapped)
    assert local.returncode == 0, local.stderr
    ids = [{run["id"] for run in json.loads(done.stdout)["runs"]} for done in (online, local)]
    assert ids[0] == ids[1], "a run is what its data is, not where it came from"
    # And it runs: eleven languages and English, every item, over real parquet and a real checkpoint.
    options = ("--store", str(tmp_path / "store"), "--device", "cpu", "--threads", "1", "--json")
    methods = ("--set", "methods=[full, seq_bn, lora]")
    done = adapter_transfer(loopback_hub, home, "compare", str(config), *options, *methods)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert len(results) == 3 * 2 * 12
    assert {result["num_items"] for result in results} == {500}
