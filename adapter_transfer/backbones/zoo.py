"""The backbones there are: one declaration each. Loading is in `loading`; nothing here touches torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from adapter_transfer.backbones.sizes import ParameterCounts, count_parameters
from adapter_transfer.canonical import digest
from adapter_transfer.durable import sha256_file
from adapter_transfer.errors import DataError
from adapter_transfer.registry import Registry

Precision = Literal["fp32", "bf16", "fp16", "int8", "nf4"]
QUANTIZED: frozenset[Precision] = frozenset({"int8", "nf4"})
Weights = Literal["pretrained", "random"]
_SANDBOX = "sandbox/checkpoints"


@dataclass(frozen=True)
class Backbone:
    """A pretrained (or, as a control, random) encoder at one scale.

    Attributes:
        name: as users write it; also the scale's name.
        model: folder inside this package that holds `config.json` and `model.safetensors`, or None where `config`
            says what to build.
        tokenizer: folder inside this package, or None where the tokenizer is trained on the experiment's own text.
        weights: "random" ignores the checkpoint's weights: a control that shows what the pretraining gave.
        config: fields of the model's configuration where there is no checkpoint; the vocabulary's size is the
            tokenizer's.
        vocab_size: largest vocabulary of a tokenizer that is trained.
        random_seed: of random weights; the same for every run, as a checkpoint would be.
        summary: one line for `ls backbones`.
        reference: where it comes from.
        is_sandbox: says nothing about published models.
    """

    name: str
    summary: str
    reference: str
    model: str | None = None
    tokenizer: str | None = None
    weights: Weights = "pretrained"
    config: Mapping[str, Any] | None = None
    vocab_size: int | None = None
    random_seed: int = 0
    is_sandbox: bool = False

    @property
    def trains_tokenizer(self) -> bool:
        return self.tokenizer is None

    @property
    def model_path(self) -> Path:
        """The checkpoint's folder; only where there is one."""
        assert self.model is not None, f"{self.name} has no checkpoint"
        return _package_path(self.model)

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer's folder; only where it is not trained."""
        assert self.tokenizer is not None, f"{self.name} trains its tokenizer"
        return _package_path(self.tokenizer)

    def config_fields(self) -> dict[str, Any]:
        """The model's configuration as in its `config.json` (for a trained tokenizer: at the largest vocabulary).

        Raises:
            DataError: if the checkpoint has no readable `config.json`.
        """
        if self.config is not None:
            return {**self.config, "vocab_size": self.vocab_size}
        path = self.model_path / "config.json"
        try:
            fields: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"backbone {self.name!r}: {path} cannot be read ({error})") from None
        return fields

    @property
    def max_length(self) -> int:
        """Longest row in tokens: XLM-R counts positions from the padding id + 1; the rows before are unused."""
        fields = self.config_fields()
        return int(fields["max_position_embeddings"]) - int(fields["pad_token_id"]) - 1

    def parameters(self) -> ParameterCounts:
        """Parameters of the encoder, from its configuration."""
        return count_parameters(self.config_fields())

    def digest(self, texts_digest: str | None = None) -> str:
        """SHA-256 of everything that makes this backbone what it is: weights, configuration, tokenizer.

        Args:
            texts_digest: of the text that a trained tokenizer is trained on; needed there, not used elsewhere.
        """
        content: dict[str, Any] = {"weights": self.weights}
        if self.config is not None:
            content["config"] = {**self.config, "vocab_size": self.vocab_size}
        else:
            content["config"] = _file_digest(self.model_path / "config.json")
        if self.weights == "random":
            content["random_seed"] = self.random_seed
        else:
            content["model"] = _file_digest(self.model_path / "model.safetensors")
        if self.trains_tokenizer:
            assert texts_digest is not None, f"{self.name} trains its tokenizer on texts"
            content["tokenizer"] = {"texts": texts_digest, "vocab_size": self.vocab_size}
        else:
            content["tokenizer"] = {
                path.name: _file_digest(path) for path in sorted(self.tokenizer_path.iterdir()) if path.is_file()
            }
        return digest(content)


_digests: dict[tuple[str, int, int], str] = {}


def _file_digest(path: Path) -> str:
    # Hashing a 14 GB checkpoint for each of 200 runs takes minutes; a file that keeps size and time is unchanged.
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    key = (str(path), status.st_size, status.st_mtime_ns)
    if key not in _digests:
        _digests[key] = sha256_file(path)
    return _digests[key]


def _package_path(relative: str) -> Path:
    return Path(str(files("adapter_transfer"))) / relative


def _sandbox(name: str, shape: str) -> Backbone:
    return Backbone(
        name=name,
        model=f"{_SANDBOX}/{name}",
        tokenizer=f"{_SANDBOX}/tokenizer",
        summary=f"sandbox: {shape}, pretrained on the micro-world's four languages",
        reference="adapter_transfer.sandbox (rebuilt by `adapter-transfer sandbox build`)",
        is_sandbox=True,
    )


def _random(name: str, of: str) -> Backbone:
    return Backbone(
        name=name,
        model=f"{_SANDBOX}/{of}",
        tokenizer=f"{_SANDBOX}/tokenizer",
        weights="random",
        summary=f"sandbox control: {of}'s shape with random weights; must stay at chance",
        reference="adapter_transfer.sandbox",
        is_sandbox=True,
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
    ],
)
