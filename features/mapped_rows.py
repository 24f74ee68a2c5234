"""The rows of many arrays, numbered through: of parts with 3 and 4 rows, row 5 is row 2 of the second part.

A feature store has up to thousands of part files, each mapped into memory by itself. `gather` sorts the
numbers asked for by part and copies part by part, so that each part is looked up once, however many of its
rows are wanted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class MappedRows:
    """Arrays of one dtype and width, each (rows, F), read as one array of all their rows."""

    def __init__(self, parts: list[NDArray[Any]]) -> None:
        self.parts = parts
        self.starts = np.cumsum([0] + [len(part) for part in parts])  # of each part its first row's number

    def __len__(self) -> int:
        """How many rows there are in all parts together."""
        return int(self.starts[-1])

    def gather(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """A copy of the rows of these numbers in that order, (len(rows), F).

        Raises IndexError for a number that is negative or no smaller than the number of rows.
        """
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        gathered = np.empty((len(rows), self.parts[0].shape[1]), self.parts[0].dtype)
        part = np.searchsorted(self.starts, rows, side="right") - 1  # which part each row lies in
        order = np.argsort(part, kind="stable")  # places in `rows`, those of one part beside each other
        # Where the places of each part begin in `order`. Example: rows 5, 0, 2, 6 of parts with 3 and 4 rows
        # lie in the parts 1 0 0 1; `order` is 1 2 0 3, and `ends` is 0 2 4.
        ends = np.searchsorted(part, np.arange(len(self.parts) + 1), sorter=order)
        for number in np.flatnonzero(np.diff(ends)):
            places = order[ends[number] : ends[number + 1]]
            gathered[places] = self.parts[number][rows[places] - self.starts[number]]
        return gathered
