from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from adapter_transfer.backbones.checkpoints import HubModel
from adapter_transfer.backbones.zoo import BACKBONES, own_backbone
from adapter_transfer.publishing.bundle import choose_bundle
from adapter_transfer.publishing.card import write_card
from adapter_transfer.publishing.contents import write_package
from adapter_transfer.publishing.snippets import Place
from adapter_transfer.sharing.package import Package
from adapter_transfer.sharing.reading import read_package

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EVIL = "<script>alert(1)</script>\x1b[2J`$(x)`\n---\n# [a](javascript:x) |\u202e @you https://evil.example {{7*7}} ```"


def card_of(folder: Path, package: Package, backbone: str = "nano", repo: str | None = None, **options) -> str:
    declared = BACKBONES[backbone] if backbone in BACKBONES else own_backbone(backbone)
    if isinstance(declared.model, HubModel):
        declared = declared.pinned(lambda *_: COMMIT)
    return write_card(folder, package, backbone=declared, place=Place(repo, "package"), **options)


def with_backbone(package: Package, **fields) -> Package:
    backbone = package.backbone.model_copy(update={"is_sandbox": False, "commit": COMMIT, **fields})
    return package.model_copy(update={"backbone": backbone})


def data_of(card: str):
    """As huggingface_hub itself reads it; what it would only warn of is an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ModelCard(card).data


def code_blocks(card: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)


@pytest.fixture
def package(shared) -> Package:
    return read_package(shared)


def test_the_hubs_own_reader_takes_the_front_matter(shared, package):
    data = data_of((shared / "README.md").read_text())
    assert data.library_name == "adapter-transformers"
    assert data.license == "apache-2.0"
    assert set(data.tags) >= {"adapter-transformers", "adapter-transfer", "xlm-roberta", "micro-copa", "seq_bn"}
    assert data.language == ["en"]  # the sandbox's languages are none
    assert data.get("base_model") is None
    assert data.get("datasets") is None
    results = {result.dataset_config: result for result in data.eval_results}
    assert set(results) == {"en", "qa"}
    for score in package.scores:
        result = results[score.language]
        assert (result.task_type, result.metric_type) == ("multiple-choice", "accuracy")
        assert result.metric_value == pytest.approx(score.value, abs=1e-4)
        assert (result.dataset_type, result.dataset_split) == ("micro-copa", "test")


def test_the_front_matter_of_a_published_backbone_and_data_set(shared, package):
    scores = tuple(
        score.model_copy(update={"task": "xcopa", "language": language})
        for score, language in zip(package.scores, ("en", "et"), strict=True)
    )
    package = with_backbone(package, name="base", repo="FacebookAI/xlm-roberta-base")
    package = package.model_copy(update={"target": "xcopa", "intermediate": "socialiqa", "scores": scores})
    data = data_of(card_of(shared, package, "base", "org/name"))
    assert (data.base_model, data.get("base_model_relation")) == ("FacebookAI/xlm-roberta-base", "adapter")
    assert data.language == ["en", "et"]
    assert data.datasets == ["allenai/social_i_qa", "aps/super_glue", "cambridgeltl/xcopa"]
    assert data.model_name == "org/name"
    types = {result.dataset_config: (result.dataset_type, result.dataset_split) for result in data.eval_results}
    assert types == {"en": ("aps/super_glue", "test"), "et": ("cambridgeltl/xcopa", "test")}


def test_the_sandbox_is_no_evidence(shared, package):
    assert "**No evidence about XLM-R.**" in (shared / "README.md").read_text()
    assert "No evidence" not in card_of(shared, with_backbone(package, repo="org/encoder"), "org/encoder")


def test_scores_stand_with_what_they_rest_on(shared, package):
    card = (shared / "README.md").read_text()
    for score, name in zip(package.scores, ("English (en)", "Sandbox A (qa)"), strict=True):
        low, high = max(score.low, 0), min(score.high, 1)
        interval = f"{100 * low:.1f} % to {100 * high:.1f} %"
        assert f"| `micro-copa` | {name} | {100 * score.value:.1f} % | {interval} | 500 | 3 | 50.0 % |" in card
    two = [score.model_copy(update={"low": None, "high": None, "num_seeds": 2}) for score in package.scores]
    assert card_of(shared, package.model_copy(update={"scores": tuple(two)})).count("none: fewer than 3 seeds") == 2
    assert "**No scores are known.**" in card_of(shared, package.model_copy(update={"scores": ()}))


def test_training_data_and_hyper_parameters(shared):
    card = (shared / "README.md").read_text()
    source = "sandbox/data/next-event/en/train.jsonl"
    assert f"| `next-event` | `next-event/train/en` | 1,500 | `{source}` | Apache-2.0 |" in card
    assert "| `learning_rate` | `0.003` | `0.003` |" in card
    assert "trained in English on `micro-copa` after the intermediate task `next-event`" in card


def test_notes_on_the_data_are_told(shared, package):
    assert "5 rows had a wrong \\`question\\`" in card_of(shared, package, notes=("5 rows had a wrong `question`",))


def test_names_of_others_are_mere_text(shared, package):
    adapters = tuple(
        adapter.model_copy(
            update={
                "task": EVIL,
                "training": {EVIL: EVIL},
                "validation": {EVIL: 0.5},
                "data": tuple(split.model_copy(update={"split": EVIL, "source": EVIL}) for split in adapter.data),
            }
        )
        for adapter in package.adapters
    )
    scores = tuple(score.model_copy(update={"task": EVIL, "language": EVIL}) for score in package.scores[:1])
    evil = with_backbone(package, name=EVIL, architecture=EVIL).model_copy(
        update={
            "adapters": adapters,
            "scores": scores,
            "target": EVIL,
            "intermediate": EVIL,
            "method": EVIL,
            "method_settings": {EVIL: EVIL},
            "versions": {EVIL: EVIL},
            "licence": EVIL,
        }
    )
    card = card_of(shared, evil, notes=(EVIL,))
    assert "<script" not in card
    assert "\x1b" not in card
    assert "\u202e" not in card
    # Escaped signs are none; then code spans.
    outside_of_code = re.sub(r"`[^`\n]*`", "", re.sub(r"\\.", "", card.split("\n---\n", 1)[1]))
    assert "](javascript" not in outside_of_code
    for live in ("{{7*7}}", "@you", "https://evil"):
        assert live not in outside_of_code
    # One front matter, one headline, and the sections that there are anyway.
    plain = card_of(shared, package)
    assert data_of(card).library_name == "adapter-transformers"
    assert card.count("\n---\n") == plain.count("\n---\n") == 1
    sections = [line for line in plain.splitlines() if line.startswith("## ")]
    assert [line for line in card.splitlines() if line.startswith("## ")] == sections
    assert len([line for line in card.splitlines() if line.startswith("# ")]) == 1
    # Every fence that is opened is closed, and what stands in them is still Python.
    num_fences = len(re.findall("^```", card, re.MULTILINE))
    assert num_fences == 2 * len(re.findall("^```[a-z]", card, re.MULTILINE)) > 0
    for block in code_blocks(card, "python"):
        compile(block, "card", "exec")


def test_a_head_of_others_is_mere_text_too(shared, package, tmp_path):
    head = json.loads((shared / "seed-1/micro-copa/head_config.json").read_text())
    folder = tmp_path / "seed-1" / "micro-copa"
    folder.mkdir(parents=True)
    for changes in ({"name": EVIL}, {"name": 7}, {"config": {"head_type": "classification", "label2id": {EVIL: 0}}}):
        (folder / "head_config.json").write_text(json.dumps({**head, **changes}))
        card = card_of(tmp_path, package)
        assert "<script" not in card
        for block in code_blocks(card, "python"):
            compile(block, "card", "exec")


def test_an_encoder_in_somebodys_folder(shared, package, encoder):
    package = with_backbone(package, name="mine", commit=None)
    card = write_card(
        shared, package, backbone=own_backbone(str(encoder("xlm-roberta")), name="mine"), place=Place(None, "package")
    )
    assert "put your copy of it into a folder called `mine`" in card
    assert 'AutoAdapterModel.from_pretrained("./mine")' in card
    assert str(encoder("xlm-roberta")) not in card


def test_random_weights_need_adapter_transfer(shared, package):
    card = card_of(shared, package, "micro-random")
    assert "plain adapters cannot load it" in card
    assert "AutoAdapterModel" not in card
    assert "adapter-transfer predict" in card


def test_mminilm_is_loaded_with_its_own_tokenizer_class(shared, package):
    repo = "microsoft/Multilingual-MiniLM-L12-H384"
    card = card_of(shared, with_backbone(package, name="mminilm-l12", repo=repo, architecture="bert"), "mminilm-l12")
    assert f'from_pretrained("{repo}", revision="{COMMIT}", pad_token_id=1)' in card
    assert f'XLMRobertaTokenizerFast.from_pretrained("{repo}", revision="{COMMIT}")' in card


def test_xl_needs_a_class_of_ours(shared, package):
    changed = with_backbone(package, name="xl", repo="facebook/xlm-roberta-xl", architecture="xlm-roberta-xl")
    card = card_of(shared, changed, "xl")
    assert "import adapter_transfer.methods.architectures" in card
    assert "has no class for XLM-R XL" in card


def test_an_intermediate_on_the_hub_serves_in_an_experiment(seeds, find, tmp_path):
    bundle = choose_bundle(seeds, find(seeds, phase="intermediate")[:1])
    write_package(seeds, bundle, tmp_path / "package", repo="org/name", environment={})
    card = (tmp_path / "package" / "README.md").read_text()
    assert code_blocks(card, "yaml") == ['intermediates: [none, "hub:org/name"]\n']
    assert "on the intermediate task `next-event`" in card
    assert "**No scores are known.**" in card
    bundle = choose_bundle(seeds, find(seeds, phase="target", composition="none")[:1])
    write_package(seeds, bundle, tmp_path / "target", repo="org/name", environment={})
    assert code_blocks((tmp_path / "target" / "README.md").read_text(), "yaml") == []


def test_a_commit_that_nobody_knows(shared, package):
    package = with_backbone(package, name="base", repo="FacebookAI/xlm-roberta-base", commit=None)
    card = card_of(shared, package, "base")
    assert "`FacebookAI/xlm-roberta-base` (at which commit in training is not known)" in card
    assert f'revision="{COMMIT}"' in card


def test_what_is_published_is_cited(shared, package):
    package = with_backbone(package, name="base", repo="FacebookAI/xlm-roberta-base")
    adapters = tuple(adapter.model_copy(update={"task": "xcopa"}) for adapter in package.adapters)
    card = card_of(shared, package.model_copy(update={"adapters": adapters}), "base")
    for source in ("2311.11077", "1911.02116", "2005.00333", "2005.00247"):
        assert f"arXiv {source}" in card
