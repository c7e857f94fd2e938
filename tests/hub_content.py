"""What a `LoopbackHub` can hold for our experiments: small encoders, and our data sets as they lie on the Hub.

    with LoopbackHub() as hub:
        commits = publish_datasets(hub, tmp_path / "data", small_rows())  # or published_rows(shared_data)
        commits |= publish_encoder(hub, tmp_path / "encoder", "org/tiny")  # can be trained
        commits |= publish_zoo(hub, tmp_path / "zoo")  # the zoo's repositories, to be planned with

Each gives (kind, repository, revision) → commit, as `HubLock.pins` has them. Data sets are parquet with the columns,
types and file names of the Hub's own.
"""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pyarrow
import pyarrow.parquet
from loopback_hub import LoopbackHub
from published_data import NUM_ITEMS, NUM_TRAIN, copa_rows, hub_socialiqa, socialiqa_rows, xcopa_rows

from adapter_transfer.backbones.checkpoints import HubModel
from adapter_transfer.backbones.zoo import PUBLISHED
from adapter_transfer.hub_lock import Pin
from adapter_transfer.languages import LANGUAGE_SETS

Row = Mapping[str, Any]
Rows = Sequence[Row]
Commits = dict[Pin, str]

XCOPA, SUPER_GLUE, SOCIAL_I_QA = "cambridgeltl/xcopa", "aps/super_glue", "allenai/social_i_qa"
PARQUET_REF = "refs/convert/parquet"
LANGUAGES = LANGUAGE_SETS["xcopa"]
_FEATURES = {  # in the order of their columns
    XCOPA: {
        **dict.fromkeys(("premise", "choice1", "choice2", "question"), "string"),
        **dict.fromkeys(("label", "idx"), "int32"),
        "changed": "bool",
    },
    SUPER_GLUE: {
        **dict.fromkeys(("premise", "choice1", "choice2", "question"), "string"),
        "idx": "int32",
        "label": ("choice1", "choice2"),
    },
    SOCIAL_I_QA: dict.fromkeys(("context", "question", "answerA", "answerB", "answerC", "label"), "string"),
}
"""Data set → column → its type; names are those of the classes of a label that is kept as int64."""


@dataclass(frozen=True)
class DatasetRows:
    """The rows of all three data sets, in the Hub's fields.

    Attributes:
        xcopa: configuration (a language, or `translation-` and a language) → split → rows.
        copa: split → rows of SuperGLUE's `copa`; the labels of its test are withheld (-1).
        social_i_qa: split → rows.
    """

    xcopa: Mapping[str, Mapping[str, Rows]]
    copa: Mapping[str, Rows]
    social_i_qa: Mapping[str, Rows]


def small_rows() -> DatasetRows:
    """A few rows of each split, the same as `published_data` writes into files."""
    xcopa: dict[str, dict[str, Rows]] = {}
    for language in LANGUAGES:
        own = {"validation": xcopa_rows(401, language), "test": xcopa_rows(501, language)}
        xcopa[language] = dict(own)
        if language != "qu":
            english = {"validation": copa_rows(401), "test": copa_rows(501)}
            # The machine's translations carry the flags of what they are translated from.
            xcopa[f"translation-{language}"] = {
                split: [
                    {**row, "question": of["question"], "changed": False}
                    for row, of in zip(rows, own[split], strict=True)
                ]
                for split, rows in english.items()
            }
    return DatasetRows(
        xcopa,
        {"train": copa_rows(1), "validation": copa_rows(401), "test": _withheld(copa_rows(501))},
        {
            "train": [hub_socialiqa(row) for row in socialiqa_rows(NUM_TRAIN)],
            "validation": [hub_socialiqa(row) for row in socialiqa_rows(NUM_ITEMS, 100)],
        },
    )


def published_rows(shared_data: Path) -> DatasetRows:
    """Every published row of the three data sets that is there, in the Hub's fields.

    SocialIQA's train file is not: its split `train` holds the published dev rows and `validation` the published tst
    rows, as `configs/xcopa-files.yaml` maps them, so that both ways give the same examples.
    """
    xcopa: dict[str, dict[str, Rows]] = {}
    for folder, prefix in (("data", ""), ("data-gmt", "translation-")):
        for path in sorted((shared_data / "xcopa" / folder).iterdir()):
            xcopa[prefix + path.name] = {
                split: _jsonl(path / f"{name}.{path.name}.jsonl")
                for split, name in (("validation", "val"), ("test", "test"))
            }
    forms = shared_data / "copa" / "superglue-form"
    test = ElementTree.parse(shared_data / "copa" / "copa-test.xml").getroot()
    items = [
        {
            **{
                name: str(item.findtext(tag)).strip()
                for name, tag in (("premise", "p"), ("choice1", "a1"), ("choice2", "a2"))
            },
            "question": item.attrib["asks-for"],
            "idx": int(item.attrib["id"]) - 501,
        }
        for item in test.iter("item")
    ]
    socialiqa = shared_data / "socialiqa"
    return DatasetRows(
        xcopa,
        {
            "train": _jsonl(forms / "train-en.jsonl"),
            "validation": _jsonl(forms / "val-en.jsonl"),
            "test": _withheld(items),
        },
        {
            split: [hub_socialiqa(row) for row in _jsonl(socialiqa / f"socialIQa_v1.4_{name}.jsonl")]
            for split, name in (("train", "dev"), ("validation", "tst"))
        },
    )


