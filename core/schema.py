"""Names that all stages share; columns and types of the canonical tables, checked when one is read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import ArtifactError
from .words import reason_of

USER, ITEM, TIMESTAMP, POSITION = "user", "item", "timestamp", "position"
USER_ID, ITEM_ID, TEXT, IMAGE = "user_id", "item_id", "text", "image"

PADDING = 0  # the item number that stands for "no item"; real items are 1…N

INTERACTIONS_FILE, ITEMS_FILE, USERS_FILE = "interactions.parquet", "items.parquet", "users.parquet"
MANIFEST_FILE = "manifest.json"

SELECTION_METRIC = "validation_ndcg@10"  # decides which weights are kept; its name in logs and records

INTERACTIONS = pa.schema(
    [
        pa.field(USER, pa.int32(), nullable=False),
        pa.field(ITEM, pa.int32(), nullable=False),
        pa.field(TIMESTAMP, pa.int64(), nullable=False),
        pa.field(POSITION, pa.int32(), nullable=False),
    ]
)
ITEMS = pa.schema(
    [
        pa.field(ITEM, pa.int32(), nullable=False),
        pa.field(ITEM_ID, pa.string(), nullable=False),
        pa.field(TEXT, pa.string()),
        pa.field(IMAGE, pa.string()),
    ]
)
USERS = pa.schema(
    [pa.field(USER, pa.int32(), nullable=False), pa.field(USER_ID, pa.string(), nullable=False)]
)


def read_table(path: Path, schema: pa.Schema, *, cure: str, columns: list[str] | None = None) -> pa.Table:
    """Read columns of a canonical table and check their types against `schema`.

    Columns of the table beyond `schema` are allowed, and may be among `columns`: items carry further columns
    of their source, which are text.
    Raises ArtifactError that names the file, the column and `cure`.
    """
    wanted = columns if columns is not None else schema.names
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow
            for name in wanted:
                if name not in found.names:
                    raise ArtifactError(f"{path} has no column {name!r}; {cure}")
                kind = found.field(name).type
                expected = schema.field(name).type if name in schema.names else pa.string()
                if kind != expected:
                    raise ArtifactError(f"{path}, column {name!r} is {kind}, expected {expected}; {cure}")
            return file.read(columns=wanted)
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; {cure}") from None
    except PermissionError:
        raise ArtifactError(f"{path} may not be read; ask its owner for the permission") from None
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path} is damaged ({reason_of(error)}); {cure}") from None
