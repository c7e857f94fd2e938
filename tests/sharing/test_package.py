"""What a package may say of itself: paths that stay inside, references that exist, digests that follow the content."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from adapter_transfer.sharing.package import Package, content_digest, member_files


def package(**changes):
    adapter = {"path": ".", "name": "copa", "role": "target", "task": "xcopa", "has_head": True}
    content = {
        "format": 1,
        "backbone": {"name": "base", "architecture": "xlm-roberta", "hidden_size": 768},
        "method": "seq_bn",
        "adapters": [adapter],
    }
    return Package.model_validate_json(json.dumps({**content, **changes}))


def adapters(*paths, **more):
    fields = {"name": "copa", "role": "target", "task": "xcopa", "has_head": True}
    return [{**fields, "path": path, **more} for path in paths]


def test_it_survives_its_own_json():
    said = package(
        adapters=adapters("seed-1/copa", "seed-2/copa"),
        compositions=[{"adapters": ["seed-1/copa"], "head": "seed-1/copa", "seed": 1}],
        scores=[{"task": "xcopa", "language": "et", "value": 0.5, "num_items": 500, "num_seeds": 2}],
    )
    assert Package.model_validate_json(json.dumps(said.model_dump(mode="json"))) == said
    assert said.adapter("seed-2/copa").path == "seed-2/copa"


@pytest.mark.parametrize(
    "path", ["", "..", "../x", "/etc", "a/b/c", "a//b", "./a", "a/..", "a\\b", "a\0", ".git", "a b"]
)
def test_no_path_leads_out(path):
    with pytest.raises(ValidationError, match="no folder of a package"):
        package(adapters=adapters(path))


def test_names_are_safe():
    with pytest.raises(ValidationError, match="no name of an adapter"):
        package(adapters=[{**adapters(".")[0], "name": "/somewhere/else"}])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adapters": adapters("a", "a")}, "lie in one folder"),
        ({"adapters": adapters(".", "a")}, "root and others"),
        ({"adapters": adapters("a", parents=["b"])}, "no adapter lies in b"),
        ({"compositions": [{"adapters": ["b"], "head": "b"}]}, "no adapter lies in b"),
        ({"adapters": []}, "at least 1"),
        ({"format": 2}, "Input should be 1"),
        ({"surprise": 1}, "not permitted"),
    ],
)
def test_what_does_not_hold_together_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        package(**changes)


def test_the_digest_follows_what_changes_the_computation(tmp_path):
    for name in ("adapter_config.json", "adapter.safetensors", "README.md"):
        (tmp_path / name).write_text(name)
    before = content_digest(tmp_path)
    (tmp_path / "README.md").write_text("another card")
    assert content_digest(tmp_path) == before
    (tmp_path / "adapter.safetensors").write_text("other weights")
    changed = content_digest(tmp_path)
    (tmp_path / "head_config.json").write_text("{}")
    assert len({before, changed, content_digest(tmp_path)}) == 3
    assert list(member_files(tmp_path)) == ["adapter_config.json", "adapter.safetensors", "head_config.json"]


@pytest.mark.parametrize(
    "odd", [{"value": 1e300}, {"value": -0.5}, {"low": 0.1}, {"high": 0.9}, {"low": 0.9, "high": 0.1}, {"chance": 2.0}]
)
def test_scores_that_no_test_set_gives_are_refused(odd):
    score = {"task": "xcopa", "language": "et", "value": 0.5, "num_items": 500, "num_seeds": 3}
    package(scores=[score | {"low": 0.4, "high": 0.6}])
    with pytest.raises(ValidationError):
        package(scores=[score | odd])
