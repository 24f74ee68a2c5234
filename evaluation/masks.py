"""Which items of a user's own history are left out of the ranking.

`none` ranks all items. `exempt` leaves out the items of the model's input window except the target, as the
official TSSR code does. `hard` leaves out the whole history; then a target that the user took before can
never be a hit. Example: the history 4 9 4 2 has the target 4, and L = 2. `none` ranks all items, `exempt` all
but 2, and `hard` all but 2, 4 and 9.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.dataset import Histories, Int64
from .settings import Mask


def reach(masks: Collection[Mask], window: int) -> int | None:
    """How many of a history's newest actions `masks` need; None for all of them."""
    if "hard" in masks:
        return None
    return window if "exempt" in masks else 0


@dataclass(frozen=True)
class SeenItems:
    """The distinct items of a block of histories, (P,) each: row of the block, item, how long ago.

    Sorted by row and item. `age` is 0 for the last action; where an item occurs several times its last time
    counts.
    """

    rows: Int64
    items: Int64
    age: Int64

    @classmethod
    def of(cls, histories: Histories, lo: int, hi: int, last: int | None = None) -> SeenItems:
        """Look into histories lo…hi-1, or only at the `last` actions of each; row 0 is history lo."""
        starts, ends = histories.starts[lo:hi], histories.ends[lo:hi]
        if last is not None:
            starts = np.maximum(starts, ends - last)
        part = Histories(histories.items, starts, ends, histories.item_count)
        width = part.item_count + 1
        rows = np.repeat(np.arange(len(part)), part.lengths)
        # Places counted back from each history's end. Example: histories of 3 and 2
        # actions have the ages 2 1 0 1 0.
        ages = np.repeat(np.cumsum(part.lengths), part.lengths) - 1 - np.arange(len(rows))
        # `unique` tells where a key occurs first, and from behind that is its last occurrence.
        newest_first = (rows * width + part.flat())[::-1]
        keys, first = np.unique(newest_first, return_index=True)
        return cls(keys // width, keys % width, ages[::-1][first])

    def hidden_by(self, mask: Mask, targets: Int64, window: int) -> NDArray[np.bool_]:
        """Which of these items `mask` takes out, (P,); `targets` are those of the block, (B,)."""
        if mask == "none":
            return np.zeros(len(self.rows), dtype=np.bool_)
        if mask == "hard":
            return np.ones(len(self.rows), dtype=np.bool_)
        exempt: NDArray[np.bool_] = np.logical_and(self.age < window, self.items != targets[self.rows])
        return exempt

    def only(self, chosen: NDArray[np.bool_]) -> SeenItems:
        """Those of these items that are `chosen`, (P,)."""
        return SeenItems(self.rows[chosen], self.items[chosen], self.age[chosen])

    def holds(self, items: Int64) -> NDArray[np.bool_]:
        """Which of the items (B, W), W for each row of the block, are among these, (B, W)."""
        if len(self.rows) == 0:
            return np.zeros(items.shape, dtype=np.bool_)
        width = int(max(items.max(), self.items.max())) + 1
        # Row and item as one number; those held ascend, so each one asked for is searched among them.
        held = self.rows * width + self.items
        asked = np.arange(len(items))[:, None] * width + items
        found: NDArray[np.bool_] = held[np.minimum(np.searchsorted(held, asked), len(held) - 1)] == asked
        return found

    def of_row(self, row: int) -> Int64:
        """The items of one row of the block."""
        # Rows ascend, so those of one row stand together.
        first, last = np.searchsorted(self.rows, (row, row + 1))
        return self.items[first:last]
