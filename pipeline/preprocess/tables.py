"""Writing the canonical tables: the same bytes from the same actions, in bounded row groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ...core.schema import (
    IMAGE,
    INTERACTIONS,
    INTERACTIONS_FILE,
    ITEM_ID,
    ITEMS,
    ITEMS_FILE,
    TEXT,
    USERS,
    USERS_FILE,
)

ROW_GROUP = 1 << 20


@dataclass(frozen=True)
class FinishedLog:
    """The result of an engine: the remaining ids in the order of their bytes, and the actions.

    Items that have no action, where they are listed at all, come after those that have one.

    `interactions` are tables of the canonical schema, of any length, in the canonical order.
    """

    user_ids: pl.Series
    item_ids: pl.Series
    interactions: Iterable[pa.Table]


def write_tables(folder: Path, log: FinishedLog, catalogue: pl.DataFrame | None) -> None:
    """Write the three tables into an existing folder."""
    _write(folder / INTERACTIONS_FILE, INTERACTIONS, log.interactions)
    users = [_numbers(log.user_ids, 0), log.user_ids.to_arrow().cast(pa.string())]
    _write(folder / USERS_FILE, USERS, [pa.Table.from_arrays(users, schema=USERS)])
    items = _items(log.item_ids, catalogue)
    _write(folder / ITEMS_FILE, items.schema, [items])


def _write(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for table in _in_row_groups(tables, schema):
            writer.write_table(table, row_group_size=ROW_GROUP)


def _in_row_groups(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """The same rows in tables of ROW_GROUP rows, so that the bytes do not depend on how they came."""
    waiting = schema.empty_table()
    for table in tables:
        waiting = pa.concat_tables([waiting, table])
        while len(waiting) >= ROW_GROUP:
            yield waiting.slice(0, ROW_GROUP).combine_chunks()
            waiting = waiting.slice(ROW_GROUP)
    if len(waiting):
        yield waiting.combine_chunks()


def _numbers(ids: pl.Series, first: int) -> pa.Array:
    return pa.array(np.arange(first, first + len(ids), dtype=np.int32))


def _items(ids: pl.Series, catalogue: pl.DataFrame | None) -> pa.Table:
    """The items with text and image, and as text the source's own columns."""
    whole = pl.DataFrame({ITEM_ID: ids})
    if catalogue is None:
        whole = whole.with_columns(pl.lit(None, pl.String).alias(name) for name in (TEXT, IMAGE))
    else:
        whole = whole.join(catalogue, on=ITEM_ID, how="left", maintain_order="left")
    columns = [_numbers(ids, 1), *(column.to_arrow().cast(pa.string()) for column in whole)]
    own = [pa.field(name, pa.string()) for name in whole.columns if name not in ITEMS.names]
    return pa.Table.from_arrays(columns, schema=pa.schema([*ITEMS, *own]))
