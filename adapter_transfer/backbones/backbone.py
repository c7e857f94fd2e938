"""What a backbone is: where its checkpoint lies, its shape, what makes it what it is. No torch.

The declarations are in `zoo`; loading is in `loading`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from adapter_transfer.backbones.checkpoints import (
    Checkpoint,
    HubModel,
    Resolve,
    checkpoint_from_json,
    checkpoint_json,
    read_config,
)
from adapter_transfer.backbones.detours import refuse_detours
from adapter_transfer.backbones.sizes import ParameterCounts, count_parameters
from adapter_transfer.canonical import digest
from adapter_transfer.errors import ConfigError, DataError

Weights = Literal["pretrained", "random"]
TokenizerClass = Literal["auto", "xlm-roberta"]

SUPPORTED_ARCHITECTURES = ("xlm-roberta", "roberta", "bert", "xlm-roberta-xl")
"""`model_type` of the encoders that can be loaded and trained."""

SHAPE_FIELDS = (
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "vocab_size",
    "max_position_embeddings",
)
"""What a configuration must say for an encoder to be built or counted."""

# What transformers takes where an older `config.json` leaves a field out.
_DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "bert": {"pad_token_id": 0, "type_vocab_size": 2},
    "roberta": {"pad_token_id": 1, "type_vocab_size": 2},
    "xlm-roberta": {"pad_token_id": 1, "type_vocab_size": 2},
    "xlm-roberta-xl": {"pad_token_id": 1, "type_vocab_size": 1},
}


@dataclass(frozen=True)
class Backbone:
    """A pretrained (or, as a control, random) encoder at one scale.

    Attributes:
        name: as users write it; also the scale's name.
        model: where `config.json` and the weights lie, or None where `config` says what to build.
        tokenizer: where the tokenizer lies, or None where it is trained on the experiment's own text.
        weights: "random" ignores the checkpoint's weights: a control that shows what the pretraining gave.
        config: fields of the model's configuration where there is no checkpoint; the vocabulary's size is the
            tokenizer's.
        vocab_size: largest vocabulary of a tokenizer that is trained.
        random_seed: of random weights; the same for every run, as a checkpoint would be.
        summary: one line for `ls backbones`.
        reference: where it comes from.
        is_sandbox: says nothing about published models.
        tokenizer_class: which class reads the tokenizer's files, where they do not tell it themselves.
        pad_token_id: of the tokenizer, where the model's `config.json` says another.
        shape: fields of `config.json` as published, so that tables and plans need no network. A checkpoint that says
            otherwise is refused.
        distilled_from: the larger model that taught it; None where it was pretrained on text itself.
    """

    name: str
    summary: str
    reference: str
    model: Checkpoint | None = None
    tokenizer: Checkpoint | None = None
    weights: Weights = "pretrained"
    config: Mapping[str, Any] | None = None
    vocab_size: int | None = None
    random_seed: int = 0
    is_sandbox: bool = False
    tokenizer_class: TokenizerClass = "auto"
    pad_token_id: int | None = None
    shape: Mapping[str, Any] | None = None
    distilled_from: str | None = None

    @property
    def trains_tokenizer(self) -> bool:
        return self.tokenizer is None

    @property
    def source(self) -> str:
        """Where the checkpoint lies, for people."""
        return self.model.describe() if self.model is not None else "built in"

    def pinned(self, commit: Resolve) -> Backbone:
        """The same backbone with a commit for everything that lies on the Hub.

        Args:
            commit: (kind, repository, revision) → commit; `hub_lock.Resolver.commit`.

        Raises:
            HubError: if a revision cannot be resolved.
        """
        return replace(
            self,
            model=self.model and self.model.pinned(commit),
            tokenizer=self.tokenizer and self.tokenizer.pinned(commit),
        )

    def at_revision(self, revision: str) -> Backbone:
        """The same backbone at another revision on the Hub, not resolved yet.

        Raises:
            ConfigError: if it does not lie on the Hub.
        """
        model = self.model
        if not isinstance(model, HubModel):
            raise ConfigError(
                f"revision {revision!r} of backbone {self.name!r}: only what lies on the Hub has revisions, and this "
                f"backbone is {self.source}. Leave the revision out."
            )
        tokenizer = self.tokenizer
        if isinstance(tokenizer, HubModel) and tokenizer.repo == model.repo:
            tokenizer = replace(tokenizer, revision=revision, commit=None)
        return replace(self, model=replace(model, revision=revision, commit=None), tokenizer=tokenizer)

    @property
    def model_path(self) -> Path:
        """Folder with `config.json` and the weights, downloaded if need be; only where there is a checkpoint.

        Raises:
            DataError: if something of it is missing, it is not of the declared shape, or its files lead elsewhere.
        """
        folder = self._checkpoint.folder("weights")
        self._read_config(folder)
        return folder

    @property
    def tokenizer_path(self) -> Path:
        """Folder with the tokenizer's files, downloaded if need be; only where it is not trained.

        Raises:
            DataError: if the Hub's repository has none, or its files lead elsewhere (`detours`).
        """
        assert self.tokenizer is not None, f"{self.name} trains its tokenizer"
        folder = self.tokenizer.folder("tokenizer")
        self._refuse_detours(folder)
        return folder

    def config_fields(self) -> dict[str, Any]:
        """The model's configuration as in its `config.json` (for a trained tokenizer: at the largest vocabulary).

        The Hub's is downloaded; before its revision is resolved, these are the declared fields.

        Raises:
            DataError: if the checkpoint has no readable `config.json`, is not of the declared shape, or its files lead
                elsewhere (`detours`).
        """
        if self.config is not None:
            return {**self.config, "vocab_size": self.vocab_size}
        if self.shape is not None and isinstance(self.model, HubModel) and self.model.commit is None:
            return dict(self.shape)
        return self._read_config(self._checkpoint.folder("config"))

    @property
    def config_overrides(self) -> dict[str, Any]:
        """What to put into the model's configuration when it is loaded, in place of what `config.json` says."""
        # It is the embedding's padding_idx, whose row gets no gradient: with a wrong id, that of a token that occurs.
        return {} if self.pad_token_id is None else {"pad_token_id": self.pad_token_id}

    def known_fields(self) -> dict[str, Any]:
        """`config_overrides` on top of the declared fields or, where none are declared, of `config_fields`.

        Nothing is downloaded for a published backbone.

        Raises:
            DataError: if a field is missing that says how large the encoder is, or as `config_fields`.
        """
        fields = dict(self.shape) if self.shape is not None else self.config_fields()
        fields = {**_DEFAULTS.get(architecture_of(fields), {}), **fields, **self.config_overrides}
        missing = [name for name in SHAPE_FIELDS if not isinstance(fields.get(name), int)]
        if missing:
            raise DataError(f"backbone {self.name!r}: the configuration of {self.source} lacks {', '.join(missing)}")
        return fields

    @property
    def architecture(self) -> str:
        """The `model_type` in transformers: "xlm-roberta", "roberta", "bert", or one that is not supported."""
        return architecture_of(self.shape if self.shape is not None else self.config_fields())

    @property
    def norm(self) -> Literal["pre-LN", "post-LN"]:
        """Where a layer normalises: before each block (XLM-R XL; Goyal et al. 2021, section 2) or after it."""
        return "pre-LN" if self.architecture == "xlm-roberta-xl" else "post-LN"

    def unsupported_reason(self) -> str | None:
        """Why this backbone cannot be loaded; None where it can."""
        if self.architecture in SUPPORTED_ARCHITECTURES:
            return None
        return (
            f"backbone {self.name!r} has architecture {self.architecture!r}, for which there is no model class with "
            f"adapters and heads here; supported: {', '.join(SUPPORTED_ARCHITECTURES)}"
        )

    @property
    def max_length(self) -> int:
        """Longest row in tokens. RoBERTa's kin count positions from the padding id + 1 (the rows before are unused)."""
        fields = self.known_fields()
        unused = 0 if self.architecture == "bert" else int(fields["pad_token_id"]) + 1
        return int(fields["max_position_embeddings"]) - unused

    def parameters(self) -> ParameterCounts:
        """Parameters of the encoder, from its configuration."""
        return count_parameters(self.known_fields())

    def digest(self, texts_digest: str | None = None) -> str:
        """SHA-256 of everything that makes this backbone what it is: weights, configuration, tokenizer.

        What lies in folders counts with its content, wherever it lies; what lies on the Hub with its commit.

        Args:
            texts_digest: of the text that a trained tokenizer is trained on; needed there, not used elsewhere.
        """
        content: dict[str, Any] = {"weights": self.weights}
        if self.config is not None:
            content["config"] = {**self.config, "vocab_size": self.vocab_size}
        else:
            content["config"] = self._checkpoint.identity("config")
        if self.weights == "random":
            content["random_seed"] = self.random_seed
        else:
            content["model"] = self._checkpoint.identity("weights")
        if self.tokenizer is not None:
            content["tokenizer"] = self.tokenizer.identity("tokenizer")
        else:
            assert texts_digest is not None, f"{self.name} trains its tokenizer on texts"
            content["tokenizer"] = {"texts": texts_digest, "vocab_size": self.vocab_size}
        # Only where they say something, so that run ids of earlier versions stay.
        if self.config_overrides:
            content["config_overrides"] = self.config_overrides
        if self.tokenizer_class != "auto":
            content["tokenizer_class"] = self.tokenizer_class
        return digest(content)

    def as_json(self) -> dict[str, Any]:
        """Every field as JSON, to be recorded in a run."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("model", "tokenizer"):
            values[name] = values[name] and checkpoint_json(values[name])
        for name in ("config", "shape"):
            values[name] = values[name] and dict(values[name])
        return values

    @property
    def _checkpoint(self) -> Checkpoint:
        assert self.model is not None, f"{self.name} has no checkpoint"
        return self.model

    def _read_config(self, folder: Path) -> dict[str, Any]:
        """The folder's configuration, if it is of the declared shape and nothing beside it leads elsewhere."""
        try:
            fields = read_config(folder)
        except DataError as error:
            raise DataError(f"backbone {self.name!r}: {error}") from None
        self._refuse_detours(folder)
        architecture = architecture_of(fields)
        said = {**_DEFAULTS.get(architecture, {}), **fields, "model_type": architecture}
        wrong = [
            f"{name} is {said[name]!r}, not {value!r}"
            for name, value in (self.shape or {}).items()
            if name in said and said[name] != value
        ]
        if wrong:
            raise DataError(
                f"backbone {self.name!r} is declared with another shape than the config.json of {self.source} has: "
                f"{'; '.join(wrong)}. Choose the published revision, or use it as an encoder of your own."
            )
        return {**fields, "model_type": architecture}

    def _refuse_detours(self, folder: Path) -> None:
        try:
            refuse_detours(folder)
        except DataError as error:
            raise DataError(f"backbone {self.name!r}: {error}") from None


def backbone_from_json(value: Mapping[str, Any]) -> Backbone:
    """The backbone that `Backbone.as_json` wrote down.

    Raises:
        DataError: if it did not.
    """
    try:
        places = {name: value[name] and checkpoint_from_json(value[name]) for name in ("model", "tokenizer")}
        return Backbone(**{**value, **places})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"a recorded backbone cannot be read: {type(error).__name__}: {error}") from None


def architecture_of(fields: Mapping[str, Any]) -> str:
    """The `model_type` that the fields of a `config.json` mean."""
    classes = fields.get("architectures")
    # An earlier config.json of facebook/xlm-roberta-xxl has model_type "xlm-roberta" for XLMRobertaXLForMaskedLM.
    if isinstance(classes, list) and any(str(name).startswith("XLMRobertaXL") for name in classes):
        return "xlm-roberta-xl"
    return str(fields.get("model_type"))
