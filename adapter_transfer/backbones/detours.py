"""What a checkpoint's files must not say: keys that have the library load something else than what identifies a run.

A backbone is identified by its configuration, weights and tokenizer at their published names (`checkpoints`), and is
used as an encoder with adapters and heads of ours. Each key here leads away from one of the two without a word.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapter_transfer.backbones.checkpoints import CONFIG_FILE, read_fields
from adapter_transfer.errors import DataError

_TOKENIZER_CONFIG = "tokenizer_config.json"
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Detour:
    """A key that is refused where its value means something.

    Attributes:
        file: where it is said.
        why: what it does, after "which".
        instead: what to do, a sentence.
    """

    file: str
    key: str
    why: str
    instead: str


_NAMED_FILE = "reads a file that is not looked at when a run is identified"

DETOURS: tuple[Detour, ...] = (
    Detour(
        CONFIG_FILE,
        "transformers_weights",
        _NAMED_FILE,
        "Call the weights model.safetensors and remove the key.",
    ),
    Detour(
        CONFIG_FILE,
        "configuration_files",
        _NAMED_FILE,
        "Make the one that is meant the config.json.",
    ),
    Detour(
        CONFIG_FILE,
        "quantization_config",
        "makes the weights quantized ones, whatever precision is asked for",
        "Bring the checkpoint before it was quantized, with precision int8 or nf4.",
    ),
    Detour(
        CONFIG_FILE,
        "is_decoder",
        "hides from a token all that follow it, and a head reads the first token",
        "Bring an encoder, or remove the key if it is one.",
    ),
    Detour(
        CONFIG_FILE,
        "add_cross_attention",
        "is for decoders and adds layers that nothing here feeds",
        "Bring an encoder, or remove the key if it is one.",
    ),
    Detour(
        CONFIG_FILE,
        "adapters",
        "adds its adapters with random weights",
        "Bring the encoder that they were trained on.",
    ),
    Detour(
        CONFIG_FILE,
        "auto_map",
        "is for code that comes with the checkpoint, and none is run here",
        "Bring an encoder without code of its own, or remove the key if the library's class is meant.",
    ),
    Detour(
        _TOKENIZER_CONFIG,
        "auto_map",
        "is for code that comes with the tokenizer, and none is run here",
        "Bring one without code of its own, or remove the key if tokenizer.json has it all.",
    ),
    Detour(
        _TOKENIZER_CONFIG,
        "fast_tokenizer_files",
        _NAMED_FILE,
        "Make the one that is meant the tokenizer.json and remove the key.",
    ),
    *(
        Detour(_TOKENIZER_CONFIG, key, _NAMED_FILE, f"Put it beside this one as {name} and remove the key.")
        for key, name in (
            ("tokenizer_file", "tokenizer.json"),
            ("vocab_file", "the vocabulary"),
            ("merges_file", "merges.txt"),
        )
    ),
)


def refuse_detours(folder: Path) -> None:
    """Looks at those of a checkpoint's files that are in `folder`.

    Raises:
        DataError: naming every file and key that leads elsewhere, why, and what to do; or if a file cannot be read.
    """
    told = []
    for file in (CONFIG_FILE, _TOKENIZER_CONFIG):
        fields = read_fields(folder / file) if (folder / file).is_file() else {}
        for detour in DETOURS:
            if detour.file == file and _leads_away(value := fields.get(detour.key)):
                shown = json.dumps(value)[:_SHOWN_CHARACTERS]
                told.append(f"{folder / file} says {detour.key} {shown}, which {detour.why}. {detour.instead}")
    if told:
        raise DataError(" ".join(told))


def _leads_away(value: object) -> bool:
    """False where there is nothing to say: the adapters library writes {"adapters": {}, …} into every encoder."""
    return bool(value["adapters"] if isinstance(value, Mapping) and "adapters" in value else value)
