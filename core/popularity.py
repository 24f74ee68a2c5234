"""Groups of items by the number of their train actions: none, 1 to 4, 5 to 19, and 20 or more."""

from __future__ import annotations

import numpy as np

from .dataset import Int64

POPULARITY_LABELS = ("0", "1-4", "5-19", "20+")
_STARTS = (1, 5, 20)  # the least count of each group after the first


def popularity_groups(train_counts: Int64) -> Int64:
    """The place of each count's group in `POPULARITY_LABELS`, of the shape of `train_counts`.

    >>> popularity_groups(np.array([0, 1, 4, 5, 19, 20, 700])).tolist()
    [0, 1, 1, 2, 2, 3, 3]
    """
    return np.searchsorted(_STARTS, train_counts, side="right").astype(np.int64)
