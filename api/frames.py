"""Tables in memory as input: they are written as Parquet files, which the stages then read.

Any object that can export an Arrow stream (`__arrow_c_stream__`) is accepted: Polars, pandas and Arrow
tables, relations of DuckDB and others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from ..core.artifacts import atomic_path
from ..core.errors import DataError, UsageError
from ..core.words import first_few, reason_of

# Files of frames lie in folders of their own below raw/DATASET, so that no file that a person put there is
# replaced, and vectors that are called "items" do not replace the table of items.
FRAMES_FOLDER, VECTORS_FOLDER, LISTS_FOLDER = "frames", "vectors", "lists"


def stored(frame: Any, what: str, wanted: Sequence[str], path: Path, *, others: bool) -> Path:
    """The file with the rows of `frame`: the one that it names if it is a path, else `path`, written now.

    `wanted` are the columns that will be read; the file has the `others` too, or leaves them out. Raises
    UsageError for what is no table and for a column that is missing, DataError for a column whose values
    cannot be read.
    """
    if isinstance(frame, str | Path):
        return Path(frame)
    table = _polars(frame, what)
    for name in wanted:
        if name not in table.columns:
            has = first_few(table.columns, 8) or "no columns at all"
            raise UsageError(f"{what} has no column {name!r}; it has {has}")
    kept = table.columns if others else list(dict.fromkeys(wanted))
    table = table.select(_plain(table[name], what) for name in kept)
    with atomic_path(path) as temporary:
        table.write_parquet(temporary)
    return path


def refuse_signs(columns: Sequence[str]) -> None:
    """Raise UsageError for a name that --map, which the stages record, could not hold."""
    for name in columns:
        if set(name) & set(",+="):
            raise UsageError(
                f"column {name!r}: a name with a comma, + or = cannot be mapped; rename the column"
            )


def stored_vectors(vectors: Any, ids: Sequence[Any] | None, stem: Path) -> Path:
    """The file with the vectors: the one they name if they are a path, else `stem` with an ending.

    An array goes with its `ids` into one file, or alone in the order of the data set's items. Raises
    UsageError for what is neither table nor array, DataError for ids that are not as many as rows.
    """
    if isinstance(vectors, str | Path):
        return Path(vectors)
    if _is_table(vectors, "vectors"):
        if ids is not None:
            raise UsageError("ids= is the name of a column where vectors= is a table")
        return _written(stem, ".parquet", _polars(vectors, "vectors").write_parquet)
    values = _array(vectors, "vectors")
    values = values if values.dtype.kind == "f" else values.astype(np.float32)
    if ids is None:
        return _written(stem, ".npy", lambda file: np.save(file, values))
    names = np.array([id_text(name) for name in ids])
    if len(names) != len(values):
        raise DataError(f"vectors= has {len(values):,} rows, but ids= has {len(names):,}")
    return _written(stem, ".npz", lambda file: np.savez(file, vectors=values, item_id=names))


def stored_lists(lists: Any, stem: Path) -> Path:
    """The file with the lists or scores: the one they name if they are a path, else `stem` with an ending.

    Raises UsageError for what is neither table nor array.
    """
    if isinstance(lists, str | Path):
        return Path(lists).expanduser()
    if _is_table(lists, "lists"):
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
    try:
        array = np.asarray(values)
        return array.astype(np.float32) if array.dtype == object else array
    except (TypeError, ValueError, RuntimeError) as error:  # of torch: bfloat16, on a GPU, with a gradient
        raise DataError(
            f"{what} cannot be read as an array of numbers ({reason_of(error)}); convert it, as with "
            ".detach().cpu().float().numpy() of a tensor or .astype('float32') of an array"
        ) from None


def _written(stem: Path, ending: str, write: Callable[[BinaryIO], object]) -> Path:
    """Write a file whole or not at all; returns its path."""
    path = stem.with_name(stem.name + ending)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        write(file)
    return path


def id_text(value: Any) -> str:
    """An id as the tables write it; a whole float is its integer, as in every file that is read."""
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else str(value)


def as_list(values: Any, option: str) -> Sequence[Any]:
    """The values as a list; raises UsageError for one value alone and for a table.

    A text alone would be read letter by letter, and a table column by column.
    """
    kind = type(values).__name__
    if isinstance(values, str):
        raise UsageError(f"{option} {values!r} is one text; give a list, as in [{values!r}]")
    if isinstance(values, Mapping) or hasattr(values, "columns"):
        raise UsageError(
            f"{option} is a {kind}; give a list: of lists of items as histories=, of ids as users="
        )
    try:
        return list(values)
    except TypeError:  # it cannot be gone through
        raise UsageError(f"{option} {values!r} is one {kind}; give a list, as in [{values!r}]") from None


def _is_table(values: Any, what: str) -> bool:
    """Whether the values are a table; raises UsageError for one column, and for rows not computed yet."""
    kind = type(values).__name__
    if hasattr(values, "to_frame") or isinstance(values, pa.ChunkedArray):
        raise UsageError(f"{what} is a {kind}, which is one column; give a table")
    if hasattr(values, "__arrow_c_stream__"):
        return True
    for compute in ("collect", "to_table"):  # of Polars and Narwhals, and of a data set of Arrow
        if hasattr(values, compute):
            raise UsageError(f"{what} is a {kind}, which has no rows yet; give its .{compute}()")
    return False


def _refuse_twins(frame: Any, what: str) -> None:
    """Raise DataError where two columns have one name."""
    schema = getattr(frame, "schema", None)  # of Arrow; pandas has columns alone
    names = list(getattr(schema, "names", None) or map(str, getattr(frame, "columns", ())))
    for place, name in enumerate(names):
        if name in names[:place]:
            raise DataError(f"{what} has two columns {name!r}; rename or drop one")


def _polars(frame: Any, what: str) -> pl.DataFrame:
    """The frame as Polars has it, its buffers shared where that is possible."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if not _is_table(frame, what):
        raise UsageError(
            f"{what} is a {type(frame).__name__}; give a Polars, pandas or Arrow table, or the path of a file"
        )
    _refuse_twins(frame, what)
    try:
        return pl.DataFrame(pa.table(frame))
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
