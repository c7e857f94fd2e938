"""`adapter_setup.json`: how several adapters that plain adapters saved act together. No torch.

It holds a tree of the library's composition blocks. What can be used of it: a stack of adapters, a sum of them (an
average whose weights make it one), a fusion, and one adapter on a fusion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adapter_transfer.errors import DataError
from adapter_transfer.methods.catalog import METHODS
from adapter_transfer.sharing.package import FUSION_FILES
from adapter_transfer.sharing.references import is_safe_name

SETUP_FILE = "adapter_setup.json"

_SUPPORTED = (
    'supported are Stack("i", "t"), Fuse("a", "b") and Stack(Fuse("a", "b"), "t"), and for what adds up '
    '(method lora) Average("i", "t", weights=[2.0, 2.0], normalize_weights=False)'
)
_MAX_ADAPTERS = 32


@dataclass(frozen=True)
class Setup:
    """How adapters act together.

    Attributes:
        adapters: names, which are folders, too; lowest first.
        combines: None for one adapter.
        fuses_all: of a fusion, whether no adapter stands on top of it.
        head: folder of the head that the setup names; None where it names none.
    """

    adapters: tuple[str, ...]
    combines: Literal["stack", "sum", "fuse"] | None
    fuses_all: bool = False
    head: str | None = None

    def require_possible(self, folder: Path, method_name: str) -> None:
        """Refuses what the library would compute, and compute wrongly.

        Raises:
            DataError: with the reason.
        """
        method = METHODS[method_name]
        if self.combines == "fuse" and not method.is_fusible:
            fusible = ", ".join(each.name for each in METHODS.values() if each.is_fusible)
            raise DataError(f"{folder}: adapters of method {method_name!r} cannot be fused; fusible: {fusible}")
        if self.combines in ("stack", "sum") and self.combines not in method.compositions:
            raise DataError(
                f"{folder}: {method.refusals[self.combines]}. Works with {method_name!r}: "
                f"{', '.join(method.compositions)}."
            )

    def require_fusion(self, folder: Path, read: Callable[[Path], Mapping[str, Any]]) -> str | None:
        """The folder of the fusion layer, if there is one, made for these adapters.

        Raises:
            DataError: if it is missing or of other adapters.
        """
        if self.combines != "fuse":
            return None
        fused = self.adapters if self.fuses_all else self.adapters[:-1]
        name = ",".join(fused)  # where the library puts it, and looks for it
        for file in FUSION_FILES:
            if not (folder / name / file).is_file():
                raise DataError(f"{folder}: {name}/{file} is missing, the fusion layer of its setup")
        if read(folder / name / FUSION_FILES[0]).get("adapter_names", list(fused)) != list(fused):
            raise DataError(f"{folder / name}: this fusion layer is not of {' and '.join(fused)}")
        return name


def read_setup(path: Path, content: Mapping[str, Any]) -> Setup:
    """The setup that a file holds.

    Raises:
        DataError: if it is damaged, or adapters act together in a way that is not supported.
    """
    kind, children = _block(path, content.get("adapter_setup"))
    while kind in ("Stack", "Average", "Fuse") and len(children) == 1:  # of one adapter, or around another block
        kind, children = _block(path, children[0])
    head = _head(path, content.get("head_setup"))
    if kind == "single":
        return Setup(_names(path, [{"type": kind, "children": children}]), None, head=head)
    if kind == "Fuse":
        return Setup(_names(path, children), "fuse", fuses_all=True, head=head)
    if kind == "Average":
        _require_sum(path, content["adapter_setup"], len(children))
        return Setup(_names(path, children), "sum", head=head)
    if kind != "Stack":
        raise DataError(f"{path}: {kind[:40]!r} is no way in which adapters act together here; {_SUPPORTED}.")
    lowest, inside = _block(path, children[0])
    if lowest == "Fuse" and len(inside) > 1 and len(children) == 2:
        return Setup(_names(path, [*inside, children[1]]), "fuse", head=head)
    return Setup(_names(path, children), "stack", head=head)


def _block(path: Path, node: object) -> tuple[str, list[Any]]:
    """Type and children of a block."""
    if not isinstance(node, Mapping):
        raise DataError(f"{path} is damaged: a part of its setup is no mapping")
    kind, children = node.get("type"), node.get("children")
    if not isinstance(kind, str) or not isinstance(children, list) or not 0 < len(children) <= _MAX_ADAPTERS:
        raise DataError(f"{path} is damaged: a part of its setup has no type, or not 1 to {_MAX_ADAPTERS} children")
    return kind, children


def _names(path: Path, nodes: list[Any]) -> tuple[str, ...]:
    """The names of blocks that have to be single adapters."""
    names = []
    for node in nodes:
        kind, children = _block(path, node)
        if kind != "single":
            raise DataError(f"{path}: its setup is nested in a way that is not supported; {_SUPPORTED}.")
        if len(children) != 1 or not is_safe_name(children[0]):
            raise DataError(
                f"{path}: {str(children)[:80]!r} is no name of an adapter: letters, digits, - and _, 64 at most"
            )
        names.append(str(children[0]))
    if len(set(names)) < len(names):
        raise DataError(f"{path}: an adapter occurs twice in its setup")
    return tuple(names)


def _require_sum(path: Path, node: Any, number: int) -> None:
    """Refuses an average that is none of adapters each taken as often as there are some, which is their sum."""
    while len(node["children"]) == 1:
        node = node["children"][0]
    arguments = node.get("kwargs")
    weights = arguments.get("weights") if isinstance(arguments, Mapping) else None
    if weights != [number] * number:
        raise DataError(f"{path}: an average of adapters is not supported, only their sum; {_SUPPORTED}.")


def _head(path: Path, value: object) -> str | None:
    """The one head that a setup names."""
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if value is None or value is False:
        return None
    if not is_safe_name(value):
        raise DataError(
            f"{path}: head_setup must be the name of one head, not {str(value)[:80]!r}. Save the setup with "
            "head_setup=<name>."
        )
    return str(value)
