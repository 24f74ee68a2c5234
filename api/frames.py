"""Tables of a person's own, in memory: anything that hands over an Arrow stream, as the reader's Parquet.

Polars, pandas and Arrow tables do (`__arrow_c_stream__`), and so do DuckDB's and others' results.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from ..core.artifacts import atomic_path
from ..core.errors import DataError, UsageError
from ..core.words import first_few


def stored(frame: Any, what: str, wanted: Sequence[str], path: Path) -> Path:
    """Where the rows of `frame` lie for the reader: the file that it names, or `path`, written from it.

    `wanted` are the columns that will be read. Raises UsageError for what is no table and for a column that
    is missing, DataError for a column whose values cannot be read.
    """
    if isinstance(frame, str | Path):
        return Path(frame)
    table = _polars(frame, what)
    for name in wanted:
        if name not in table.columns:
            raise UsageError(f"{what} has no column {name!r}; it has {first_few(table.columns, 8)}")
    table = table.with_columns(_plain(table[name], what) for name in table.columns)
    with atomic_path(path) as temporary:
        table.write_parquet(temporary)
    return path


def _polars(frame: Any, what: str) -> pl.DataFrame:
    """The frame as Polars has it, its buffers shared where that is possible."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if hasattr(frame, "collect") and not hasattr(frame, "__arrow_c_stream__"):
        raise UsageError(f"{what} is a {type(frame).__name__}, which has no rows yet; give its .collect()")
    if not hasattr(frame, "__arrow_c_stream__"):
        raise UsageError(
            f"{what} is a {type(frame).__name__}; give a Polars, pandas or Arrow table, or the path of a file"
        )
    try:
        table = pa.table(frame)
        return pl.DataFrame(table)
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError) as error:
        why = " ".join(str(part) for part in error.args).splitlines()[0]
        raise DataError(
            f"{what} holds a column that is of no one type ({why}); convert it, as with "
            "frame[column].astype(str)"
        ) from None


def _plain(column: pl.Series, what: str) -> pl.Series:
    """A column as a file would have it: categories as their words, NaN as nothing."""
    kind = column.dtype
    if isinstance(kind, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if kind.is_float():
        return column.fill_nan(None)
    simple = kind.is_numeric() or kind.is_temporal() or kind in (pl.String, pl.Boolean, pl.Null)
    words = isinstance(kind, pl.List) and kind.inner == pl.String
    if not (simple or words) or isinstance(kind, pl.Duration):
        raise DataError(
            f"{what}, column {column.name!r} is of type {kind}, which is no single value; convert it to text "
            "or numbers, or drop the column"
        )
    return column
