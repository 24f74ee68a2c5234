"""Which items of a user's own history are kept out of the ranking.

`none` keeps every item in. `exempt` takes out the items of the model's input window except the target, as the
official TSSR code does. `hard` takes out the whole history; a target that was bought before is never a hit.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..core.dataset import Histories, Int64, Queries

Mask = Literal["none", "exempt", "hard"]

Pairs = tuple[Int64, Int64]  # (row of the block, item number), P of each


def history_pairs(histories: Histories, lo: int, hi: int, window: int | None = None) -> Pairs:
    """The distinct items of histories lo…hi-1, as pairs of (row - lo, item), sorted.

    `window` keeps only the last so many actions of each history.
    """
    starts, ends = histories.starts[lo:hi], histories.ends[lo:hi]
    if window is not None:
        starts = np.maximum(starts, ends - window)
    part = Histories(histories.items, starts, ends, histories.item_count)
    width = histories.item_count + 1
    keys = np.repeat(np.arange(hi - lo), part.lengths) * width + part.flat()
    rows, items = np.divmod(np.unique(keys), width)
    return rows, items


def masked_pairs(mask: Mask, queries: Queries, lo: int, hi: int, window: int) -> Pairs:
    """What `mask` takes out for queries lo…hi-1, as pairs of (row - lo, item)."""
    if mask == "none":
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing
    if mask == "hard":
        return history_pairs(queries.histories, lo, hi)
    rows, items = history_pairs(queries.histories, lo, hi, window)
    others = items != queries.targets[lo:hi][rows]
    return rows[others], items[others]
