"""Rows of a raw file: columns of text, and the line each row began at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Some consecutive rows of one file; `columns` are equally long Arrow arrays of strings or int64."""

    columns: Mapping[str, pa.Array]
    lines: Callable[[], Sequence[int]]
    cut_times: int = 0
    """The number of timestamps whose fraction of a second was cut off."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def kept(self, good: NDArray[np.bool_]) -> Rows:
        """The rows marked in `good`, each with its line."""
        if good.all():
            return self
        lines, mask = self.lines, pa.array(good)

        def kept_lines() -> Sequence[int]:
            numbers = lines()
            return [numbers[row] for row in np.flatnonzero(good).tolist()]

        return replace(
            self,
            columns={name: column.filter(mask) for name, column in self.columns.items()},
            lines=kept_lines,
        )


def text_array(values: Sequence[str | None]) -> pa.Array:
    """An Arrow string array, also of no values at all."""
    return pa.array(values, pa.string())


def strings(column: pa.Array) -> pa.Array:
    """The column as an Arrow string array."""
    return column if column.type == pa.string() else column.cast(pa.string())


def flat(column: pa.ChunkedArray) -> pa.Array:
    """A column as one Arrow array."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
