"""Which versions and which machine computed a run: recorded with it, not part of its identity."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from adapter_transfer.experiments.runs import COMPUTATION_VERSION


def versions() -> dict[str, str]:
    """Of everything that computes."""
    packages = ("adapter-transfer", "torch", "transformers", "adapters", "accelerate", "tokenizers", "datasets")
    found = {package: version(package) for package in packages}
    with suppress(PackageNotFoundError):  # it has no build for every platform
        found["bitsandbytes"] = version("bitsandbytes")
    return {"computation": str(COMPUTATION_VERSION), "python": platform.python_version(), **found}


def machine(device: torch.device) -> dict[str, Any]:
    """What can change the last bits of a result without being part of its identity."""
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "device": device.type,
        "gpu": card,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "platform": platform.platform(),
    }
