"""Checkpoints of a training run: sealed directories `progress/step-00000123/`, of which the newest good one is used.

A checkpoint holds flat named tensors (what trains, the optimizer's moments, the best weights so far) and a JSON state
(position, schedule, streams). It is there whole or not at all, and it is checked before it is used: transformers'
Trainer resumes silently with other weights where a file is missing. What the names mean is the loop's matter, except
for an optimizer's, which are made and read here.

Its functions are for who holds the lease of the run.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from adapter_transfer import durable
from adapter_transfer.canonical import canonical_json
from adapter_transfer.durable import JSONObject, storage_errors
from adapter_transfer.errors import StoreError

TENSORS_NAME = "tensors.safetensors"
STATE_NAME = "state.json"
_DIRECTORY = re.compile(r"step-(\d{8,})")

# Options of a parameter group that choose a kernel and no result of their own: they belong to the device at hand.
_IMPLEMENTATION_OPTIONS = frozenset({"params", "foreach", "fused", "capturable", "differentiable"})

Place = Callable[[torch.optim.Optimizer, torch.Tensor, str, torch.Tensor], torch.Tensor]
"""(optimizer, parameter, key of its state, what is stored) → a copy, where the optimizer keeps it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint, read back.

    Attributes:
        step: optimizer steps done.
        tensors: by flat name, on the CPU.
        state: what was given as `state`.
    """

    step: int
    tensors: dict[str, torch.Tensor]
    state: JSONObject


def save_checkpoint(
    progress_dir: Path,
    step: int,
    *,
    tensors: Mapping[str, torch.Tensor],
    state: Mapping[str, object],
    keep: int = 2,
) -> Path:
    """Writes a checkpoint, publishes it by rename and returns its directory.

    Older ones than the `keep` newest are removed, and so is every one of a later step: training has gone back behind
    it because it was refused, and counting it among the newest would throw away the good ones.

    Args:
        progress_dir: the run's `progress/`; it is made if it is not there.
        step: optimizer steps done, at least 0.
        tensors: any shapes, strides and devices; several names may share one storage (each gets a copy of its own).
        state: JSON values; floats come back exactly.
        keep: how many checkpoints there are to be, this one included; at least 1.

    Raises:
        TypeError, ValueError: if `state` holds what JSON does not (NaN, infinities, objects).
        StoreError: if it cannot be written; the checkpoints before it are untouched.
    """
    assert step >= 0, step
    assert keep >= 1, keep
    final = progress_dir / f"step-{step:08d}"
    temporary = durable.temporary_path(final)
    try:
        with storage_errors("write the checkpoint", final):
            temporary.mkdir(parents=True)
            try:
                safetensors.torch.save_file(_savable(tensors), temporary / TENSORS_NAME)
            except SafetensorError as error:  # safetensors reports a full disk as one of these, as text only
                raise StoreError(
                    f"cannot write the checkpoint {final}: {error}. Check the free space there; the checkpoints "
                    "before it are untouched."
                ) from error
        durable.write_json_atomic(temporary / STATE_NAME, dict(state))
        durable.seal(temporary, step=step)
        durable.replace_directory(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # still there only if something failed
    earlier = [directory for number, directory in _checkpoints(progress_dir) if number <= step]
    for _, directory in _checkpoints(progress_dir):
        if directory not in earlier[:keep]:
            durable.remove_directory(directory)
    return final


def load_latest(progress_dir: Path, *, expected_tensors: Collection[str] | None = None) -> Checkpoint | None:
    """The newest good checkpoint, or None if there is none.

    One that lacks a part, or whose digests disagree, is refused with a logged warning and the one before it is used.

    Args:
        progress_dir: the run's `progress/`; it need not be there. What killed writers left in it is removed.
        expected_tensors: names that a checkpoint has to hold to be good; None asks for none.

    Raises:
        StoreError: if the folder itself cannot be read.
    """
    if not progress_dir.exists():
        return None
    durable.sweep(progress_dir)
    for step, directory in _checkpoints(progress_dir):
        try:
            return _load(directory, step, expected_tensors or ())
        except StoreError as error:
            logger.warning("checkpoint %s is refused, the one before it is looked at: %s", directory.name, error)
    return None


def flatten_optimizer(optimizer: torch.optim.Optimizer, names: list[str]) -> tuple[dict[str, torch.Tensor], JSONObject]:
    """An optimizer's state by parameter name: tensors called `optimizer/<parameter>/<key>`, and the rest as JSON.

    The tensors are the optimizer's own, not copies.

    Args:
        optimizer: any whose state is tensors and JSON values by parameter, such as AdamW.
        names: the parameters' names, in the order of the optimizer's groups.

    Raises:
        TypeError: if the state holds something that is neither a tensor nor a JSON value.
    """
    tensors: dict[str, torch.Tensor] = {}
    parameters: JSONObject = {}
    groups: list[JSONObject] = []
    for group, named in _named_groups(optimizer, names):
        options = {key: value for key, value in group.items() if key not in _IMPLEMENTATION_OPTIONS}
        groups.append({"parameters": list(named), "options": _plain(options, "parameter group")})
        for name, parameter in named.items():
            state = optimizer.state.get(parameter, {})
            moments = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
            rest = {key: value for key, value in state.items() if key not in moments}
            tensors.update({_tensor_name(name, key): value for key, value in moments.items()})
            parameters[name] = {
                "shape": list(parameter.shape),
                "tensors": {key: str(value.dtype) for key, value in moments.items()},
                "scalars": _plain(rest, name),
            }
    return tensors, {"type": type(optimizer).__name__, "parameters": parameters, "groups": groups}


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    names: list[str],
    tensors: Mapping[str, torch.Tensor],
    scalars: Mapping[str, object],
    place: Place | None = None,
) -> None:
    """Puts back what `flatten_optimizer` gave, by parameter name and with the dtypes as they were.

    `Optimizer.load_state_dict` is not used: it goes by position, and casts the moments to the parameter's dtype.
    Options that only choose a kernel (fused, foreach) stay as the optimizer has them.

    Args:
        optimizer: a fresh one of the same kind, over the same parameters in the same groups (in any order).
        names: its parameters' names, in the order of its groups.
        tensors: may hold more than the optimizer's; each is copied.
        scalars: the JSON part.
        place: puts a piece of a parameter's state where this optimizer keeps it; None puts all beside the parameter.

    Raises:
        StoreError: naming every piece that is missing or does not fit; the optimizer is then as it was.
    """
    try:
        problems = _misfits(optimizer, names, tensors, scalars)
    except (KeyError, TypeError, AttributeError) as error:
        problems = [f"the optimizer's state is not in the form this program writes ({type(error).__name__}: {error})"]
    if problems:
        raise StoreError(
            f"the optimizer cannot be restored: {'; '.join(problems)}. "
            "Remove the run's progress folder to start it from the beginning."
        )
    content: JSONObject = dict(scalars)
    for group, named in _named_groups(optimizer, names):
        options = _options_of(content, named) or {}
        group.update({key: _like(group.get(key), value) for key, value in options.items()})
        for name, parameter in named.items():
            entry = content["parameters"][name]
            state = dict(entry["scalars"])
            for key in entry["tensors"]:
                state[key] = (place or _place)(optimizer, parameter, key, tensors[_tensor_name(name, key)])
            if state:
                optimizer.state[parameter] = state
            else:
                optimizer.state.pop(parameter, None)


def _checkpoints(progress_dir: Path) -> list[tuple[int, Path]]:
    """Step and directory of every checkpoint, good or not, the newest first."""
    with storage_errors("list the checkpoints of", progress_dir):
        found = [(match, path) for path in progress_dir.iterdir() if (match := _DIRECTORY.fullmatch(path.name))]
        return sorted(((int(match[1]), path) for match, path in found if path.is_dir()), reverse=True)


def _load(directory: Path, step: int, expected_tensors: Collection[str]) -> Checkpoint:
    manifest = durable.verify(directory)
    if manifest.extra.get("step") != step:
        raise StoreError(f"its manifest is of step {manifest.extra.get('step')}")
    absent = sorted({TENSORS_NAME, STATE_NAME} - manifest.files.keys())
    if absent:
        raise StoreError(f"it lacks {', '.join(absent)}")
    state = durable.read_json(directory / STATE_NAME)
    try:
        tensors = safetensors.torch.load_file(directory / TENSORS_NAME, device="cpu")
    except SafetensorError as error:
        raise StoreError(f"{TENSORS_NAME} cannot be read: {error}") from error
    absent = sorted(set(expected_tensors) - tensors.keys())
    if absent:
        raise StoreError(f"it lacks {len(absent)} tensors that are needed: {', '.join(absent[:5])}")
    return Checkpoint(step=step, tensors=tensors, state=state)


def _savable(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors as safetensors takes them: on the CPU, contiguous, no two in one storage; copied if need be."""
    savable: dict[str, torch.Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        if plain.untyped_storage().data_ptr() in storages:
            plain = plain.clone()
        storages.add(plain.untyped_storage().data_ptr())
        savable[name] = plain
    return savable


def _named_groups(
    optimizer: torch.optim.Optimizer, names: list[str]
) -> Iterator[tuple[JSONObject, dict[str, torch.Tensor]]]:
    """Each parameter group with its parameters by name."""
    count = sum(len(group["params"]) for group in optimizer.param_groups)
    assert len(set(names)) == len(names) == count, f"{len(names)} names for {count} parameters, or one name twice"
    remaining = iter(names)
    for group in optimizer.param_groups:
        # The groups are the shorter side of this zip and come first, so that no name is drawn in vain.
        yield group, {name: parameter for parameter, name in zip(group["params"], remaining, strict=False)}


def _place(_: object, parameter: torch.Tensor, __: object, tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to(parameter.device, copy=True)


def _tensor_name(parameter: str, key: str) -> str:
    return f"optimizer/{parameter}/{key}"  # a module's own names have dots, never a slash


def _plain(values: Mapping[str, object], where: str) -> JSONObject:
    """A copy of plain values as JSON gives them back (tuples become lists)."""
    try:
        return durable.parse_json(canonical_json(dict(values)), Path(where))
    except TypeError as error:
        raise TypeError(f"the optimizer's state of {where} is neither tensor nor JSON: {error}") from error


def _misfits(
    optimizer: torch.optim.Optimizer,
    names: list[str],
    tensors: Mapping[str, torch.Tensor],
    scalars: Mapping[str, object],
) -> list[str]:
    """Everything that keeps `scalars` and `tensors` from being this optimizer's state."""
    content: JSONObject = dict(scalars)
    if content["type"] != type(optimizer).__name__:
        return [f"the state is of {content['type']}, the optimizer is {type(optimizer).__name__}"]
    problems = [f"{name} is in the state but not in the optimizer" for name in content["parameters"].keys() - {*names}]
    for group, named in _named_groups(optimizer, names):
        for name, parameter in named.items():
            if name not in content["parameters"]:
                problems.append(f"{name} has no state")
                continue
            entry = content["parameters"][name]
            if entry["shape"] != list(parameter.shape):
                problems.append(f"{name} had shape {entry['shape']}, now it has {list(parameter.shape)}")
            for key, dtype in entry["tensors"].items():
                tensor = tensors.get(_tensor_name(name, key))
                if tensor is None:
                    problems.append(f"{_tensor_name(name, key)} is missing")
                elif str(tensor.dtype) != dtype:
                    problems.append(f"{_tensor_name(name, key)} is {tensor.dtype}, it was {dtype}")
        options = _options_of(content, named)
        if options is None:
            problems.append(f"no group of the state has just the parameters {', '.join(list(named)[:3])} …")
        else:
            missing = sorted(group.keys() - _IMPLEMENTATION_OPTIONS - options.keys())
            problems += [f"option {key} of a parameter group is missing" for key in missing]
    return problems


def _options_of(content: JSONObject, named: Collection[str]) -> JSONObject | None:
    """The stored options of the group that has these parameters."""
    for group in content["groups"]:
        if set(group["parameters"]) == set(named):
            return dict(group["options"])
    return None


def _like(current: object, value: object) -> object:
    """JSON has no tuples; an option that is one in the optimizer (betas) becomes one again."""
    return tuple(value) if isinstance(current, tuple) and isinstance(value, list) else value
