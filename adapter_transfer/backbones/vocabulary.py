"""Which rows of an embedding table are kept when it is trimmed, and the ids that tokens have in it. No torch.

Trimming is exact. A row that no token asks for gets no gradient and changes nothing; the rows that stay keep their
order, so that sums over them are taken in the same order as before. `trimming` cuts the table itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from adapter_transfer.canonical import digest
from adapter_transfer.errors import DataError

_LAST_SPECIAL_ID = 3
_SHOWN_IDS = 5
_TOKENS_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class KeptTokens:
    """Ids of the full table whose rows stay, K of its V. Make one with `keep_tokens`.

    Attributes:
        ids: (K,) int64, sorted and distinct. All up to 3 and up to the padding id are among them: they keep their
            numbers, and positions are counted from the padding id.
        num_rows: V.
    """

    ids: npt.NDArray[np.int64]
    num_rows: int

    def __post_init__(self) -> None:
        assert len(self.ids) and (np.diff(self.ids) > 0).all(), "ids are sorted and distinct"
        assert self.ids[0] == 0 and self.ids[-1] < self.num_rows, "ids are rows of the table, from the first on"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_whole(self) -> bool:
        """Whether nothing would be cut."""
        return len(self.ids) == self.num_rows

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what is kept of how many."""
        content = np.ascontiguousarray(self.ids, dtype="<i8").tobytes()
        return digest([self.num_rows, hashlib.sha256(content).hexdigest()])

    @cached_property
    def _positions(self) -> npt.NDArray[np.int32]:
        positions = np.full(self.num_rows, -1, dtype=np.int32)
        positions[self.ids] = np.arange(len(self.ids), dtype=np.int32)
        return positions

    def covers(self, tokens: npt.NDArray[np.integer[Any]]) -> bool:
        """Whether every one of these ids is kept."""
        return not len(self._lost(tokens))

    def renumber(self, tokens: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int32]:
        """The ids that these tokens have in the trimmed table, in the shape of `tokens`.

        Raises:
            DataError: if one of them is not kept; never is the row of another token taken.
        """
        lost = self._lost(tokens)
        if len(lost):
            shown = ", ".join(map(str, lost[:_SHOWN_IDS])) + (" …" if len(lost) > _SHOWN_IDS else "")
            raise DataError(
                f"{len(lost)} tokens are not among the {len(self):,} that were kept of {self.num_rows:,} (ids {shown})"
            )
        positions: npt.NDArray[np.int32] = self._positions[tokens]
        return positions

    def as_json(self) -> dict[str, Any]:
        """Ids, size of the table and digest, to be written down."""
        return {"num_rows": self.num_rows, "ids": self.ids.tolist(), "digest": self.digest}

    def _lost(self, tokens: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.integer[Any]]:
        """The distinct ids that are not kept, those that the table never had included."""
        flat = tokens.reshape(-1)
        # Piece by piece, and marked rather than sorted: a large data set has fifty million tokens.
        is_there = np.zeros(self.num_rows, dtype=bool)
        foreign = [np.zeros(0, dtype=tokens.dtype)]
        for start in range(0, len(flat), _TOKENS_AT_ONCE):
            piece = flat[start : start + _TOKENS_AT_ONCE]
            known = (piece >= 0) & (piece < self.num_rows)
            is_there[piece if known.all() else piece[known]] = True
            foreign.append(np.unique(piece[~known]))
        dropped = np.flatnonzero(is_there & (self._positions < 0)).astype(tokens.dtype)
        return np.unique(np.concatenate([*foreign, dropped]))


def keep_tokens(tokens: npt.NDArray[np.integer[Any]], *, num_rows: int, padding_id: int) -> KeptTokens:
    """What to keep so that these tokens, in any order and number, have their rows.

    Args:
        num_rows: of the full table.
        padding_id: of the model, from which RoBERTa's kin count positions.

    Raises:
        DataError: if a token has no row in the full table.
    """
    ids = np.union1d(np.arange(max(_LAST_SPECIAL_ID, padding_id) + 1), tokens).astype(np.int64)
    if ids[0] < 0 or ids[-1] >= num_rows:
        wrong = int(ids[0] if ids[0] < 0 else ids[-1])
        raise DataError(f"token {wrong} has no row in an embedding table of {num_rows:,} rows")
    return KeptTokens(ids, num_rows)


def kept_from_json(value: Mapping[str, Any]) -> KeptTokens:
    """What `KeptTokens.as_json` wrote down.

    Raises:
        DataError: if it is not as it was written.
    """
    try:
        kept = KeptTokens(np.array(value["ids"], dtype=np.int64), int(value["num_rows"]))
        intact = kept.digest == value["digest"]
    except (KeyError, TypeError, ValueError, OverflowError, AssertionError):
        intact = False
    if not intact:
        raise DataError("a list of kept tokens is not as it was written")
    return kept
