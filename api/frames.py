"""Tables in memory as input: they are written as Parquet files, which the stages then read.

Any object that can export an Arrow stream (`__arrow_c_stream__`) is accepted: Polars, pandas and Arrow
tables, results of DuckDB and others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from ..core.artifacts import atomic_path
from ..core.errors import DataError, UsageError
from ..core.words import first_few


def stored(frame: Any, what: str, wanted: Sequence[str], path: Path) -> Path:
    """The file with the rows of `frame`: the one that it names if it is a path, else `path`, written now.

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


def stored_vectors(vectors: Any, ids: Sequence[Any] | None, stem: Path) -> Path:
    """The file with the vectors: the one they name if they are a path, else `stem` with an ending.

    An array goes with its `ids` into one file, or alone in the order of the data set's items. Raises
    UsageError for what is neither table nor array, DataError for ids that are not as many as rows.
    """
    if isinstance(vectors, str | Path):
        return Path(vectors)
    if hasattr(vectors, "__arrow_c_stream__"):
        if ids is not None:
            raise UsageError("ids= is the name of a column where vectors= is a table")
        return _written(stem, ".parquet", _polars(vectors, "vectors").write_parquet)
    values = _array(vectors, "vectors")
    values = values if values.dtype.kind == "f" else values.astype(np.float32)
    if ids is None:
        return _written(stem, ".npy", lambda file: np.save(file, values))
    names = np.array([str(name) for name in ids])
    if len(names) != len(values):
        raise DataError(f"vectors= has {len(values):,} rows, but ids= has {len(names):,}")
    return _written(stem, ".npz", lambda file: np.savez(file, vectors=values, item_id=names))


def stored_lists(lists: Any, stem: Path) -> Path:
    """The file with the lists or scores: the one they name if they are a path, else `stem` with an ending.

    Raises UsageError for what is neither table nor array.
    """
    if isinstance(lists, str | Path):
        return Path(lists)
    if hasattr(lists, "__arrow_c_stream__"):
        return _written(stem, ".parquet", _polars(lists, "lists").write_parquet)
    values = _array(lists, "lists")
    return _written(stem, ".npy", lambda file: np.save(file, values))


def _array(values: Any, what: str) -> NDArray[Any]:
    """The values as a NumPy array."""
    if not hasattr(values, "__array__"):
        raise UsageError(
            f"{what} is a {type(values).__name__}; give a Polars, pandas or Arrow table, an array, or the "
            "path of a file"
        )
    return np.asarray(values)


def _written(stem: Path, ending: str, write: Callable[[BinaryIO], object]) -> Path:
    """Write a file whole or not at all; returns its path."""
    path = stem.with_name(stem.name + ending)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        write(file)
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
