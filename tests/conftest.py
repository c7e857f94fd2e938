"""What every test stands on: offline, one thread, a cache of its own, and no setting of the person who runs it.

The environment is set when this file is imported, so before any library that reads it.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from loopback_hub import LoopbackHub

ROOT = Path(__file__).resolve().parent.parent

# What several test files stand on (`loopback_hub`, `hub_content`): pytest's importlib mode puts no folder on the path.
sys.path.append(str(ROOT / "tests"))

_CACHE = tempfile.TemporaryDirectory(prefix="adapter-transfer-tests-")  # lives as long as the process
os.environ.update(
    HF_HOME=_CACHE.name,
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
    # Results are bit-identical at one thread count only, and pytest-xdist already fills the cores.
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
)
for _name in ("HF_ENDPOINT", "HF_TOKEN", "FORCE_COLOR", "PYTHONPATH"):
    os.environ.pop(_name, None)


# A shell that starts tests in the background (`make test &`, some CI) leaves SIGINT ignored, and children inherit that:
# a program of ours that is sent a Ctrl-C would rightly not feel it. An interactive shell does not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs an NVIDIA GPU that torch can use")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """A test that changed torch's thread count leaves no trace; tests that need no torch do not load it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The published data sets that lie beside the repository; the test skips where they do not."""
    for folder in (ROOT.parent / "shared" / "data", ROOT / "shared" / "data"):
        if folder.is_dir():
            return folder
    pytest.skip("the published data (../shared/data) is not here")


@pytest.fixture
def loopback_hub() -> Iterator[LoopbackHub]:
    """An empty Hub on 127.0.0.1; `environment` points a subprocess at it, `use` this process."""
    from loopback_hub import LoopbackHub

    with LoopbackHub() as hub:
        yield hub


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with a small encoder of a kind of `small_encoders`; made once, to be copied by who changes it."""
    from small_encoders import ENCODERS

    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = ENCODERS[kind](tmp_path_factory.mktemp("encoder") / kind)
        return made[kind]

    return folder
