"""`adapter-transfer doctor`: is this installation sound, and what can this machine do?"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import typer

from adapter_transfer.errors import AdapterTransferError
from adapter_transfer.experiments.machine import available_cores
from adapter_transfer.experiments.opening import existing_store
from adapter_transfer_cli import options
from adapter_transfer_cli.output import console, print_json


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: adapter-transfer doctor")(doctor)


def doctor(
    store: options.StoreDir = options.STORE_DEFAULT, json: options.Json = False, debug: options.Debug = False
) -> None:
    """Check versions, device, precisions, store and shipped files; exits with 1 if something is wrong."""
    checks: dict[str, Callable[[], str]] = {
        "versions": _versions,
        "device": _device,
        "cpu": lambda: f"{available_cores()} cores",
        "store": lambda: _store(store),
        "sandbox": _sandbox,
    }
    found: list[dict[str, object]] = []
    for name, check in checks.items():
        try:
            found.append({"check": name, "ok": True, "detail": check()})
        except (AdapterTransferError, ImportError, OSError) as error:
            found.append({"check": name, "ok": False, "detail": str(error)})
    if json:
        print_json(found)
    else:
        for entry in found:
            mark = "ok " if entry["ok"] else "BAD"
            console().print(f"{mark}  {entry['check']}: {entry['detail']}", markup=False, soft_wrap=True)
    if not all(entry["ok"] for entry in found):
        raise typer.Exit(1)


def _versions() -> str:
    from adapter_transfer.experiments.provenance import versions

    return ", ".join(f"{package} {number}" for package, number in versions().items())


def _device() -> str:
    import torch

    from adapter_transfer.training.runtime import device_precisions, require_device

    require_device("auto")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no NVIDIA card; training runs on the CPU"
    return f"{device.type} ({name}), precisions {', '.join(device_precisions(device))}"


def _store(path: Path) -> str:
    store = existing_store(path)
    state = "will be made when it is needed" if store is None else f"holds {len(store.run_ids())} runs"
    nearest = next(folder for folder in (path, *path.resolve().parents) if folder.exists())
    free = shutil.disk_usage(nearest).free / 1e9
    return f"{path} {state}; {free:.0f} GB free"


def _sandbox() -> str:
    from adapter_transfer.errors import DataError
    from adapter_transfer.sandbox.files import verify_sandbox

    problems = verify_sandbox()
    if problems:
        raise DataError("; ".join(problems))
    return "all files are as recorded"
