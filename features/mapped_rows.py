"""The rows of many arrays fetched in one call, as if the arrays were one.

Parts that are mapped one by one lie at addresses of their own. Fetching from each what is wanted of it costs
a few microseconds a part and a second copy of every row, which at a thousand parts is several times the copy
itself. So one array is laid over all the memory between the first and the last part, with a row beginning at
every single value: any row of any part is a row of it, and numpy fetches them all in one pass. The memory
between the parts is never touched, for only places of real rows are ever asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class _Memory:
    """What numpy asks of an object whose memory it is to see as an array."""

    __array_interface__: dict[str, Any]


class MappedRows:
    """Arrays of one dtype and width, each (rows, F) and contiguous, their rows numbered through in order."""

    def __init__(self, parts: list[NDArray[Any]]) -> None:
        self.parts = parts  # held: their memory must stay mapped
        self.starts = np.cumsum([0] + [len(part) for part in parts])
        addresses = np.array([part.ctypes.data for part in parts], np.int64)
        width, dtype = parts[0].shape[1], parts[0].dtype
        first, last = addresses.min(), max(part.ctypes.data + part.nbytes for part in parts)
        self.places = (addresses - first) // dtype.itemsize - self.starts[:-1] * width  # were it row 0
        memory = {
            "version": 3,
            "data": (int(first), True),  # True: read only
            "typestr": dtype.str,
            "shape": (int(last - first) // dtype.itemsize - width + 1, width),
            "strides": (dtype.itemsize, dtype.itemsize),
        }
        self.span = np.asarray(_Memory(memory))

    def __len__(self) -> int:
        """How many rows there are in all."""
        return int(self.starts[-1])

    def gather(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The rows of these numbers in that order, (len(rows), F); raises IndexError for one out of range."""
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        part = np.searchsorted(self.starts, rows, side="right") - 1
        gathered: NDArray[Any] = self.span[self.places[part] + rows * self.span.shape[1]]
        return gathered
