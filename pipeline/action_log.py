"""A raw log in memory: three integer columns, and the outside ids that their codes stand for.

Ids become codes batch by batch, so no column of text is ever held whole. Codes are put into the order of the
ids' bytes at the end: they do not depend on the order of rows, on batches or on threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from .raw.source import Actions

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
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


class IdCoder:
    """Gives each distinct id a code, 0 for the first, the same in every batch."""

    def __init__(self) -> None:
        self._type = pl.Categorical(pl.Categories.random())
        self._alive = pl.Series([], dtype=self._type)  # Polars forgets codes that no series uses
        self._ids: list[pl.Series] = []
        self._count = 0

    def codes(self, ids: pa.Array) -> Int32:
        """The codes of a batch of ids without nulls."""
        texts = pl.Series(ids, dtype=pl.String)
        coded = texts.cast(self._type).to_physical()
        fresh = pl.DataFrame({"code": coded, "id": texts}).filter(pl.col("code") >= self._count)
        if len(fresh):
            fresh = fresh.unique("code").sort("code")
            self._ids.append(fresh["id"])
            self._count += len(fresh)
        return coded.to_numpy().astype(np.int32)

    def ordered(self) -> tuple[pl.Series, Int32]:
        """All ids in the order of their bytes, and the rank that takes the place of each code."""
        ids = pl.concat(self._ids) if self._ids else pl.Series([], dtype=pl.String)
        order = ids.arg_sort().to_numpy()
        ranks = np.empty(len(order), np.int32)
        ranks[order] = np.arange(len(order), dtype=np.int32)
        return ids.gather(order), ranks


def collect(batches: Iterable[Actions]) -> ActionLog:
    """Read all batches into one log."""
    users, items = IdCoder(), IdCoder()
    user_codes = [np.empty(0, np.int32)]
    item_codes = [np.empty(0, np.int32)]
    times = [np.empty(0, np.int64)]
    for batch in batches:
        user_codes.append(users.codes(batch.users))
        item_codes.append(items.codes(batch.items))
        times.append(batch.timestamps)
    user_ids, user_ranks = users.ordered()
    item_ids, item_ranks = items.ordered()
    return ActionLog(
        user_ranks[_whole(user_codes)],
        item_ranks[_whole(item_codes)],
        _whole(times),
        user_ids,
        item_ids,
    )


def _whole(parts: list[NDArray[Integer]]) -> NDArray[Integer]:
    """The parts as one array; they are let go, so that no two columns are held twice at once."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole
