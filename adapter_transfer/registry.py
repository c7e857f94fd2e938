"""A named collection of declarations that knows how to say which name was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from adapter_transfer.errors import UnknownNameError


class Named(Protocol):
    """Anything with a `name`."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


def _name(entry: Named) -> str:
    return entry.name


class Registry(Mapping[str, T], Generic[T]):
    """An ordered mapping from name to declaration, fixed when it is made.

    Args:
        kind: what an entry is, in the singular ("task"); used in messages.
        entries: the declarations, in the order in which they are listed to people.
        key: what an entry is looked up by, where that is not its name.
        derive: makes the entry of a name that is not declared, given the declared ones; None where it knows no such
            name either, an `UnknownNameError` of its own where it can say more. Whatever lists entries lists declared
            ones only.

    Raises:
        ValueError: if two entries share a name.
    """

    def __init__(
        self,
        kind: str,
        entries: Iterable[T],
        key: Callable[[T], str] = _name,
        derive: Callable[[str, Mapping[str, T]], T | None] | None = None,
    ) -> None:
        self.kind = kind
        self._derive = derive
        self._derived: dict[str, T] = {}
        self._entries: dict[str, T] = {}
        for entry in entries:
            if key(entry) in self._entries:
                raise ValueError(f"two {kind} entries are named {key(entry)!r}")
            self._entries[key(entry)] = entry

    def __getitem__(self, name: str) -> T:
        """The entry called `name`.

        Raises:
            UnknownNameError: listing the names there are, the nearest first.
        """
        if name in self._entries:
            return self._entries[name]
        if name not in self._derived:
            made = self._derive(name, self._entries) if self._derive is not None else None
            if made is None:
                raise UnknownNameError(unknown_name_message(self.kind, name, self._entries))
            self._derived[name] = made
        return self._derived[name]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self[name]
        except UnknownNameError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def unknown_name_message(kind: str, name: str, choices: Iterable[str]) -> str:
    """One line that says that `name` is no `kind`, what was probably meant, and what there is."""
    known = list(choices)
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}."
