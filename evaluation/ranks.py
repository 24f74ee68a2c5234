"""The rank of every user's target, kept beside the metrics: what comparisons and significance tests read."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.artifacts import atomic_path
from ..core.errors import ArtifactError
from ..core.schema import USER
from ..core.words import reason_of
from .ranking import Ranks
from .settings import Mask

TARGET, DEPTH = "target", "depth"
_PREFIX = "rank_"


def write_ranks(path: Path, ranks: Ranks) -> None:
    """Write one row a user: user, target, and rank_<mask> for each mask, null where the rank is NaN."""
    columns = {USER: pa.array(ranks.users), TARGET: pa.array(ranks.targets)}
    columns |= {
        f"{_PREFIX}{mask}": pa.array(found, from_pandas=True) for mask, found in ranks.by_mask.items()
    }
    table = pa.table(columns).replace_schema_metadata({DEPTH: str(ranks.depth)})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_ranks(path: Path) -> Ranks:
    """Read what `write_ranks` wrote; raises ArtifactError where the file is missing or damaged."""
    cure = "make it again with: tssr evaluate --force"
    try:
        table = pq.read_table(path)
        depth = int((table.schema.metadata or {})[DEPTH.encode()])
        users, targets = (table[name].to_numpy().astype(np.int32) for name in (USER, TARGET))
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; {cure}") from None
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ArtifactError(f"{path} is damaged ({reason_of(error)}); {cure}") from None
    masks: tuple[Mask, ...] = get_args(Mask)
    by_mask = {
        mask: table[f"{_PREFIX}{mask}"].to_numpy().astype(np.float64)
        for mask in masks
        if f"{_PREFIX}{mask}" in table.column_names
    }
    return Ranks(users, targets, by_mask, depth)
