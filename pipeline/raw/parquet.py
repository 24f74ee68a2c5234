"""Parquet files as columns of text, read in batches of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...core.errors import DataError
from .delimited import check_columns
from .files import RawFile
from .numbers import float_column
from .problems import Problems
from .rows import Rows

BATCH_ROWS = 1 << 20


@contextmanager
def _open(file: RawFile) -> Iterator[pq.ParquetFile]:
    try:
        parquet = pq.ParquetFile(file.path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is no readable Parquet file ({str(error).splitlines()[0]})") from None
    with parquet:
        yield parquet


def column_names(file: RawFile) -> list[str]:
    """The names of a Parquet file's columns."""
    with _open(file) as parquet:
        return list(parquet.schema_arrow.names)


def _plain(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        floor = pc.floor_temporal(column, unit="second")
        return floor.cast(pa.timestamp("s", getattr(column.type, "tz", None))).cast(pa.int64())
    if pa.types.is_integer(column.type) and column.type != pa.uint64():
        return column.cast(pa.int64())
    if pa.types.is_floating(column.type):
        return float_column(column)
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return _joined_lists(column)
    text = column.cast(pa.string())
    text.validate(full=True)  # a file may call any bytes a string
    return text


def _joined_lists(column: pa.ListArray) -> pa.Array:
    """Each list as one text: what is null or no number is left out, an empty list is null."""
    texts = _plain(column.flatten()).cast(pa.string())
    rows = pc.list_parent_indices(column).filter(pc.is_valid(texts))
    ends = np.cumsum(np.bincount(np.asarray(rows), minlength=len(column)))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    lists = pa.ListArray.from_arrays(offsets, texts.drop_null())
    return pc.if_else(pc.equal(pc.list_value_length(lists), 0), None, pc.binary_join(lists, ", "))


def _cut_times(column: pa.Array) -> int:
    """How many timestamps are no whole seconds."""
    if not pa.types.is_timestamp(column.type) or column.type.unit == "s":
        return 0
    return int(pc.sum(pc.not_equal(pc.floor_temporal(column, unit="second"), column)).as_py() or 0)


def _plain_column(file: RawFile, name: str, first: int, column: pa.Array) -> pa.Array:
    try:
        return _plain(column)
    except pa.ArrowException as error:
        why = f"{column.type}: {str(error).splitlines()[0]}"
        raise DataError(
            f"{file}, row {first} on: column {name} is no text ({why}); convert the column"
        ) from None


def read_parquet(file: RawFile, wanted: Sequence[str], problems: Problems) -> Iterator[Rows]:
    """Yield the columns `wanted` of a Parquet file; a "line" here is a row, counted from 1.

    Dates and timestamps become whole seconds, integers int64 (uint64 text, for it may not fit), floats what
    numbers.py says, lists text joined by commas, the rest text. Raises DataError for a damaged file, a
    missing column and a type that is no text.
    """
    first = 1
    with _open(file) as parquet:
        check_columns(file, parquet.schema_arrow.names, wanted)
        try:
            # Without threads, for the reason that delimited.py gives: whoever reads may stop at any batch.
            for batch in parquet.iter_batches(BATCH_ROWS, columns=list(wanted), use_threads=False):
                columns = {name: _plain_column(file, name, first, batch.column(name)) for name in wanted}
                cut = sum(_cut_times(batch.column(name)) for name in wanted)
                problems.found(file, batch.num_rows)
                yield Rows(columns, partial(range, first, first + batch.num_rows), cut)
                first += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file}, row {first} on: {str(error).splitlines()[0]}") from None
