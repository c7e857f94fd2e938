"""From what a person names (a run, a folder, a name on the Hub) to a predictor."""

from __future__ import annotations

from pathlib import Path

from adapter_transfer.backbones.zoo import Precision
from adapter_transfer.durable import MANIFEST_NAME
from adapter_transfer.errors import ConfigError
from adapter_transfer.experiments.pulling import adapters_dir
from adapter_transfer.experiments.store import Store
from adapter_transfer.experiments.stored_runs import find_run
from adapter_transfer.prediction.from_packages import PackageChoice, load_package
from adapter_transfer.prediction.from_runs import load_run
from adapter_transfer.prediction.predictor import Predictor
from adapter_transfer.sharing.pull import PACKAGE_DIR, pull
from adapter_transfer.sharing.sources import RunPrefix, parse_source
from adapter_transfer.training.settings import DeviceRequest

DEFAULT_STORE = Path("runs")


def load(
    source: str | Path,
    *,
    store: str | Path = DEFAULT_STORE,
    seed: int | None = None,
    backbone: str | None = None,
    device: DeviceRequest = "auto",
    precision: Precision | None = None,
    token_budget: int | None = None,
) -> Predictor:
    """A predictor of what was trained.

    Args:
        source: the id of a run in the store or its beginning (a target run, an intermediate run, or an evaluation,
            which stands for the run that it evaluates); a folder with adapters, ours or of plain adapters (a `Path`, or
            a text such as `./my-adapter`); or a name on the Hub, `hub:organisation/name@revision`.
        store: folder of the store: where runs lie, and where adapters from the Hub are kept.
        seed: which of a package with several; None takes the lowest. A run has its own.
        backbone: for adapters whose files do not tell where their encoder is found: a name of the zoo, a folder or a
            Hub id. It has to fit.
        device: "auto" takes an NVIDIA card where there is one.
        precision: of the backbone's weights, for adapters from a folder or the Hub; None takes that of training.
        token_budget: padded tokens in a batch; less needs less memory.

    Raises:
        ConfigError: if the source, the seed, the backbone or a setting is none that there is, or what was trained
            answers no choices.
        DataError: if files are missing, damaged, unsafe or do not fit the backbone.
        StoreError: if the store cannot be read.
        HubError: if something has to be fetched and cannot.
        DeviceError: if the device or the precision cannot be had.
    """
    store = Path(store)
    named = parse_source(source)
    if isinstance(named, RunPrefix):
        return _load_run(named, store, seed, backbone, device, precision, token_budget)
    if isinstance(named, Path):
        _require_package(named)
        folder, name = named, named.resolve().name
    else:
        Store.open(store)  # before anything lies in its folder
        pulled = pull(named, adapters_dir(store))
        folder, name = pulled.folder, str(pulled.reference)
    choice = PackageChoice(seed, backbone, precision)
    prepared_dir = store / "cache" / "backbones"
    return load_package(folder, name, choice, device=device, token_budget=token_budget, prepared_dir=prepared_dir)


def _load_run(
    named: RunPrefix,
    store: Path,
    seed: int | None,
    backbone: str | None,
    device: DeviceRequest,
    precision: Precision | None,
    token_budget: int | None,
) -> Predictor:
    opened = Store.open(store, create=False)
    predictor = load_run(opened, find_run(opened, named.text), device=device, token_budget=token_budget)
    own = {"seed": predictor.seed, "precision": predictor.precision}
    asked = {"seed": seed, "precision": precision}
    problems = [
        f"{name} {asked[name]} was asked for, and {predictor.name} was trained with {name} {own[name]}; leave it out"
        for name in own
        if asked[name] not in (None, own[name])
    ]
    if backbone is not None:
        problems.append(f"{predictor.name} names its backbone itself, {predictor.backbone!r}; leave the other one out")
    if problems:
        raise ConfigError(problems)
    return predictor


def _require_package(folder: Path) -> None:
    """Tells what a folder is that is no package, where that can be guessed.

    Raises:
        ConfigError: if it is a run's or of an adapter that was pulled.
    """
    if (folder / "run.json").is_file():
        raise ConfigError(f"{str(folder)!r} is the folder of a run: give its id, {folder.resolve().name}, and --store.")
    if (folder / PACKAGE_DIR / "adapter_config.json").is_file() or (folder / PACKAGE_DIR / MANIFEST_NAME).is_file():
        raise ConfigError(f"{str(folder)!r} was pulled from the Hub: give {str(folder / PACKAGE_DIR)!r}, or its name.")