def _jsonl(path: Path) -> list[dict[str, Any]]:
    # Not str.splitlines, which also splits at U+2028 and other characters inside of texts.
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line.strip()]


def _withheld(rows: Iterable[Row]) -> Rows:
    return [{**row, "label": -1} for row in rows]


def publish_datasets(hub: LoopbackHub, folder: Path, rows: DatasetRows) -> Commits:
    """Puts the three data sets on the Hub, by way of `folder`."""
    xcopa, superglue, socialiqa = (folder / name for name in ("xcopa", "super_glue", "social_i_qa"))
    for config, splits in rows.xcopa.items():
        for split, part in splits.items():
            _write_parquet(xcopa / config / f"{split}-00000-of-00001.parquet", part, XCOPA)
    _write_card(
        xcopa, {config: {split: f"{config}/{split}-*" for split in splits} for config, splits in rows.xcopa.items()}
    )
    for split, part in rows.copa.items():
        _write_parquet(superglue / "copa" / f"{split}-00000-of-00001.parquet", part, SUPER_GLUE)
    _write_card(superglue, {"copa": {split: f"copa/{split}-*" for split in rows.copa}})
    for split, part in rows.social_i_qa.items():
        _write_parquet(socialiqa / "default" / split / "0000.parquet", part, SOCIAL_I_QA)
    return {
        ("dataset", XCOPA, "main"): hub.add_dataset(XCOPA, xcopa),
        ("dataset", SUPER_GLUE, "main"): hub.add_dataset(SUPER_GLUE, superglue),
        ("dataset", SOCIAL_I_QA, PARQUET_REF): hub.add_dataset(SOCIAL_I_QA, socialiqa, ref=PARQUET_REF),
    }


def _write_parquet(path: Path, rows: Rows, repo: str) -> None:
    """With the columns of `repo`, and their meaning in the metadata as `datasets` writes it."""
    types, features = {}, {}
    for name, kind in _FEATURES[repo].items():
        is_label = isinstance(kind, tuple)
        types[name] = pyarrow.int64() if is_label else pyarrow.type_for_alias(kind)
        features[name] = {"names": list(kind), "_type": "ClassLabel"} if is_label else {"dtype": kind, "_type": "Value"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    columns = {name: [row[name] for row in rows] for name in types}
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns, pyarrow.schema(types.items(), metadata)), path)


def _write_card(folder: Path, configs: Mapping[str, Mapping[str, str]]) -> None:
    """A README that says, as the Hub's do, which files are which split of which configuration."""
    listed = [
        {"config_name": config, "data_files": [{"split": split, "path": path} for split, path in splits.items()]}
        for config, splits in configs.items()
    ]
    (folder / "README.md").write_text(f"---\n{json.dumps({'configs': listed})[1:-1]}\n---\n", "utf-8")


def publish_encoder(
    hub: LoopbackHub,
    folder: Path,
    repo: str = "FacebookAI/xlm-roberta-base",
    *,
    texts: Iterable[str] | None = None,
    weights: Literal["safetensors", "bin"] = "safetensors",
    seed: int = 1,
) -> Commits:
    """Puts an XLM-R of 2 layers of 32 with random weights on the Hub, as its real class saves it with its own head.

    Args:
        texts: what to train a tokenizer of 2,000 pieces on; None takes the sandbox's, which is useless on real text.
    """
    # Both take seconds and are needed here only.
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    from adapter_transfer.backbones.tokenizers import train_tokenizer

    folder.mkdir(parents=True)
    if texts is None:
        _copy_tokenizer(folder)
        vocab_size = len(json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]["vocab"])
    else:
        tokenizer = train_tokenizer(texts, 2_000)
        tokenizer.save_pretrained(folder)
        vocab_size = len(tokenizer)
    config = XLMRobertaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=258,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = XLMRobertaForMaskedLM(config)
    model.save_pretrained(folder, safe_serialization=weights == "safetensors")
    return {("model", repo, "main"): hub.add_model(repo, folder)}


def publish_zoo(hub: LoopbackHub, folder: Path) -> Commits:
    """Puts every repository of the zoo on the Hub with its declared shape and a tokenizer but no weights: for plans."""
    commits: Commits = {}
    for backbone in PUBLISHED:
        assert isinstance(backbone.model, HubModel) and backbone.shape is not None
        place = folder / backbone.name
        place.mkdir(parents=True)
        _copy_tokenizer(place)
        (place / "config.json").write_text(json.dumps(dict(backbone.shape)))
        commits["model", backbone.model.repo, "main"] = hub.add_model(backbone.model.repo, place)
    return commits


def _copy_tokenizer(folder: Path) -> None:
    source = Path(str(files("adapter_transfer"))) / "sandbox" / "checkpoints" / "tokenizer"
    for path in source.iterdir():
        shutil.copyfile(path, folder / path.name)
