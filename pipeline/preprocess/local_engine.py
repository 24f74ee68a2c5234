"""The steps of the protocol on one machine: NumPy on integer codes.

The log is held in memory once: a step moves the rows that it keeps to the front of the same columns.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from ...core.schema import INTERACTIONS
from ..raw.ids import Int32
from .action_log import ActionLog, Int64, Integer
from .kcore import core_mask
from .tables import FinishedLog

Flags = NDArray[np.bool_]
PART = 1 << 20  # rows that are sorted at once, at least
PARTS = 32  # parts that are sorted one by one, at most: each needs a pass over all rows


@dataclass(frozen=True)
class LocalEngine:
    """A log in memory; `usable` are the ids of items with content."""

    log: ActionLog
    usable: pl.Series
    is_ordered: bool = False

    def __len__(self) -> int:
        return len(self.log)

    def _keep(self, mask: Flags) -> LocalEngine:
        if mask.all():
            return self
        log = self.log
        kept = replace(
            log,
            users=_packed(log.users, mask),
            items=_packed(log.items, mask),
            timestamps=_packed(log.timestamps, mask),
        )
        return replace(self, log=kept)

    @cached_property
    def present(self) -> tuple[Int32, Int32]:
        """The user codes and the item codes that still occur, ascending."""
        log = self.log
        return (
            np.flatnonzero(np.bincount(log.users)).astype(np.int32),
            np.flatnonzero(np.bincount(log.items)).astype(np.int32),
        )

    def counts(self) -> tuple[int, int, int]:
        """Users, items and actions that are left."""
        users, items = self.present
        return len(users), len(items), len(self)

    def ordered(self) -> LocalEngine:
        """Sorted by (user, timestamp, source row), a total order."""
        if self.is_ordered:
            return self
        order = np.concatenate([np.empty(0, np.int64), *self._row_order()])
        for column in (self.log.users, self.log.items, self.log.timestamps):
            column[:] = column[order]
        return replace(self, is_ordered=True)

    def _row_order(self) -> Iterator[Int64]:
        """The rows by (user, timestamp, source row), in parts of some whole users."""
        users, timestamps = self.log.users, self.log.timestamps
        # Actions of all users up to each one, that one included. A part begins at the user to whom row 0,
        # `part`, 2 · `part`, … belongs. Example: users with 2, 5 and 1 actions in parts of 3 give 0, 1, 1 for
        # rows 0, 3 and 6, so one part is user 0 and one is users 1 and 2.
        rows_before = np.cumsum(np.bincount(users))
        part = max(PART, len(users) // PARTS)
        firsts = np.searchsorted(rows_before, np.arange(0, len(users), part), side="right")
        for first, following in itertools.pairwise([*np.unique(firsts).tolist(), len(rows_before)]):
            rows = np.flatnonzero((users >= first) & (users < following))
            # Rows come in source order and the sort is stable, so equal times stay in that order.
            yield rows[np.lexsort((timestamps[rows], users[rows]))]

    def with_content(self) -> LocalEngine:
        """Without actions on items that have no content."""
        usable = self.log.item_ids.is_in(self.usable.implode()).to_numpy()
        return self._keep(usable[self.log.items])

    def without_repeats(self, *, consecutive: bool) -> LocalEngine:
        """Without a user's second and later actions on an item, or only those right after the same item."""
        ordered = self.ordered()
        users, items = ordered.log.users, ordered.log.items
        if consecutive:
            first = np.ones(len(users), bool)
            # Sorted rows: an action is dropped where the row before has the same user and the same item.
            first[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
            return ordered._keep(first)
        first = np.zeros(len(users), bool)
        for rows in ordered._row_order():
            # User and item as one number; `unique` gives the place of each one's first action.
            pairs = users[rows].astype(np.int64) * len(ordered.log.item_ids) + items[rows]
            first[rows[np.unique(pairs, return_index=True)[1]]] = True
        return ordered._keep(first)

    def last(self, count: int) -> LocalEngine:
        """The last `count` actions of each user."""
        ordered = self.ordered()
        users = ordered.log.users
        # Where the rows of each user end: the last `count` before that are kept.
        ends = np.cumsum(np.bincount(users))
        return ordered._keep(np.arange(len(users)) >= ends[users] - count)

    def core(self, minimum: int) -> LocalEngine:
        """The k-core for k = `minimum`."""
        return self._keep(core_mask(self.log.users, self.log.items, minimum))

    def drawn(self, count: int, seed: int) -> LocalEngine:
        """`count` users, those whose SHA-256 of "seed:user_id" is smallest; all where there are fewer."""
        users = self.present[0]
        if len(users) <= count:
            return self
        ids = self.log.user_ids.gather(users).to_list()
        # The hash of an id depends on the seed and the id alone: other users, or
        # another engine, change no lot.
        lots = sorted(
            (hashlib.sha256(f"{seed}:{name}".encode()).digest(), user)
            for name, user in zip(ids, users.tolist(), strict=True)
        )
        chosen = np.zeros(len(self.log.user_ids), bool)
        chosen[[user for _, user in lots[:count]]] = True
        return self._keep(chosen[self.log.users])

    def item_ids(self) -> pl.Series:
        """The ids of the items that are left, in the order of their bytes."""
        return self.log.item_ids.gather(self.present[1])

    def user_ids(self) -> pl.Series:
        """The ids of the users that are left, in the order of their bytes."""
        return self.log.user_ids.gather(self.present[0])

    def finished(self) -> FinishedLog:
        """The numbered users, items and actions, for writing."""
        return FinishedLog(self.user_ids(), self.item_ids(), self._interactions())

    def _interactions(self) -> Iterator[pa.Table]:
        log, (users, items) = self.log, self.present
        user_numbers = _numbers(users, len(log.user_ids), 0)
        item_numbers = _numbers(items, len(log.item_ids), 1)
        starts = np.concatenate([[0], np.cumsum(np.bincount(log.users))])
        done = 0
        for rows in self._row_order():
            codes = log.users[rows]
            columns = [
                user_numbers[codes],
                item_numbers[log.items[rows]],
                log.timestamps[rows],
                # The position: the row's place in the whole log less that of its user's first row.
                (np.arange(done, done + len(rows)) - starts[codes]).astype(np.int32),
            ]
            yield pa.Table.from_arrays([pa.array(column) for column in columns], schema=INTERACTIONS)
            done += len(rows)


def _packed(values: NDArray[Integer], mask: Flags) -> NDArray[Integer]:
    """The marked values, moved to the front of the memory they are in."""
    done = 0
    for start in range(0, len(values), PART):
        marked = values[start : start + PART][mask[start : start + PART]]
        values[done : done + len(marked)] = marked
        done += len(marked)
    return values[:done]


def _numbers(present: Int32, size: int, first: int) -> Int32:
    """The new number of each old code: those in `present` are numbered from `first` in their order."""
    numbers = np.full(size, -1, np.int32)
    numbers[present] = np.arange(first, first + len(present), dtype=np.int32)
    return numbers
