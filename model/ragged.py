"""Rows of unequal lengths, stored one after another in flat arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.dataset import Int64


def ranges(starts: Int64, lengths: Int64) -> tuple[Int64, Int64]:
    """The numbers of all ranges after one another, and which range each belongs to.

    >>> numbers, owners = ranges(np.array([3, 9]), np.array([2, 3]))
    >>> numbers.tolist(), owners.tolist()
    ([3, 4, 9, 10, 11], [0, 0, 1, 1, 1])
    """
    owners = np.repeat(np.arange(len(starts)), lengths)
    numbers = np.arange(len(owners)) + (starts - (np.cumsum(lengths) - lengths))[owners]
    return numbers, owners


def greatest_of_rows(rows: Int64, values: NDArray[Any], columns: Int64, count: int) -> Int64:
    """Which entries (E,) are among the `count` greatest values of their row: row by row, the greatest first.

    `rows` ascend. Of equal values, those of the smaller `columns` are taken.

    >>> greatest_of_rows(np.array([0, 0, 0, 4]), np.array([2, 7, 7, 1]), np.array([5, 9, 8, 2]), 2).tolist()
    [2, 1, 3]
    """
    order = np.lexsort((columns, -values, rows))
    # Sorting moves entries within their row only, so row r still begins where it began in `rows`.
    place_in_row = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return order[place_in_row < count]
