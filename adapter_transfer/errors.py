"""The errors that users see. Each carries the exit code that the CLI ends with.

Raise one of these for anything a person can mend; `assert` is for our own impossibilities.
"""

from __future__ import annotations

from collections.abc import Iterable


class AdapterTransferError(Exception):
    """Base of every error with a message meant for the user."""

    exit_code = 1


class ConfigError(AdapterTransferError, ValueError):
    """A configuration, an option or a name is wrong. Holds every problem found, not only the first.

    A `ValueError` too, so that a pydantic validator may raise it and the problem keeps its line.
    """

    exit_code = 2

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class UnknownNameError(ConfigError):
    """A name is not in its registry; the message lists the choices and the nearest one."""


class ImpossibleError(ConfigError):
    """A combination that cannot be run (the message says why and what works instead)."""


class StoreError(AdapterTransferError):
    """The store cannot be read or written, is locked, damaged, or of a newer version."""

    exit_code = 3


class DataError(AdapterTransferError):
    """Data or a checkpoint is missing, damaged or of the wrong kind."""

    exit_code = 4


class RunFailedError(AdapterTransferError):
    """One or more runs of an experiment failed; the others were finished and kept."""

    exit_code = 5


class DeviceError(AdapterTransferError):
    """The device that was asked for cannot be used."""

    exit_code = 6
