"""Id maps and vectors as Arrow and .npy files, and item vectors as a FAISS index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...core.dataset import DatasetInfo, Int64, remake
from ...core.schema import (
    ITEM,
    ITEM_ID,
    ITEMS,
    ITEMS_FILE,
    USER,
    USER_ID,
    USERS,
    USERS_FILE,
    read_table,
)

Float32 = NDArray[np.float32]
LISTED, BIAS, VECTOR = "listed", "bias", "vector"


def write_arrow(table: pa.Table, path: Path) -> None:
    """Write a table as an Arrow IPC file, which opens without a copy."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def vector_column(vectors: Float32) -> pa.Array:
    """Vectors (N, D) as a column of lists of D numbers, not copied."""
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def item_table(dataset: DatasetInfo, listed: Int64) -> pa.Table:
    """Number and id of every item, (N,), and whether it is among the `listed` numbers."""
    items = read_table(dataset.folder / ITEMS_FILE, ITEMS, cure=remake(dataset.name), columns=[ITEM, ITEM_ID])
    return items.append_column(LISTED, pa.array(np.isin(items[ITEM].to_numpy(), listed)))


def user_table(dataset: DatasetInfo) -> pa.Table:
    """Number and id of every user, (U,)."""
    return read_table(dataset.folder / USERS_FILE, USERS, cure=remake(dataset.name), columns=[USER, USER_ID])


def write_items(folder: Path, table: pa.Table, vectors: Float32, bias: Float32) -> None:
    """Write all items' vectors (N, D) and biases (N,) beside their ids, as Arrow and as .npy."""
    write_arrow(
        table.append_column(BIAS, pa.array(bias)).append_column(VECTOR, vector_column(vectors)),
        folder / "items.arrow",
    )
    np.save(folder / "item_vectors.npy", vectors)
    np.save(folder / "item_bias.npy", bias)


def write_index(path: Path, vectors: Float32, bias: Float32, listed: Int64) -> None:
    """Write a FAISS index that finds the `listed` item numbers by inner product, exactly.

    The bias is one more dimension: a query is its state (D,) with a 1 behind it.
    """
    import faiss

    rows = listed - 1
    index = faiss.IndexIDMap(faiss.IndexFlatIP(vectors.shape[1] + 1))
    index.add_with_ids(np.concatenate([vectors[rows], bias[rows, None]], axis=1, dtype=np.float32), listed)
    # Given a path, FAISS only prints it where the disk is full, and leaves half a file.
    with path.open("wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]
