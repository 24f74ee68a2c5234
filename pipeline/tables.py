"""Writing the canonical tables: the same bytes from the same actions, in bounded row groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.schema import (
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
from .action_log import ActionLog, Int32

ROW_GROUP = 1 << 20


def _write(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression="zstd", row_group_size=ROW_GROUP)


def _numbers(present: Int32, size: int, first: int) -> Int32:
    """What each old code becomes: the present ones count up from `first`, in their order."""
    numbers = np.full(size, -1, np.int32)
    numbers[present] = np.arange(first, first + len(present), dtype=np.int32)
    return numbers


def write_interactions(path: Path, log: ActionLog, users: Int32, items: Int32) -> None:
    """Write the ordered actions; `users` and `items` are the codes that occur, ascending."""
    user_numbers = _numbers(users, len(log.user_ids), 0)
    item_numbers = _numbers(items, len(log.item_ids), 1)
    starts = np.concatenate([[0], np.cumsum(np.bincount(log.users, minlength=len(log.user_ids)))])
    with pq.ParquetWriter(path / INTERACTIONS_FILE, INTERACTIONS, compression="zstd") as writer:
        for start in range(0, len(log), ROW_GROUP):
            part = slice(start, start + ROW_GROUP)
            codes = log.users[part]
            columns = [
                user_numbers[codes],
                item_numbers[log.items[part]],
                log.timestamps[part],
                (np.arange(start, start + len(codes)) - starts[codes]).astype(np.int32),
            ]
            writer.write_table(pa.Table.from_arrays([pa.array(c) for c in columns], schema=INTERACTIONS))


def write_users(path: Path, log: ActionLog, users: Int32) -> None:
    """Write which outside id each user number stands for."""
    ids = log.user_ids.gather(users).to_arrow().cast(pa.string())
    numbers = pa.array(np.arange(len(users), dtype=np.int32))
    _write(path / USERS_FILE, pa.Table.from_arrays([numbers, ids], schema=USERS))


def write_items(path: Path, log: ActionLog, items: Int32, catalogue: pl.DataFrame | None) -> None:
    """Write the items with text and image, and as text the source's own columns."""
    whole = pl.DataFrame({ITEM_ID: log.item_ids.gather(items)})
    if catalogue is None:
        whole = whole.with_columns(pl.lit(None, pl.String).alias(name) for name in (TEXT, IMAGE))
    else:
        whole = whole.join(catalogue, on=ITEM_ID, how="left", maintain_order="left")
    numbers = pa.array(np.arange(1, len(items) + 1, dtype=np.int32))
    columns = [numbers, *(column.to_arrow().cast(pa.string()) for column in whole)]
    own = [pa.field(name, pa.string()) for name in whole.columns if name not in ITEMS.names]
    _write(path / ITEMS_FILE, pa.Table.from_arrays(columns, schema=pa.schema([*ITEMS, *own])))
