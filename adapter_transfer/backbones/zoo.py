"""The backbones there are, one declaration each, and how to bring your own. Nothing here touches torch or the network.

What a declaration means is in `backbone`; loading is in `loading` and `tokenizer_loading`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from adapter_transfer.backbones.backbone import (
    SHAPE_FIELDS,
    SUPPORTED_ARCHITECTURES,
    Backbone,
    TokenizerClass,
    backbone_from_json,
)
from adapter_transfer.backbones.checkpoints import HubModel, LocalFolder, PackageFolder, vocabulary_file, weight_files
from adapter_transfer.errors import ConfigError
from adapter_transfer.registry import Registry

__all__ = [
    "BACKBONES",
    "PUBLISHED",
    "QUANTIZED",
    "SUPPORTED_ARCHITECTURES",
    "Backbone",
    "Precision",
    "backbone_from_json",
    "own_backbone",
    "own_name",
]

Precision = Literal["fp32", "bf16", "fp16", "int8", "nf4"]
QUANTIZED: frozenset[Precision] = frozenset({"int8", "nf4"})
_SANDBOX = "sandbox/checkpoints"
_XLMR_PAPER = "Conneau et al. 2020, arXiv 1911.02116"
_XLMR_XL_PAPER = "Goyal et al. 2021, arXiv 2105.00572"


def _sandbox(name: str, shape: str) -> Backbone:
    return Backbone(
        name=name,
        model=PackageFolder(f"{_SANDBOX}/{name}"),
        tokenizer=PackageFolder(f"{_SANDBOX}/tokenizer"),
        summary=f"sandbox: {shape}, pretrained on the micro-world's four languages",
        reference="adapter_transfer.sandbox (rebuilt by `adapter-transfer sandbox build`)",
        is_sandbox=True,
    )


def _random(name: str, of: str) -> Backbone:
    return Backbone(
        name=name,
        model=PackageFolder(f"{_SANDBOX}/{of}"),
        tokenizer=PackageFolder(f"{_SANDBOX}/tokenizer"),
        weights="random",
        summary=f"sandbox control: {of}'s shape with random weights; must stay at chance",
        reference="adapter_transfer.sandbox",
        is_sandbox=True,
    )


def _published(
    name: str,
    repo: str,
    summary: str,
    reference: str,
    sizes: tuple[int, int, int, int],
    *,
    model_type: str = "xlm-roberta",
    vocab_size: int = 250_002,
    max_position_embeddings: int = 514,
    type_vocab_size: int = 1,
    config_pad_token_id: int = 1,
    tokenizer_class: TokenizerClass = "auto",
    pad_token_id: int | None = None,
    distilled_from: str | None = None,
) -> Backbone:
    """A checkpoint on the Hub.

    Args:
        reference: the paper, and which file the fields below were read off.
        sizes: layers, hidden size, size of the feed-forward layers, attention heads.
        config_pad_token_id: as its `config.json` says.
        pad_token_id: of its tokenizer, where that is another.
    """
    values = (*sizes, vocab_size, max_position_embeddings)
    return Backbone(
        name=name,
        model=HubModel(repo),
        tokenizer=HubModel(repo),
        summary=summary,
        reference=reference,
        tokenizer_class=tokenizer_class,
        pad_token_id=pad_token_id,
        distilled_from=distilled_from,
        shape={
            "model_type": model_type,
            **dict(zip(SHAPE_FIELDS, values, strict=True)),
            "type_vocab_size": type_vocab_size,
            "pad_token_id": config_pad_token_id,
        },
    )


#: None of these was downloaded here. Each reference names the published file that its fields were read off.
PUBLISHED: tuple[Backbone, ...] = (
    _published(
        "mminilm-l6",
        "nreimers/mMiniLMv2-L6-H384-distilled-from-XLMR-Large",
        "mMiniLMv2: 6 layers of 384; weights published in fp16",
        "Wang et al. 2021, arXiv 2012.15828; fields as in the config.json of six models fine-tuned from it (such as "
        "Unbabel/xlm-roberta-comet-small) and of its sibling of 12 layers",
        (6, 384, 1536, 12),
        distilled_from="XLM-R large",
    ),
    _published(
        "mminilm-l12",
        "microsoft/Multilingual-MiniLM-L12-H384",
        "mMiniLM: 12 layers of 384; a BERT with XLM-R's tokenizer",
        "Wang et al. 2020, arXiv 2002.10957; fields as in the repository's own log.txt and in the config.json of "
        "models fine-tuned from it",
        (12, 384, 1536, 12),
        model_type="bert",
        vocab_size=250_037,
        max_position_embeddings=512,
        type_vocab_size=2,
        config_pad_token_id=0,
        # It has sentencepiece.bpe.model without tokenizer.json, beside a BERT's config.json: AutoTokenizer may not do.
        tokenizer_class="xlm-roberta",
        pad_token_id=1,
        distilled_from="XLM-R base",
    ),
    _published(
        "base",
        "FacebookAI/xlm-roberta-base",
        "XLM-R base: 12 layers of 768",
        f"{_XLMR_PAPER}; fields as in its config.json at commit 77de1f7",
        (12, 768, 3072, 12),
    ),
    _published(
        "large",
        "FacebookAI/xlm-roberta-large",
        "XLM-R large: 24 layers of 1024",
        f"{_XLMR_PAPER}; fields as in its config.json at refs/pr/3",
        (24, 1024, 4096, 16),
    ),
    _published(
        "xl",
        "facebook/xlm-roberta-xl",
        "XLM-R XL: 36 layers of 2560",
        f"{_XLMR_XL_PAPER}; fields as in its config.json",
        (36, 2560, 10_240, 32),
        model_type="xlm-roberta-xl",
        vocab_size=250_880,
    ),
    _published(
        "xxl",
        "facebook/xlm-roberta-xxl",
        "XLM-R XXL: 48 layers of 4096",
        f"{_XLMR_XL_PAPER}; fields as in its config.json at commit 51b1d0c",
        (48, 4096, 16_384, 32),
        model_type="xlm-roberta-xl",
        vocab_size=250_880,
    ),
)

BACKBONES: Registry[Backbone] = Registry(
    "backbone",
    [
        _sandbox("nano", "2 layers of 64"),
        _sandbox("micro", "2 layers of 128"),
        _sandbox("mini", "3 layers of 128"),
        _random("micro-random", "micro"),
        Backbone(
            name="real-text-random",
            summary="control: random weights, tokenizer trained on the experiment's own text; runs real data offline",
            reference="adapter_transfer.backbones.zoo",
            weights="random",
            config={
                "model_type": "xlm-roberta",
                "hidden_size": 64,
                "intermediate_size": 256,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "max_position_embeddings": 514,
                "type_vocab_size": 1,
                "layer_norm_eps": 1e-5,
                "pad_token_id": 1,
                "bos_token_id": 0,
                "eos_token_id": 2,
            },
            vocab_size=16_000,
            is_sandbox=True,
        ),
        *PUBLISHED,
    ],
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)


def own_backbone(
    text: str,
    *,
    name: str | None = None,
    revision: str | None = None,
    tokenizer_class: TokenizerClass | None = None,
    pad_token_id: int | None = None,
) -> Backbone:
    """An encoder of the user's: a folder is looked into at once, the Hub only when the backbone is used.

    Args:
        text: a folder ("./x", "/x", "~/x", or one that is there and has a slash), else a Hub id ("org/name").
        name: what to call it; by default `own_name(text)`.
        revision: branch, tag or commit on the Hub; "main" by default.
        tokenizer_class: for a tokenizer whose files do not tell their class; None finds out.
        pad_token_id: for a tokenizer that pads with another id than the model's `config.json` says.

    Raises:
        ConfigError: if `text` is neither, the name is not allowed, or the architecture is not supported.
        DataError: if the folder lacks the configuration, the weights or the tokenizer.
    """
    name = own_name(text) if name is None else name
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"backbone {text!r} cannot be called {name!r}: a name has letters, digits, '-' and '_', begins with a "
            "letter or digit and has at most 64 characters. Give it such a name."
        )
    if name in BACKBONES:
        raise ConfigError(
            f"backbone {text!r} cannot be called {name!r}: the zoo has one of that name. Give it another."
        )
    folder = _as_folder(text)
    if folder is None:
        backbone = _from_hub(text, name, revision)
    elif revision is not None:
        raise ConfigError(f"backbone {text!r} is a folder and has no revision {revision!r}. Leave the revision out.")
    else:
        backbone = _from_folder(folder, name)
    if tokenizer_class is not None:
        backbone = replace(backbone, tokenizer_class=tokenizer_class)
    return backbone if pad_token_id is None else replace(backbone, pad_token_id=pad_token_id)


def own_name(text: str) -> str:
    """What a folder or Hub id is called where it is given no name: its last part, made a legal name."""
    last = Path(text).expanduser().resolve().name if _as_folder(text) is not None else text.rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", last).strip("-_")[:64] or "own"


def _as_folder(text: str) -> Path | None:
    """The folder that is meant; None where it is a Hub id."""
    path = Path(text).expanduser() if text.startswith("~/") else Path(text)
    is_meant = text in (".", "..") or text.startswith(("./", "../", "/", "~/")) or ("/" in text and path.is_dir())
    return path if is_meant else None


def _from_hub(repo: str, name: str, revision: str | None) -> Backbone:
    if not _HUB_ID.fullmatch(repo) or ".." in repo or "--" in repo:
        raise ConfigError(
            f"{repo!r} is no backbone: it is neither a folder (./my-model, /data/my-model) nor a Hub id (org/name), "
            f"nor in the zoo ({', '.join(BACKBONES)})"
        )
    place = HubModel(repo, revision or "main")
    known = next((entry for entry in PUBLISHED if isinstance(entry.model, HubModel) and entry.model.repo == repo), None)
    if known is not None:  # another revision of it has the same quirks, and perhaps another shape
        return replace(known, name=name, summary=f"your own: {repo}", model=place, tokenizer=place, shape=None)
    return Backbone(
        name=name,
        summary=f"your own: {repo}",
        reference=f"the Hugging Face Hub, {repo}",
        model=place,
        tokenizer=place,
    )


def _from_folder(folder: Path, name: str) -> Backbone:
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "there is no such folder"
        raise ConfigError(f"backbone {str(folder)!r}: {what}. Give the folder that holds its config.json and weights.")
    path = folder.resolve()
    place = LocalFolder(str(path))
    backbone = Backbone(
        name=name,
        summary=f"your own: {path.name}",
        reference=f"a folder of yours: {path}",
        model=place,
        tokenizer=place,
    )
    reason = backbone.unsupported_reason()
    if reason is not None:
        raise ConfigError(f"{reason} ({path})")
    backbone.known_fields()
    weight_files(path)
    # That file is how XLM-R's vocabulary is published; mMiniLM has it alone, beside a BERT's configuration.
    if vocabulary_file(path) == "sentencepiece.bpe.model" and backbone.architecture == "bert":
        backbone = replace(backbone, tokenizer_class="xlm-roberta", pad_token_id=1)
    return backbone
