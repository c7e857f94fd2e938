"""How the library names an adapter's tensors: by containers that keep modules under the adapter's name. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterable

CONTAINERS = r"\w*adapters|loras|refts|prefix_tunings|prefix_gates|prompt_tunings|shared_parameters"
"""The containers, as a pattern of the part before the name: `….output.adapters.<name>.adapter_down.0.weight`."""


def without_name(key: str, name: str) -> str:
    """The library's name of a tensor with `*` in place of its adapter's name."""
    return re.sub(rf"\.({CONTAINERS})\.{re.escape(name)}\.", r".\1.*.", key)


def model_names(saved: Iterable[str], saved_name: str, own: Iterable[str]) -> dict[str, str]:
    """What the tensors of a file are called in a model with heads, `*` in place of the adapter's name.

    An adapter that was trained on an encoder alone lacks the encoder's place in such a model ("roberta.").

    Args:
        saved: names in the file.
        own: names of an adapter on the model.
    """
    saved = list(saved)
    place = next(iter(own), "").partition(".")[0] + "."
    missing = "" if any(key.startswith(place) for key in saved) else place
    return {key: without_name(missing + key, saved_name) for key in saved}
