"""A raw log in memory: three integer columns (user, item, time), and the outside id of each code.

At the end the codes are sorted by the bytes of their ids, so they do not depend on the order of rows, on
batches or on threads. Example: the users "b", "a", "b" are read as 0, 1, 0 and end as 1, 0, 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..raw.dump import Actions
from ..raw.ids import IdCoder, Int32

Int64 = NDArray[np.int64]
GROWTH = 1 << 22  # rows that a column grows by
PART = 1 << 20  # rows that are translated at once
Integer = TypeVar("Integer", np.int32, np.int64)


@dataclass(frozen=True)
class ActionLog:
    """R actions in source order: `user_ids[users[r]]` acted on `item_ids[items[r]]` at `timestamps[r]`."""

    users: Int32
    items: Int32
    timestamps: Int64
    user_ids: pl.Series
    item_ids: pl.Series

    def __len__(self) -> int:
        return len(self.users)


class Column(Generic[Integer]):
    """A column that grows in place: a large block of memory is lengthened without being copied."""

    def __init__(self, kind: type[Integer]) -> None:
        self._values: NDArray[Integer] = np.empty(0, kind)
        self._count = 0

    def extend(self, values: NDArray[Integer]) -> None:
        """Put `values` behind what is there."""
        end = self._count + len(values)
        if end > len(self._values):
            # Without the check numpy refuses to resize what may have a second owner; this array has none.
            self._values.resize(end + GROWTH, refcheck=False)
        self._values[self._count : end] = values
        self._count = end

    def whole(self) -> NDArray[Integer]:
        """The whole column; nothing may be added any more."""
        self._values.resize(self._count, refcheck=False)
        return self._values


def collect(batches: Iterable[Actions]) -> ActionLog:
    """Read all batches into one log."""
    user_coder, item_coder = IdCoder(), IdCoder()
    users, items, timestamps = Column(np.int32), Column(np.int32), Column(np.int64)
    for batch in batches:
        users.extend(user_coder.codes(batch.users))
        items.extend(item_coder.codes(batch.items))
        timestamps.extend(batch.timestamps)
    user_ids, user_ranks = user_coder.ordered()
    item_ids, item_ranks = item_coder.ordered()
    return ActionLog(
        _translated(users.whole(), user_ranks),
        _translated(items.whole(), item_ranks),
        timestamps.whole(),
        user_ids,
        item_ids,
    )


def _translated(codes: Int32, ranks: Int32) -> Int32:
    """Replace each code by its rank in place, block by block, so that no second column is held."""
    for start in range(0, len(codes), PART):
        codes[start : start + PART] = ranks[codes[start : start + PART]]
    return codes
