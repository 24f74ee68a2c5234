"""Parquet in columns of text, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...core.errors import DataError
from .delimited import check_columns
from .files import RawFile
from .rows import Rows

BATCH_ROWS = 1 << 20


def _open(file: RawFile) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file.path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is no readable Parquet file ({str(error).splitlines()[0]})") from None


def column_names(file: RawFile) -> list[str]:
    """The names of a Parquet file's columns."""
    return list(_open(file).schema_arrow.names)


def _plain(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        floor = pc.floor_temporal(column, unit="second")
        return floor.cast(pa.timestamp("s", getattr(column.type, "tz", None))).cast(pa.int64())
    if pa.types.is_integer(column.type) and column.type != pa.uint64():
        return column.cast(pa.int64())
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return pc.binary_join(column.cast(pa.list_(pa.string())), ", ")
    text = column.cast(pa.string())
    text.validate(full=True)  # a file may call any bytes a string
    return text


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


def read_parquet(file: RawFile, wanted: Sequence[str]) -> Iterator[Rows]:
    """Yield the columns `wanted` of a Parquet file; a "line" here is a row, counted from 1.

    Dates and timestamps become whole seconds, integers int64 (uint64 text, for it may not fit), lists text
    joined by commas, the rest text. Raises DataError for a damaged file, a missing column and a type that is
    no text.
    """
    parquet = _open(file)
    check_columns(file, parquet.schema_arrow.names, wanted)
    first = 1
    try:
        for batch in parquet.iter_batches(BATCH_ROWS, columns=list(wanted)):
            columns = {name: _plain_column(file, name, first, batch.column(name)) for name in wanted}
            cut = sum(_cut_times(batch.column(name)) for name in wanted)
            yield Rows(columns, partial(range, first, first + batch.num_rows), cut)
            first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}, row {first} on: {str(error).splitlines()[0]}") from None
